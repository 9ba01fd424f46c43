//! The public interface: models, data sets, training and trained runs.
//!
//! The crate root re-exports everything here. The program `dgc` is a client of this module; it adds
//! arguments, a terminal and a progress bar.

mod cancel;
mod model;
mod draft;
mod stage;
mod device;
mod report;
mod compile;
mod system;
mod registries;
mod epoch;
mod selection;
mod numeric;
mod evaluation;
mod files;
mod results;
mod layout;
mod run;
mod calibrate;
mod chosen;
mod reconstruct;
mod impute;
mod sample;
mod overview;
mod picture;
mod inherited;
mod summary;
mod trainer;
mod seeds;
mod ensemble;

pub use crate::{
    backend::{Device, Precision, cpu::KernelFamily},
    diagnostic::{Diagnostic, Diagnostics, Severity},
    error::{Error, ErrorKind, Result},
    model::Model,
    note::Note,
    run::{
        arrays::NamedArray,
        best::{Best, Criterion},
        bound::{Arrays, Engine, Report as BoundReport},
        calibration::{Calibration, Temperature},
        classification::ClassScores,
        compiled::Compiled,
        data::{
            ClassNames, ColumnValues, DataArray, DataFiles, Dataset, ElementType, Field, Frame,
            LabelCounts, Memory, MemoryArray, Numbers, Source,
        },
        folder::CheckpointChoice,
    },
};
pub use cancel::Cancel;
pub use compile::{CompileOptions, EARLIEST_ARCHITECTURE, Programs, check_architecture};
pub use draft::{Recipe, draft, draft_arrays, draft_frame, drafts};
pub use ensemble::{Ensemble, EnsembleEvaluation};
pub use epoch::Epoch;
pub use evaluation::{
    Encoding, Encodings, Evaluation, LabelScores, Latents, Means, Prediction, Predictions,
};
pub use files::check_output;
pub use impute::{ImputedDraws, ImputedVariable};
pub use inherited::Inherited;
pub use layout::{ast, format_file, format_text};
pub use model::{Drawing, read_text};
#[cfg(feature = "cli")]
pub(crate) use model::{is_standard, shown_name};
pub use numeric::{NumericPrediction, NumericScores};
pub use overview::{Overview, RunOverview};
pub use registries::{DistributionEntry, EstimatorEntry, LineEntry, Registries, RegistryEntry};
pub use report::{CostReport, KernelCost, LaunchReport, ProgramCost};
pub use results::{ResultTable, TableFormat};
pub use run::Run;
pub use sample::{DrawnClasses, DrawnSamples, DrawnVariable, SampleOptions};
pub use seeds::{SeedScores, SeedSpread, Seeds};
pub use selection::{DataPart, Rows};
pub use stage::Stage;
pub use summary::{RowCounts, Summary};
pub use system::{FamiliesFinding, Finding, GpuFinding, System};
pub use trainer::{
    DataPlace, EarlyStopping, Options, Outcome, Progress, ResumeOptions, Trainer, ValidationRows,
};
