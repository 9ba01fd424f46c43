//! Phases of work that threads execute together, without sleeping between phases.
//!
//! A phase has a number of parts. A thread takes the next free part; a phase begins when every part
//! of the previous phase is done. Threads that join late, or never, do not block the others. The
//! thread that executes a part varies, so a part must not depend on it; then results do not depend
//! on the number of threads. Waking a sleeping thread costs as much as a small kernel, and a step
//! has hundreds of phases: so waiting threads spin.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// The number of spins before a thread yields its core.
const SPINS: u32 = 4000;

/// The maximum number of parts of a phase: a part's number takes half of a word.
pub const MOST_PARTS: usize = u32::MAX as usize;

/// The state that the threads share.
struct Shared<'a> {
    counts: &'a [usize],
    work: &'a Work<'a>,
    /// The phase in the upper half and its next part in the lower half, so that one atomic
    /// operation takes both.
    next: AtomicU64,
    /// The number of completed parts of this phase.
    done: AtomicUsize,
}

/// Executes a part on a thread: `work(thread, phase, part)`. Threads count from 0, and each has its own
/// number.
pub type Work<'a> = dyn Fn(usize, usize, usize) + Sync + 'a;

/// Calls `work` for each part `0..counts[phase]` of each phase, on the threads of a pool. A phase has at
/// most [`MOST_PARTS`] parts.
///
/// All calls for one phase happen before all calls for the next one. Without a pool, or where no phase
/// has several parts, all calls are on the calling thread, and no thread is woken.
pub fn run(pool: Option<&rayon::ThreadPool>, counts: &[usize], work: &Work) {
    let widest = counts.iter().copied().max().unwrap_or(0);
    let Some(pool) = pool.filter(|_| widest > 1) else {
        for (phase, &count) in counts.iter().enumerate() {
            (0..count).for_each(|part| work(0, phase, part));
        }
        return;
    };
    let shared = Shared {
        counts,
        work,
        next: AtomicU64::new(0),
        done: AtomicUsize::new(0),
    };
    let threads = pool.current_num_threads().min(widest);
    pool.install(|| rayon::join(|| shared.main_thread(), || shared.workers(1..threads)));
}

impl Shared<'_> {
    /// Works in every phase, and begins the next phase when all parts are done.
    fn main_thread(&self) {
        // Workers must not wait for a main thread that has panicked.
        let _end = End(self);
        for (phase, &count) in self.counts.iter().enumerate() {
            while let Some(part) = self.take(phase) {
                self.do_part(0, phase, part);
            }
            let mut waited = 0;
            while self.done.load(Ordering::Acquire) < count {
                pause(&mut waited);
            }
            self.done.store(0, Ordering::Relaxed);
            self.next.store(first_part_of(phase + 1), Ordering::Release);
        }
    }

    /// Starts workers with these numbers on the other threads of the pool.
    fn workers(&self, mut threads: Range<usize>) {
        if let Some(thread) = threads.next() {
            rayon::join(|| self.worker(thread), || self.workers(threads));
        }
    }

    /// Takes parts of the current phase until the last phase is done.
    fn worker(&self, thread: usize) {
        let mut waited = 0;
        loop {
            let (phase, _) = split(self.next.load(Ordering::Acquire));
            if phase >= self.counts.len() {
                return;
            }
            match self.take(phase) {
                Some(part) => {
                    self.do_part(thread, phase, part);
                    waited = 0;
                }
                None => pause(&mut waited),
            }
        }
    }

    /// Executes a part. A part that panics counts as done, so that no thread waits for it; the
    /// panic propagates to the caller.
    fn do_part(&self, thread: usize, phase: usize, part: usize) {
        struct Done<'a>(&'a AtomicUsize);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Release);
            }
        }
        let _done = Done(&self.done);
        (self.work)(thread, phase, part);
    }

    /// The next part of a phase, if that phase is the current one and has a part left.
    fn take(&self, phase: usize) -> Option<usize> {
        let mut next = self.next.load(Ordering::Acquire);
        loop {
            let (current, part) = split(next);
            if current != phase || part >= self.counts[phase] {
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

/// Encodes the first part of a phase as a word.
fn first_part_of(phase: usize) -> u64 {
    (phase as u64) << 32
}

/// Decodes a word to a phase and a part.
fn split(next: u64) -> (usize, usize) {
    ((next >> 32) as usize, (next & 0xFFFF_FFFF) as usize)
}

/// Ends the work of all workers when the main thread returns or panics.
struct End<'a, 'b>(&'a Shared<'b>);

impl Drop for End<'_, '_> {
    fn drop(&mut self) {
        let end = first_part_of(self.0.counts.len());
        self.0.next.store(end, Ordering::Release);
    }
}

fn pause(waited: &mut u32) {
    *waited += 1;
    if waited.is_multiple_of(SPINS) {
        std::thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn pool() -> rayon::ThreadPool {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build();
        pool.expect("threads can be started")
    }

    #[test]
    fn every_part_is_done_once_and_phases_follow_each_other() {
        let pool = pool();
        for counts in [&[3, 0, 1, 17, 2][..], &[2, 1], &[1, 0, 1], &[]] {
            for pool in [None, Some(&pool)] {
                let calls = Mutex::new(Vec::new());
                let work = |_, phase, part| calls.lock().expect("no panic").push((phase, part));
                run(pool, counts, &work);
                let mut calls = calls.into_inner().expect("no panic");
                assert!(calls.is_sorted_by_key(|(phase, _)| *phase), "{calls:?}");
                calls.sort_unstable();
                let parts =
                    |(phase, &count): (usize, &usize)| (0..count).map(move |part| (phase, part));
                let expected: Vec<_> = counts.iter().enumerate().flat_map(parts).collect();
                assert_eq!(calls, expected, "{counts:?}");
            }
        }
    }

    #[test]
    fn a_thread_executes_one_part_at_a_time() {
        let is_busy: [Mutex<()>; 3] = Default::default();
        let work = |thread: usize, _, _| {
            let busy = is_busy[thread].try_lock();
            std::thread::sleep(std::time::Duration::from_micros(100));
            drop(busy.expect("no other part has this thread's number"));
        };
        run(Some(&pool()), &[40, 2, 40], &work);
    }

    #[test]
    fn one_part_at_a_time_stays_on_the_calling_thread() {
        let caller = std::thread::current().id();
        let work = |_, _, _| assert_eq!(std::thread::current().id(), caller);
        run(Some(&pool()), &[1, 1, 0, 1], &work);
        run(None, &[5, 1], &work);
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        let work = |_, phase, part| assert!((phase, part) != (1, 2), "part 2 fails");
        for pool in [None, Some(&pool())] {
            let run = || run(pool, &[2, 5, 2], &work);
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            assert!(result.is_err());
        }
    }
}
