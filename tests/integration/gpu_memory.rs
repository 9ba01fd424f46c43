//! Memory of the CUDA back end when there is little of it, on the emulated GPU.

use crate::common;

use common::emulator;
use dgc::backend::{Backend, Precision, cuda::Cuda};

/// A device that runs out of memory goes on with what it has, may move to another thread, and frees
/// everything: the emulated driver aborts where a context is released before its objects.
#[test]
fn a_device_survives_failed_allocations_and_frees_what_it_holds() {
    if emulator::skips_on_gpu("a GPU with little memory") {
        return;
    }
    if std::env::var_os("DGC_EMULATOR_MEMORY").is_none() {
        return emulator::passes(
            "gpu_memory::a_device_survives_failed_allocations_and_frees_what_it_holds",
            &[("DGC_EMULATOR_MEMORY", "100000")],
        );
    }
    let open = || Cuda::new(None, Precision::F32).expect("an emulated GPU");
    let mut first = open();
    let array = first.allocate(9000).expect("there is memory");
    assert!(first.allocate(30_000).is_err(), "there is no more");
    let fill = |device: &mut Cuda, len: usize, value: f32| {
        device.fill(array, 0, len, &mut |to: &mut [f32]| to.fill(value))
    };
    // Each write in flight has memory of its own, which stays as it was if it cannot grow.
    for _ in 0..8 {
        fill(&mut first, 1100, 1.0).expect("a write of some floats");
    }
    let error = fill(&mut first, 9000, 2.0).expect_err("no memory for a larger write");
    assert!(error.to_string().contains("out of memory"), "{error}");
    assert!(error.to_string().contains("smaller batches"), "{error}");
    fill(&mut first, 1100, 3.0).expect("a write that needs no more memory");
    let second = open();
    let moved = std::thread::spawn(move || {
        let found = first.read(array, 0, 1101).expect("numbers").into_owned();
        drop(first);
        found
    });
    let found = moved.join().expect("the thread ends well");
    assert!(found[..1100].iter().all(|x| *x == 3.0), "the last write");
    assert_eq!(found[1100], 0.0, "nothing was written there");
    drop(second);
}
