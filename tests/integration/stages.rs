//! Every model at every stage, sizes small enough to read.

use crate::common;

use common::{load, models, settled};
use dgc::{
    Stage,
    backend::{Precision, cuda::emit::BEGIN},
};

/// Sizes that keep a snapshot short; a model takes those that it has.
const SMALL: &[(&str, &str)] = &[
    ("pixels", "6"),
    ("classes", "3"),
    ("aux", "2"),
    ("latent", "2"),
    ("lower", "3"),
    ("upper", "2"),
    ("hidden", "4"),
    ("middle", "3"),
    ("top", "2"),
    ("side", "4"),
    ("channels", "2"),
    ("components", "3"),
    ("genes", "5"),
    ("types", "3"),
    ("batch", "4"),
    ("batch.labelled", "3"),
    ("batch.unlabelled", "4"),
];

const STAGES: &[(&str, Stage)] = &[
    ("ast", Stage::Ast),
    ("graph", Stage::Graph),
    ("bound", Stage::Bound),
    ("tensor", Stage::Tensor),
    ("gradient", Stage::Gradient),
    ("simplified", Stage::Simplified),
    ("plan", Stage::Plan),
];

#[test]
fn every_model_at_every_stage() {
    for file in models() {
        let full = load(&file, &[]);
        let has = |name: &str| full.settings.iter().any(|(known, _)| known == name);
        let sets: Vec<(&str, &str)> = SMALL
            .iter()
            .copied()
            .filter(|(name, _)| has(name))
            .collect();
        let model = load(&file, &sets);
        // Of a model whose steps change, those that it ends with.
        let settled = settled(&model);
        for (name, stage) in STAGES {
            let model = if matches!(stage, Stage::Ast | Stage::Graph | Stage::Bound) {
                &model
            } else {
                &settled
            };
            insta::assert_snapshot!(format!("{}-{name}", model.name), model.emit(*stage));
        }
        // Without the library, which `kernels/` holds.
        let cuda = settled.emit(Stage::Cuda(Precision::F32));
        let (_, own) = cuda
            .split_once(BEGIN)
            .expect("the model's functions follow the library");
        let heading = cuda.lines().next().expect("a source has lines");
        insta::assert_snapshot!(
            format!("{}-cuda", model.name),
            format!("{heading}\n\n{own}")
        );
    }
}
