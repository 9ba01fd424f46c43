//! Stacked models: another model infers the values of a data variable. For example, M2 learns from
//! the latents that M1 infers from images.

use super::{FactorKind, Model, Role, Variable};
use crate::{distribution::Domain, id::Id};

/// A trained model that infers the values of a data variable, from its latent of the same name.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The data variable of the downstream model.
    pub variable: Id<Variable>,
    /// The model that infers it.
    pub model: Box<Model>,
    /// The latent of the upstream model that gives the values.
    pub latent: Id<Variable>,
}

/// The prefix of the names of the upstream model that infers `variable`: `from.z.`.
pub fn scope(variable: &str) -> String {
    format!("from.{variable}.")
}

impl Model {
    /// Adds an upstream model that infers the data variable `name`, from its latent of the same
    /// name.
    ///
    /// # Errors
    ///
    /// Why the models do not fit, and a way out.
    pub fn with_upstream(mut self, name: &str, model: Model) -> Result<Model, (String, String)> {
        let variable = self.find(name, Role::Data).ok_or_else(|| {
            let data = self.quoted(Role::Data);
            (
                format!("`{name}` is not a data variable of {}", self.name),
                format!("its data variables: {data}"),
            )
        })?;
        let latent = model.find(name, Role::Latent).ok_or_else(|| {
            let latents = model.quoted(Role::Latent);
            (
                format!("{} has no latent `{name}`", model.name),
                format!("its latents: {latents}"),
            )
        })?;
        if self.variables[variable.index()].standardized {
            return Err((
                format!("`{name}` is standardized, and only data in a data set can be"),
                "leave `standardized` out of its declaration".to_string(),
            ));
        }
        self.same_values(variable, &model, latent)?;
        model.is_inferred_from_data(latent)?;
        self.same_shared_data(&model, name)?;
        if self.upstream.iter().any(|other| other.variable == variable) {
            return Err((format!("two models infer `{name}`"), "keep one".to_string()));
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

    /// The names of the variables with a role, as text.
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

    /// Checks that a data variable can take the values of another model's latent.
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
            "`{}` is {}[{}] in {}, but {}[{}] in {}",
            declared.name,
            declared.domain.name(),
            declared.size(),
            self.name,
            inferred.domain.name(),
            inferred.size(),
            model.name
        );
        let help = "both must have the same size and the same type other than `class`; `--set` changes sizes";
        Err((title, help.to_string()))
    }

    /// Checks that q draws no class before a latent, and that the model has no upstream model
    /// itself.
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
            let help = "use a model that infers it from data only";
            return Err((title, help.to_string()));
        }
        if !self.upstream.is_empty() {
            let title = format!("{} has an upstream model itself", self.name);
            let help = "use an upstream model that reads only data sets";
            return Err((title, help.to_string()));
        }
        Ok(())
    }

    /// Checks that a data variable in both models has the same role, type and shape, because both
    /// models read the same array.
    fn same_shared_data(&self, model: &Model, inferred: &str) -> Result<(), (String, String)> {
        for id in model.always_observed() {
            let read = &model.variables[id.index()];
            let shared = self.variables.iter().find(|variable| {
                variable.name == read.name
                    && variable.name != inferred
                    && matches!(variable.role, Role::Data | Role::Given | Role::Label)
            });
            let differs = shared.is_some_and(|shared| {
                let reads_alike = |variable: &Variable| {
                    let Variable {
                        role,
                        domain,
                        missing,
                        ..
                    } = *variable;
                    (role, domain, missing, variable.shape.clone())
                };
                reads_alike(read) != reads_alike(shared)
            });
            if differs {
                let title = format!(
                    "`{}` differs in role, type or shape between {} and {}",
                    read.name, self.name, model.name
                );
                let help = "both models would read the same array of that name; rename one of the variables";
                return Err((title, help.to_string()));
            }
        }
        Ok(())
    }

    /// The data variables that p generates, each with its output name. A variable with an upstream
    /// model is replaced by the data variables of that model.
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

    /// A variable that p would have to sample but cannot, because its distribution has only a
    /// density. In an upstream model, every class variable counts, and every given variable that p reads.
    pub fn not_drawn(&self) -> Option<String> {
        self.not_drawn_except(None)
    }

    fn not_drawn_except(&self, given: Option<Id<Variable>>) -> Option<String> {
        let mut read = self.generative.iter().flat_map(|factor| &factor.parents);
        let is_given = |id: &&Id<Variable>| self.variables[id.index()].role == Role::Given;
        if given.is_some()
            && let Some(covariate) = read.find(is_given)
        {
            let name = &self.variables[covariate.index()].name;
            return Some(format!("`{name}` of {}, which is given", self.name));
        }
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
            upstream.and_then(|upstream| upstream.model.not_drawn_except(Some(upstream.latent)))
        })
    }

    /// The variables whose values come from data: data, given variables, labels and weights. A variable with an
    /// upstream model is replaced by those that the upstream model observes.
    pub fn read_variables(&self) -> Vec<&Variable> {
        let inferred = |id: usize| {
            self.upstream
                .iter()
                .find(|upstream| upstream.variable == Id::new(id))
        };
        let mut read: Vec<&Variable> = Vec::new();
        for (id, variable) in self.variables.iter().enumerate() {
            match (variable.role, inferred(id)) {
                (Role::Data, Some(upstream)) => {
                    let data = upstream
                        .model
                        .variables
                        .iter()
                        .filter(|variable| variable.role.is_always_observed());
                    read.extend(data);
                }
                (Role::Data | Role::Given | Role::Label | Role::Weight, _) => read.push(variable),
                _ => {}
            }
        }
        // Two models may read the same data.
        let mut names: Vec<&str> = Vec::new();
        read.retain(|variable| {
            let new = !names.contains(&variable.name.as_str());
            names.push(&variable.name);
            new
        });
        read
    }
}
