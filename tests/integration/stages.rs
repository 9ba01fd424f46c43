//! The texts of every model's syntax tree, graphs and bound, of `models` and `bench`, at sizes small
//! enough to read. What they become is in `tests/golden`, for one small model a construct.

use crate::common;

use common::{load, models, models_in};
use dgc::Stage;

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
];

#[test]
fn every_model_at_every_stage() {
    let timed = models_in(&common::root().join("bench"));
    for file in models().into_iter().chain(timed) {
        let full = load(&file, &[]);
        let has = |name: &str| full.settings.iter().any(|(known, _)| known == name);
        let sets: Vec<(&str, &str)> = SMALL
            .iter()
            .copied()
            .filter(|(name, _)| has(name))
            .collect();
        let model = load(&file, &sets);
        for (name, stage) in STAGES {
            let text = model.emit(*stage).expect("a small model");
            insta::assert_snapshot!(format!("{}-{name}", model.name), text);
        }
    }
}
