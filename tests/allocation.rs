//! Steady state allocates nothing.

#[path = "integration/common/mod.rs"]
mod common;

use common::load;
use dgc::{
    backend::Device,
    run::{data, train::Stepper},
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_training_step_allocates_nothing() {
    let sets = [("hidden", "30"), ("aux", "4"), ("latent", "5")];
    let of_images = [
        &sets[..],
        &[
            ("channels", "2"),
            ("batch.labelled", "10"),
            ("batch.unlabelled", "10"),
        ],
    ]
    .concat();
    for (threads, name, sets) in [
        (1, "adgm", &sets[..]),
        (2, "adgm", &sets),
        (2, "adgm_conv", &of_images),
    ] {
        let model = load(&common::root().join(format!("models/{name}.dgm")), sets);
        let table = data::load(None, &model)
            .expect("the excerpt is there")
            .train;
        let mut trainer = Stepper::new(model, table, 0, &Device::cpu(threads)).expect("a trainer");
        (0..5).for_each(|_| trainer.step().expect("a step"));
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        let steps = 60;
        (0..steps).for_each(|_| trainer.step().expect("a step"));
        let made = ALLOCATIONS.load(Ordering::Relaxed) - before;
        // The thread pool's queue takes a block for every 60 or so times that it is entered.
        assert!(
            made <= 3,
            "{made} allocations in {steps} steps of {name} on {threads} threads"
        );
    }
}
