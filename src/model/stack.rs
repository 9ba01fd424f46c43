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
    /// The model with a data variable inferred by another, whose latent has the same name.
    ///
    /// # Errors
    ///
    /// What stands against it, and a way out.
    pub fn with_upstream(mut self, name: &str, model: Model) -> Result<Model, (String, String)> {
        let variable = self.find(name, Role::Data).ok_or_else(|| {
            let data = self.quoted(Role::Data);
            (
                format!("`{name}` is no data variable of {}", self.name),
                format!("its data: {data}"),
            )
        })?;
        let latent = model.find(name, Role::Latent).ok_or_else(|| {
            let latents = model.quoted(Role::Latent);
            (
                format!("{} infers no latent `{name}`", model.name),
                format!("its latents: {latents}"),
            )
        })?;
        self.same_values(variable, &model, latent)?;
        model.is_inferred_from_data(latent)?;
        self.same_shared_data(&model, name)?;
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

    /// The variable of that name and role.
    fn find(&self, name: &str, role: Role) -> Option<Id<Variable>> {
        self.with_role(role)
            .find(|id| self.variables[id.index()].name == name)
    }

    /// The names of the variables with a role, as a list.
    fn quoted(&self, role: Role) -> String {
        let names: Vec<String> = self
            .with_role(role)
            .map(|id| format!("`{}`", self.variables[id.index()].name))
            .collect();
        if names.is_empty() {
            "none".to_string()
        } else {
            names.join(", ")
        }
    }

    /// That a data variable may take the values of another model's latent.
    fn same_values(
        &self,
        variable: Id<Variable>,
        model: &Model,
        latent: Id<Variable>,
    ) -> Result<(), (String, String)> {
        let declared = &self.variables[variable.index()];
        let inferred = &model.variables[latent.index()];
        let same = (declared.domain, declared.size()) == (inferred.domain, inferred.size());
        if same && declared.domain != Domain::Class {
            return Ok(());
        }
        let title = format!(
            "`{}` has {} features in {}, and {} in {}",
            declared.name,
            declared.size(),
            self.name,
            inferred.size(),
            model.name
        );
        let help = "both are to have one type and size; --set changes sizes";
        Err((title, help.to_string()))
    }

    /// That q draws no class before a latent, and that the data are the model's own.
    fn is_inferred_from_data(&self, latent: Id<Variable>) -> Result<(), (String, String)> {
        let mut before = self
            .inference
            .iter()
            .take_while(|factor| factor.child != latent);
        let class = before.find(|factor| {
            let is_class = self.variables[factor.child.index()].domain == Domain::Class;
            is_class && matches!(factor.kind, FactorKind::Distribution { .. })
        });
        if let Some(class) = class {
            let name = |id: Id<Variable>| &self.variables[id.index()].name;
            let title = format!(
                "{} infers `{}` from the class `{}`",
                self.name,
                name(latent),
                name(class.child)
            );
            let help = "name a model that infers it from data alone";
            return Err((title, help.to_string()));
        }
        if !self.upstream.is_empty() {
            let title = format!("{} stands on another model itself", self.name);
            let help = "a model may stand on one that has data of its own";
            return Err((title, help.to_string()));
        }
        Ok(())
    }

    /// That data with one name are of one kind and shape in both models, which read one array.
    fn same_shared_data(&self, model: &Model, inferred: &str) -> Result<(), (String, String)> {
        for id in model.with_role(Role::Data) {
            let read = &model.variables[id.index()];
            let shared = self.variables.iter().find(|variable| {
                variable.name == read.name
                    && variable.name != inferred
                    && matches!(variable.role, Role::Data | Role::Label)
            });
            let differs = shared.is_some_and(|shared| {
                (read.role, read.domain, &read.shape) != (shared.role, shared.domain, &shared.shape)
            });
            if differs {
                let title = format!(
                    "`{}` is not of one kind and shape in {} and {}",
                    read.name, self.name, model.name
                );
                let help = "both would read one array of that name; rename one of them";
                return Err((title, help.to_string()));
            }
        }
        Ok(())
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
