//! Models on top of models: a data variable whose values another model infers, as M2 learns from
//! what M1 makes of images.

use super::{FactorKind, Model, Role, Variable};
use crate::{distribution::Domain, id::Id};

/// A model that was trained before, and gives a data variable the values that it infers for its
/// latent of the same name.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The data variable of the model on top.
    pub variable: Id<Variable>,
    /// The model that infers it.
    pub model: Box<Model>,
    /// The latent of that model whose values it takes.
    pub latent: Id<Variable>,
}

/// What the names of a model begin with that infers this variable for another: `from.z.`.
pub fn scope(variable: &str) -> String {
    format!("from.{variable}.")
}

impl Model {
    /// The model with a data variable inferred by another, whose latent has the same name. Or what
    /// stands against it, and a way out.
    pub fn with_upstream(mut self, name: &str, model: Model) -> Result<Model, (String, String)> {
        let find = |model: &Model, role: Role| {
            let is_wanted = |variable: &Variable| variable.name == name && variable.role == role;
            model.variables.iter().position(is_wanted).map(Id::new)
        };
        let names = |model: &Model, role: Role| {
            let variables = model
                .variables
                .iter()
                .filter(|variable| variable.role == role);
            let names: Vec<String> = variables
                .map(|variable| format!("`{}`", variable.name))
                .collect();
            if names.is_empty() {
                "none".to_string()
            } else {
                names.join(", ")
            }
        };
        let Some(variable) = find(&self, Role::Data) else {
            let data = names(&self, Role::Data);
            return Err((
                format!("`{name}` is no data variable of {}", self.name),
                format!("its data: {data}"),
            ));
        };
        let Some(latent) = find(&model, Role::Latent) else {
            let latents = names(&model, Role::Latent);
            return Err((
                format!("{} infers no latent `{name}`", model.name),
                format!("its latents: {latents}"),
            ));
        };
        let (declared, inferred) = (
            &self.variables[variable.index()],
            &model.variables[latent.index()],
        );
        if (declared.domain, declared.size()) != (inferred.domain, inferred.size())
            || declared.domain == Domain::Class
        {
            let title = format!(
                "`{name}` has {} features in {}, and {} in {}",
                declared.size(),
                self.name,
                inferred.size(),
                model.name
            );
            return Err((
                title,
                "both are to have one type and size; --set changes sizes".to_string(),
            ));
        }
        let before = model
            .inference
            .iter()
            .take_while(|factor| factor.child != latent);
        let mut drawn =
            before.filter(|factor| matches!(factor.kind, FactorKind::Distribution { .. }));
        if let Some(class) =
            drawn.find(|factor| model.variables[factor.child.index()].domain == Domain::Class)
        {
            let class = &model.variables[class.child.index()].name;
            let title = format!("{} infers `{name}` from the class `{class}`", model.name);
            return Err((
                title,
                "name a model that infers it from data alone".to_string(),
            ));
        }
        if !model.upstream.is_empty() {
            let title = format!("{} stands on another model itself", model.name);
            return Err((
                title,
                "a model may stand on one that has data of its own".to_string(),
            ));
        }
        // One array is what both models call by its name.
        let shared = |read: &&Variable| {
            self.variables.iter().find(|variable| {
                variable.name == read.name
                    && variable.name != name
                    && matches!(variable.role, Role::Data | Role::Label)
            })
        };
        let of_data = model
            .variables
            .iter()
            .filter(|read| read.role == Role::Data);
        let clash = of_data.filter_map(|read| Some((read, shared(&read)?)));
        let clash = clash.filter(|(read, shared)| {
            (read.role, read.domain, &read.shape) != (shared.role, shared.domain, &shared.shape)
        });
        if let Some((read, _)) = clash.into_iter().next() {
            let title = format!(
                "`{}` is not of one kind and shape in {} and {}",
                read.name, self.name, model.name
            );
            return Err((
                title,
                "both would read one array of that name; rename one of them".to_string(),
            ));
        }
        if self.upstream.iter().any(|other| other.variable == variable) {
            return Err((
                format!("`{name}` has two models that infer it"),
                "name one".to_string(),
            ));
        }
        self.upstream.push(Upstream {
            variable,
            model: Box::new(model),
            latent,
        });
        Ok(self)
    }

    /// The data variables that p generates, each with the name under which it is generated: in
    /// place of one that another model infers, that model's data.
    pub fn generated(&self) -> Vec<(String, &Variable)> {
        let mut generated = Vec::new();
        for factor in &self.generative {
            let variable = &self.variables[factor.child.index()];
            match self
                .upstream
                .iter()
                .find(|upstream| upstream.variable == factor.child)
            {
                Some(upstream) => {
                    let data = upstream.model.generated().into_iter();
                    generated.extend(
                        data.map(|(name, data)| (format!("{}{name}", scope(&variable.name)), data)),
                    );
                }
                None if variable.role == Role::Data => {
                    generated.push((variable.name.clone(), variable))
                }
                None => {}
            }
        }
        generated
    }

    /// A variable that p would have to draw and cannot: it has a density only. In a model that
    /// infers a variable for this one every class is such.
    pub fn not_drawn(&self) -> Option<String> {
        self.not_drawn_but(None)
    }

    fn not_drawn_but(&self, given: Option<Id<Variable>>) -> Option<String> {
        self.generative.iter().find_map(|factor| {
            let variable = &self.variables[factor.child.index()];
            let upstream = self
                .upstream
                .iter()
                .find(|upstream| upstream.variable == factor.child);
            let FactorKind::Distribution { distribution, .. } = &factor.kind else {
                return None;
            };
            let inner = given.is_some();
            let is_given =
                given == Some(factor.child) || !inner && variable.domain == Domain::Class;
            let is_mean = variable.role == Role::Data && upstream.is_none();
            if !is_given && !is_mean && distribution.noise().is_none() {
                return Some(format!(
                    "`{}` of {} from {}",
                    variable.name,
                    self.name,
                    distribution.name()
                ));
            }
            upstream.and_then(|upstream| upstream.model.not_drawn_but(Some(upstream.latent)))
        })
    }

    /// The variables that data give: labels, and data variables; in place of one that another model
    /// infers, that model's data.
    pub fn given(&self) -> Vec<&Variable> {
        let inferred = |id: usize| {
            self.upstream
                .iter()
                .find(|upstream| upstream.variable == Id::new(id))
        };
        let mut given: Vec<&Variable> = Vec::new();
        for (id, variable) in self.variables.iter().enumerate() {
            match (variable.role, inferred(id)) {
                (Role::Data, Some(upstream)) => {
                    let data = upstream
                        .model
                        .variables
                        .iter()
                        .filter(|variable| variable.role == Role::Data);
                    given.extend(data);
                }
                (Role::Data | Role::Label, _) => given.push(variable),
                _ => {}
            }
        }
        // Two models may read the same data.
        let mut names: Vec<&str> = Vec::new();
        given.retain(|variable| {
            let new = !names.contains(&variable.name.as_str());
            names.push(&variable.name);
            new
        });
        given
    }
}
