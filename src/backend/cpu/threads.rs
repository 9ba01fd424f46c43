//! Threads that go through phases of work together, without sleeping between them.
//!
//! A phase begins when every part of the one before is done. A thread takes the next part there is;
//! one that comes late, or never, is not waited for. Waking a sleeping thread costs as much as a
//! small kernel, and a step has hundreds of phases.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Turns of waiting before the core is offered to another program.
const PATIENCE: u32 = 4000;

struct Team<'a> {
    counts: &'a [usize],
    work: &'a (dyn Fn(usize, usize) + Sync),
    /// The phase in the upper half, the next part of it in the lower one: both are taken at once.
    next: AtomicU64,
    /// Parts of this phase that are done.
    done: AtomicUsize,
}

/// Calls `work(phase, part)` for each part `0..counts[phase]` of each phase, on up to `threads`
/// threads of the pool.
pub(super) fn run(counts: &[usize], threads: usize, work: &(dyn Fn(usize, usize) + Sync)) {
    if threads == 1 {
        for (phase, &count) in counts.iter().enumerate() {
            (0..count).for_each(|part| work(phase, part));
        }
        return;
    }
    let team = Team {
        counts,
        work,
        next: AtomicU64::new(0),
        done: AtomicUsize::new(0),
    };
    rayon::join(|| team.lead(), || team.follow(threads - 1));
}

impl Team<'_> {
    /// Takes part in every phase, and begins the next when all of its parts are done.
    fn lead(&self) {
        // Followers must not wait for a leader that has panicked.
        let _end = End(self);
        for (phase, &count) in self.counts.iter().enumerate() {
            while let Some(part) = self.take(phase) {
                self.do_part(phase, part);
            }
            let mut waited = 0;
            while self.done.load(Ordering::Acquire) < count {
                pause(&mut waited);
            }
            self.done.store(0, Ordering::Relaxed);
            self.next.store((phase as u64 + 1) << 32, Ordering::Release);
        }
    }

    /// Takes parts of whatever phase there is until the last is over; brings in the other threads
    /// first.
    fn follow(&self, threads: usize) {
        if threads > 1 {
            rayon::join(|| self.help(), || self.follow(threads - 1));
        } else {
            self.help();
        }
    }

    fn help(&self) {
        let mut waited = 0;
        loop {
            let phase = (self.next.load(Ordering::Acquire) >> 32) as usize;
            if phase >= self.counts.len() {
                return;
            }
            match self.take(phase) {
                Some(part) => {
                    self.do_part(phase, part);
                    waited = 0;
                }
                None => pause(&mut waited),
            }
        }
    }

    /// Does a part, and counts it as done even if it panics, so that nobody waits for it; the panic
    /// goes on to the caller.
    fn do_part(&self, phase: usize, part: usize) {
        struct Done<'a>(&'a AtomicUsize);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Release);
            }
        }
        let _done = Done(&self.done);
        (self.work)(phase, part);
    }

    /// The next part of a phase, if it is still on and has one.
    fn take(&self, phase: usize) -> Option<usize> {
        let mut next = self.next.load(Ordering::Acquire);
        loop {
            let (now, part) = ((next >> 32) as usize, (next & 0xFFFF_FFFF) as usize);
            if now != phase || part >= self.counts[phase] {
                return None;
            }
            match self.next.compare_exchange_weak(
                next,
                next + 1,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(part),
                Err(changed) => next = changed,
            }
        }
    }
}

/// Ends the work for all followers when the leader is through, or has panicked.
struct End<'a, 'b>(&'a Team<'b>);

impl Drop for End<'_, '_> {
    fn drop(&mut self) {
        self.0
            .next
            .store((self.0.counts.len() as u64) << 32, Ordering::Release);
    }
}

fn pause(waited: &mut u32) {
    *waited += 1;
    if waited.is_multiple_of(PATIENCE) {
        std::thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}
