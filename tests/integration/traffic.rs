//! What kernels move, counted by the emulated GPU, beside what the emitter says and what the plan
//! says is the least.

use crate::common;

use common::{batch, emulator, parameters};
use dgc::{
    backend::{Device, Precision, cuda::emit},
    driver,
    lower::Mode,
    plan::NoiseSource,
    run::bound::{Engine, bound},
};
use std::collections::BTreeMap;

/// A launch as it was counted: bytes read and written, each once, and sectors asked for and needed.
#[derive(Debug)]
struct Counted {
    bytes: usize,
    sectors: usize,
    least: usize,
}

fn counted(path: &std::path::Path) -> BTreeMap<String, Counted> {
    let text = std::fs::read_to_string(path).expect("launches were counted");
    let line = |line: &str| {
        let mut words = line.split(' ');
        let name = words.next().expect("a name").to_string();
        let numbers: Vec<usize> = words.map(|word| word.parse().expect("a number")).collect();
        (
            name,
            Counted {
                bytes: numbers[0] + numbers[1],
                sectors: numbers[2],
                least: numbers[3],
            },
        )
    };
    text.lines().map(line).collect()
}

#[test]
fn launches_move_what_the_emitter_says() {
    launches_move("launches_move_what_the_emitter_says", Precision::F32);
}

#[test]
fn launches_in_bf16_move_what_the_emitter_says() {
    launches_move(
        "launches_in_bf16_move_what_the_emitter_says",
        Precision::Bf16,
    );
}

/// Counts what the launches of a step move, in a process of its own that runs the test again.
fn launches_move(test: &str, precision: Precision) {
    if emulator::skips_on_gpu("bytes that the emulated one counts") {
        return;
    }
    let Ok(path) = std::env::var("DGC_EMULATOR_COUNT") else {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("launches");
        // The emulated GPU starts with this variable.
        let path = path.to_str().expect("a plain name");
        return emulator::passes(&format!("traffic::{test}"), &[("DGC_EMULATOR_COUNT", path)]);
    };
    // Widths of whole sectors, as models mostly have.
    let sets = [
        ("pixels", "48"),
        ("classes", "8"),
        ("aux", "8"),
        ("latent", "16"),
        ("hidden", "32"),
        ("samples", "1"),
    ];
    let model = common::load(&common::root().join("models/adgm.dgm"), &sets);
    let (parameters, batch) = (parameters(&model), batch(&model, 40, 16));
    let device = Device::Cuda {
        nvrtc: None,
        precision,
    };
    bound(
        &model,
        &parameters,
        &batch,
        None,
        5,
        &Engine::Device(device),
    )
    .expect("a bound");
    let model = common::settled(&model);
    let plan = driver::plan(
        &driver::step(&model, &[16, 24], Mode::BOUND),
        NoiseSource::Generated,
    )
    .expect("a plan");
    let source = emit::emit(&plan, "bound", precision);
    let counted = counted(std::path::Path::new(&path));
    let (mut said, mut found, mut sectors, mut least) = (0, 0, 0, 0);
    for launch in &source.launches {
        let own = &counted[&launch.function];
        eprintln!("{}: {} bytes said, {own:?}", launch.function, launch.moved);
        // The key of the noise is the device's own.
        assert!(
            own.bytes <= launch.moved + 16,
            "{} moves more than is said: {own:?}, {}",
            launch.function,
            launch.moved
        );
        said += launch.moved;
        found += own.bytes;
        sectors += own.sectors;
        least += own.least;
    }
    let minimum = plan.total_cost(&[]).bytes as usize;
    eprintln!(
        "{found} bytes counted, {said} said, {minimum} at least; {sectors} sectors asked for, {least} needed"
    );
    assert!(
        found as f64 >= 0.95 * said as f64,
        "{found} bytes counted, {said} said"
    );
    if precision == Precision::Bf16 {
        // Arrays that are only multiplied take half of the bytes.
        let in_f32 = emit::emit(&plan, "bound", Precision::F32);
        let in_f32: usize = in_f32.launches.iter().map(|launch| launch.moved).sum();
        assert!(
            found as f64 <= 0.95 * in_f32 as f64,
            "{found} bytes counted, {in_f32} in f32"
        );
    }
    assert!(
        found as f64 <= 1.5 * minimum as f64,
        "{found} bytes counted, {minimum} at least"
    );
    assert!(
        sectors as f64 <= 1.5 * least as f64,
        "{sectors} sectors asked for, {least} needed"
    );
}
