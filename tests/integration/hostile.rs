//! Compiled folders that somebody edited: each is refused by name, or runs within its memory.
//!
//! `DGC_HOSTILE=5000` makes so many edits instead of a few hundred.

use crate::common;

use dgc::{
    backend::{Device, Precision, cuda::emit},
    driver, files,
    id::Id,
    lower::Mode,
    model::{Batch, Model, Role},
    plan::{
        self, Access, Contraction, Instruction, Loop, NoiseSource, Plan, Storage, VerifiedPlan,
    },
    run::{
        compiled::{self, Compiled},
        data::{Column, Table, Values},
        evaluate::Evaluator,
        train::Stepper,
    },
    tensor::{Axis, AxisKind, philox},
};
use serde_json::Value;
use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::Instant,
};

/// Models with labels and sums over classes, batch norm and dropout, images, and mixtures.
const MODELS: [&str; 7] = [
    "adgm",
    "vae",
    "cadgm",
    "vae_mixture",
    "sdgm",
    "adgm_vat",
    "hvae",
];
const EDITS: usize = 300;

/// Random numbers by a seed.
struct Draws {
    seed: u64,
    taken: u32,
}

impl Draws {
    fn below(&mut self, count: usize) -> usize {
        self.taken += 1;
        let bits = philox::words(self.seed, 0, 1, self.taken)[0];
        bits as usize % count
    }
}

/// Every number of a value.
fn numbers<'v>(value: &'v mut Value, found: &mut Vec<&'v mut Value>) {
    match value {
        Value::Number(_) => found.push(value),
        Value::Array(values) => values.iter_mut().for_each(|value| numbers(value, found)),
        Value::Object(fields) => fields.values_mut().for_each(|value| numbers(value, found)),
        _ => {}
    }
}

/// Another number in place of one: near it, far from it, or at a limit.
fn edited(draws: &mut Draws, number: &Value) -> Value {
    let known = number.as_f64().unwrap_or(0.0);
    let whole = known as i64;
    match draws.below(12) {
        0 => Value::from(whole.saturating_add(1)),
        1 => Value::from(whole.saturating_sub(1).max(0)),
        2 => Value::from(0),
        3 => Value::from(whole.wrapping_mul(2)),
        4 => Value::from(whole / 2),
        5 => Value::from(draws.below(40)),
        6 => Value::from(draws.below(100_000)),
        7 => Value::from(u64::from(u32::MAX)),
        8 => Value::from(1u64 << (31 + draws.below(33))),
        9 => Value::from(u64::MAX - draws.below(3) as u64),
        10 => Value::from(-1 - draws.below(5) as i64),
        _ => Value::from(draws.below(4)),
    }
}

/// Writes a program's plan and its hash.
fn store(folder: &Path, program: &str, stored: &Value) {
    let text = serde_json::to_vec(stored).expect("plain data");
    let manifest = folder.join("compiled.json");
    let mut list: Value =
        serde_json::from_slice(&fs::read(&manifest).expect("a manifest")).expect("a manifest");
    list["files"][program] = files::hash(&text).into();
    fs::write(folder.join(program), text).expect("a file can be written");
    common::write_manifest(folder, &mut list);
}

/// Rows for a model, every class among them.
fn table(model: &Model, rows: usize) -> Table {
    let columns = model.read_variables().into_iter().map(|variable| {
        let label = variable.role == Role::Label;
        let width = if label { 1 } else { variable.size() };
        let values = match label {
            true => Values::Classes(
                (0..rows)
                    .map(|row| (row % variable.size()) as i32)
                    .collect(),
            ),
            false => Values::Bytes((0..rows * width).map(|at| (at * 37) as u8).collect()),
        };
        Column {
            name: variable.name.clone(),
            width,
            values,
        }
    });
    Table {
        rows,
        columns: columns.collect(),
    }
}

/// A small model in a folder, for the CPU.
fn compile(file: &Path, out: &Path) {
    let full = common::load(file, &[]);
    let small = [
        ("batch.labelled", "3"),
        ("batch.unlabelled", "4"),
        ("batch", "4"),
    ];
    let sets = common::SMALL.iter().chain(&small);
    let sets = sets.filter(|(name, _)| full.settings.iter().any(|(known, _)| known == name));
    let sets: Vec<(&str, &str)> = sets.copied().collect();
    let model = common::load(file, &sets);
    let programs =
        compiled::compile_model(&model, &[], Precision::F32).expect("the model compiles");
    let sets: Vec<(String, String)> = sets
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    compiled::write(out, &model, &sets, programs).expect("it is written");
}

/// One step and an evaluation of what a folder holds, on the CPU; CUDA sources are only written.
fn run(folder: &Path) -> Result<(), String> {
    let text = |error: dgc::error::Error| error.to_string();
    let Compiled {
        model,
        training,
        evaluate,
        ..
    } = compiled::read(folder).map_err(text)?;
    let builds = [&training.gradient, &training.update].into_iter();
    for build in builds.chain(training.steady.as_ref()) {
        emit::emit(&build.plan, "edited", Precision::Bf16);
    }
    emit::emit(&evaluate.plan, "edited", Precision::F32);
    let rows = match model.train.batch {
        Batch::All(rows) => rows,
        Batch::Cases { unlabelled, .. } => unlabelled,
    };
    let rows = table(&model, rows.max(12));
    let case = driver::derive(&model).cases.pop().expect("a case");
    let mut trainer =
        Stepper::with(model.clone(), &training, rows, 0, &Device::cpu(2)).map_err(text)?;
    trainer.step().map_err(text)?;
    trainer.settle().map_err(text)?;
    let evaluator = Evaluator::new(&mut trainer.session, &model, &case, &evaluate).map_err(text)?;
    let rows = table(&model, 12);
    evaluator
        .run(&mut trainer.session, &rows, 0)
        .map_err(text)?;
    Ok(())
}

#[test]
fn edited_folders_are_refused_or_run_in_bounds() {
    let edits = std::env::var("DGC_HOSTILE").ok();
    let edits = edits.map_or(EDITS, |count| count.parse().expect("a count"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folders = MODELS.map(|name| {
        let out = folder.path().join(name);
        compile(&common::root().join(format!("models/{name}.dgm")), &out);
        run(&out).expect("the folder as it was compiled runs");
        out
    });
    let (mut refused, mut ran) = (0, 0);
    for edit in 0..edits {
        let mut draws = Draws {
            seed: edit as u64,
            taken: 0,
        };
        let out = &folders[draws.below(folders.len())];
        let programs = ["gradient.json", "update.json", "evaluate.json"];
        let program = programs[draws.below(4).saturating_sub(1)];
        let bytes = fs::read(out.join(program)).expect("a program");
        let before: Value = serde_json::from_slice(&bytes).expect("plain data");
        let mut after = before.clone();
        let mut changes = Vec::new();
        {
            let mut found = Vec::new();
            numbers(&mut after, &mut found);
            for _ in 0..1 + draws.below(3) {
                let at = draws.below(found.len());
                let number = edited(&mut draws, found[at]);
                changes.push(format!("{at}: {} becomes {number}", found[at]));
                *found[at] = number;
            }
        }
        store(out, program, &after);
        let result = catch_unwind(AssertUnwindSafe(|| run(out)));
        store(out, program, &before);
        match result {
            Ok(Ok(())) => ran += 1,
            Ok(Err(message)) => {
                assert!(!message.is_empty());
                refused += 1;
            }
            Err(_) => panic!(
                "edit {edit} of {}: {program}: {changes:?} panics",
                out.display()
            ),
        }
    }
    eprintln!("{edits} edits: {refused} refused by name, {ran} ran");
    assert!(refused > edits / 2, "most edits break an invariant");
}

/// One edit for an invariant of the verifier, and what its error says.
type Edit = (&'static str, fn(&mut Plan));

/// The first store or reduction of a plan.
fn write(plan: &mut Plan) -> &mut Access {
    let loops = plan
        .kernels
        .iter_mut()
        .flat_map(|kernel| &mut kernel.epilogue);
    let mut instructions = loops.flat_map(|nest| &mut nest.instructions);
    let access = instructions.find_map(|instruction| match instruction {
        Instruction::Store(_, access) if access.strides.len() > 1 => Some(access),
        _ => None,
    });
    access.expect("a plan stores matrices")
}

/// The loops of a plan that only load, compute and reduce.
fn reducing_loops(plan: &mut Plan) -> impl Iterator<Item = &mut Loop> {
    let loops = plan.kernels.iter_mut().flat_map(|kernel| {
        kernel
            .setup
            .iter_mut()
            .chain(&mut kernel.prologue)
            .chain(&mut kernel.epilogue)
    });
    let reduces = |instruction: &Instruction| {
        matches!(
            instruction,
            Instruction::Constant(_)
                | Instruction::Load(_)
                | Instruction::Scalar(..)
                | Instruction::Reduce { .. }
        )
    };
    loops.filter(move |nest| nest.instructions.iter().all(reduces))
}

/// Has a loop repeat what it does along a further axis, which no buffer has.
fn repeat(nest: &mut Loop, axis: Id<Axis>, size: usize) {
    nest.axes.push(axis);
    nest.sizes.push(size);
    for instruction in &mut nest.instructions {
        match instruction {
            Instruction::Load(access) | Instruction::Reduce { access, .. } => {
                access.strides.push(0);
            }
            _ => {}
        }
    }
}

fn new_axis(plan: &mut Plan, size: usize) -> Id<Axis> {
    plan.axes.push(Axis {
        name: "repeated".to_string(),
        size,
        kind: AxisKind::Feature,
    });
    Id::new(plan.axes.len() - 1)
}

fn contraction(plan: &mut Plan) -> &mut Contraction {
    let contractions = plan
        .kernels
        .iter_mut()
        .filter_map(|kernel| kernel.contraction.as_mut());
    contractions
        .into_iter()
        .next()
        .expect("a plan has contractions")
}

const BROKEN: [Edit; 15] = [
    ("a size above 0", |plan| plan.axes[0].size = 0),
    ("the length of the buffer's axes", |plan| {
        plan.buffers[0].len += 1
    }),
    ("one of", |plan| plan.buffers[0].axes = vec![Id::new(9999)]),
    ("working memory that ends with its last buffer", |plan| {
        plan.arena *= 2
    }),
    ("buffers that live at once to lie apart", |plan| {
        for buffer in &mut plan.buffers {
            if let Storage::Arena(start) = &mut buffer.storage {
                *start = 0;
            }
        }
        let lens = plan
            .buffers
            .iter()
            .filter(|b| matches!(b.storage, Storage::Arena(_)));
        plan.arena = lens.map(|buffer| buffer.len).max().unwrap_or(0);
    }),
    ("a write of each element once", |plan| {
        write(plan).strides[0] = 1
    }),
    ("an element of the buffer", |plan| {
        write(plan).strides[0] *= 2
    }),
    ("at most", |plan| write(plan).strides[0] = usize::MAX),
    ("a stride for each axis", |plan| write(plan).strides.clear()),
    ("rows along the tile axis", |plan| contraction(plan).m += 1),
    ("strides above 0", |plan| {
        contraction(plan).products[0].left.row_stride = 0
    }),
    ("an element of the buffer", |plan| {
        contraction(plan).products[0].k += 1
    }),
    ("tiles that cover their axis", |plan| {
        let tiles = plan
            .kernels
            .iter_mut()
            .filter_map(|kernel| kernel.tile.as_mut());
        tiles.for_each(|tile| tile.count += 1);
    }),
    ("a loop in proportion to the memory", |plan| {
        let axis = new_axis(plan, 1 << 31);
        let nest = reducing_loops(plan).next().expect("a plan reduces");
        repeat(nest, axis, 1 << 31);
    }),
    ("an identifier as a kernel's name", |plan| {
        plan.kernels[0].name = "k() {} //".to_string();
    }),
];

#[test]
fn each_invariant_is_named() {
    let model = common::small(&common::root().join("models/adgm.dgm"));
    let graph = driver::step(&model, &[60, 70], Mode::TRAIN);
    let plan = driver::plan(&graph, NoiseSource::Generated)
        .expect("a plan")
        .into_plan();
    for (number, (expected, edit)) in BROKEN.iter().enumerate() {
        let mut broken = plan.clone();
        edit(&mut broken);
        let error = VerifiedPlan::new(broken)
            .expect_err("it is refused")
            .to_string();
        assert!(
            error.contains(&format!("expected {expected}")),
            "{number}: {error}"
        );
    }
    VerifiedPlan::new(plan).expect("the plan as it was built");
}

/// A loop may have more iterations than a 32-bit index counts, though every buffer is short.
#[test]
fn cuda_counts_long_loops() {
    let model = common::load(&common::root().join("models/adgm.dgm"), &[]);
    let graph = driver::step(&model, &[100, 100], Mode::TRAIN);
    let plan = driver::plan(&graph, NoiseSource::Generated).expect("a plan");
    let has_narrow_indices = |plan: &VerifiedPlan| {
        let source = emit::emit(plan, "long loops", Precision::F32);
        source.text.contains("typedef unsigned Index;")
    };
    assert!(has_narrow_indices(&plan), "every count fits 32 bits");
    let mut plan = plan.into_plan();
    let size = 1 << 15;
    let axis = new_axis(&mut plan, size);
    let nest = reducing_loops(&mut plan)
        .find(|nest| (1 << 17..1 << 25).contains(&nest.elements()))
        .expect("a plan reduces large arrays");
    repeat(nest, axis, size);
    let plan = VerifiedPlan::new(plan).expect("the loop is in proportion to its buffers");
    assert!(!has_narrow_indices(&plan), "a count needs 64 bits");
}

/// Prints the time of verification beside that of planning and of the whole compilation:
/// `cargo test --test integration -- --ignored --nocapture verification_time`.
#[test]
#[ignore = "it measures time"]
fn verification_time() {
    for name in ["adgm", "adgm_conv", "ladder"] {
        let model = common::load(&common::root().join(format!("models/{name}.dgm")), &[]);
        let rows = match model.train.batch {
            Batch::All(rows) => vec![rows],
            Batch::Cases {
                labelled,
                unlabelled,
                ..
            } => vec![labelled, unlabelled],
        };
        let (mut lowering, mut planning, mut verifying) =
            (f64::INFINITY, f64::INFINITY, f64::INFINITY);
        for _ in 0..20 {
            let start = Instant::now();
            let graph = driver::step(&model, &rows, Mode::TRAIN);
            lowering = lowering.min(start.elapsed().as_secs_f64());
            let start = Instant::now();
            let plan = plan::build(&graph, NoiseSource::Generated);
            planning = planning.min(start.elapsed().as_secs_f64());
            let start = Instant::now();
            let verified = VerifiedPlan::new(plan);
            verifying = verifying.min(start.elapsed().as_secs_f64());
            verified.expect("the planner keeps the invariants");
        }
        eprintln!(
            "{name}: graph {:.2} ms, plan {:.2} ms, verification {:.3} ms: {:.1} % of planning, \
             {:.1} % of the compilation",
            1e3 * lowering,
            1e3 * planning,
            1e3 * verifying,
            100.0 * verifying / planning,
            100.0 * verifying / (lowering + planning),
        );
    }
}
