//! What a run took from the run that it began with.

use serde::Serialize;
use std::fmt;

/// What a run took from the run that it began with. `Display` prints a line for each difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inherited {
    /// The folder of the other run.
    pub run: String,
    /// The number of parameters that have the values of the other run, wholly or in part.
    pub copied: usize,
    /// The number of all parameters.
    pub parameters: usize,
    /// Parameters of which a part is copied: the name, the shape in the other run and the shape here.
    pub grown: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// Parameters that are new because their shape differs in another way, likewise.
    pub reshaped: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// Parameters that the other run lacks.
    pub new: Vec<String>,
    /// Parameters of the other run that the model lacks.
    pub unused: Vec<String>,
}

impl fmt::Display for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inherited {
            run,
            copied,
            parameters,
            ..
        } = self;
        writeln!(
            f,
            "begins with {copied} of {parameters} parameters of {run}"
        )?;
        for (name, before, now) in &self.grown {
            writeln!(f, "  {name}: {before:?} copied, the rest of {now:?} is new")?;
        }
        for (name, before, now) in &self.reshaped {
            writeln!(
                f,
                "  {name}: new, because its shape was {before:?} and is {now:?}"
            )?;
        }
        for name in &self.new {
            writeln!(f, "  {name}: new, because the run lacks it")?;
        }
        for name in &self.unused {
            writeln!(f, "  {name}: not used, because the model lacks it")?;
        }
        Ok(())
    }
}
