//! What a syntax tree says of variables before sizes are known.

use super::ast::{ExpressionKind, File, Item};

/// A declared variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// Its name.
    pub name: String,
    /// Whether its values are classes.
    pub is_class: bool,
}

/// A size without a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSize {
    /// Its name.
    pub name: String,
    /// The variables whose only size it is.
    pub variables: Vec<Outline>,
}

/// The variables of a file, and its sizes without a value, both in source order.
pub fn outline(file: &File) -> (Vec<Outline>, Vec<OpenSize>) {
    let (mut variables, mut open) = (Vec::new(), Vec::new());
    for item in &file.items {
        match item {
            Item::Size(bindings) => {
                let without = bindings.iter().filter(|(_, value)| value.is_none());
                open.extend(without.map(|(name, _)| OpenSize {
                    name: name.text.clone(),
                    variables: Vec::new(),
                }));
            }
            Item::Variable(declared) => {
                let outline = Outline {
                    name: declared.name.text.clone(),
                    is_class: declared.domain.text == "class",
                };
                variables.push(outline.clone());
                let [size] = declared.shape.as_slice() else {
                    continue;
                };
                let named = |open: &&mut OpenSize| matches!(&size.kind, ExpressionKind::Name(name) if *name == open.name);
                if let Some(open) = open.iter_mut().find(named) {
                    open.variables.push(outline);
                }
            }
            _ => {}
        }
    }
    (variables, open)
}
