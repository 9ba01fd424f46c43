//! Typed names of cases, terms of a bound, inputs and outputs of a program.
//!
//! Programs, plans and reports store these names as text. Only this file formats and parses that
//! text; no other code assembles or splits a name. Every name survives a round trip:
//! `name.to_string().parse() == Ok(name)`. Names are ordered by their text.

use std::{cmp::Ordering, convert::Infallible, fmt, str::FromStr};

/// Rows on which the same variables are observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CaseKind {
    /// Data and labels are observed.
    Labelled,
    /// Data are observed, labels are not.
    Unlabelled,
    /// Every row, for a model without labels.
    All,
    /// Not a case of the bound: rows that are drawn from the generative graph.
    Generated,
}

impl CaseKind {
    /// The cases that a bound may have, in the order in which reports show them.
    pub const BOUND_CASES: [CaseKind; 3] =
        [CaseKind::All, CaseKind::Labelled, CaseKind::Unlabelled];

    /// `labelled`: the first word in the names of inputs, noise and outputs.
    pub fn word(self) -> &'static str {
        match self {
            CaseKind::Labelled => "labelled",
            CaseKind::Unlabelled => "unlabelled",
            CaseKind::All => "all",
            CaseKind::Generated => "generate",
        }
    }

    /// The case with this word.
    pub fn find(word: &str) -> Option<Self> {
        let [all, labelled, unlabelled] = CaseKind::BOUND_CASES;
        [all, labelled, unlabelled, CaseKind::Generated]
            .into_iter()
            .find(|case| case.word() == word)
    }

    /// Splits `CASE.REST` into the case and the rest.
    fn split(text: &str) -> Option<(Self, &str)> {
        let (word, rest) = text.split_once('.')?;
        Some((CaseKind::find(word)?, rest))
    }
}

impl fmt::Display for CaseKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A term of a bound, as reports show it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TermName {
    /// `log p(x)`: the log-density of a variable given its parents in the generative graph.
    LogP(String),
    /// `-log q(z)`: minus the log-density of a variable given its parents in the inference graph.
    NegLogQ(String),
    /// `-KL(z)`: minus the divergence of a variable's posterior from its prior, in closed form.
    NegKl(String),
    /// `log weight`: the log of an importance weight summed over classes.
    LogWeight,
    /// `log mean weight`: the log of the mean of importance weights over samples.
    LogMeanWeight,
}

impl TermName {
    /// The variable of the term; `None` for a term of several variables.
    pub fn variable(&self) -> Option<&str> {
        match self {
            TermName::LogP(variable) | TermName::NegLogQ(variable) | TermName::NegKl(variable) => {
                Some(variable)
            }
            TermName::LogWeight | TermName::LogMeanWeight => None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "log weight" => return Some(TermName::LogWeight),
            "log mean weight" => return Some(TermName::LogMeanWeight),
            _ => {}
        }
        let (head, variable) = text.strip_suffix(')')?.split_once('(')?;
        let variable = variable.to_string();
        match head {
            "log p" => Some(TermName::LogP(variable)),
            "-log q" => Some(TermName::NegLogQ(variable)),
            "-KL" => Some(TermName::NegKl(variable)),
            _ => None,
        }
    }
}

impl fmt::Display for TermName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            TermName::LogP(variable) => write!(f, "log p({variable})"),
            TermName::NegLogQ(variable) => write!(f, "-log q({variable})"),
            TermName::NegKl(variable) => write!(f, "-KL({variable})"),
            TermName::LogWeight => write!(f, "log weight"),
            TermName::LogMeanWeight => write!(f, "log mean weight"),
        }
    }
}

/// The metric of the lines that add a classification loss: the mean cross-entropy of a label.
pub const CLASSIFICATION: &str = "classification";
/// The metric of the lines that add a regression loss: the mean of −log q of a label.
pub const REGRESSION: &str = "regression";

/// An output of a program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OutputName {
    /// `loss` of a training step.
    Loss,
    /// `gradient_norm` of an update, before clipping.
    GradientNorm,
    /// `CASE.bound`: the mean over the rows of a case.
    CaseBound(CaseKind),
    /// `CASE.per_row`: the bound of each row of a case.
    PerRow(CaseKind),
    /// `CASE.TERM`: the mean of a term over the rows of a case.
    CaseTerm(CaseKind, TermName),
    /// `METRIC.VARIABLE` or `METRIC.CASE.VARIABLE`: a metric of a line of the objective.
    Metric {
        /// The name of the metric: `classification`, `smoothness`, …
        metric: String,
        /// The case whose rows are averaged, if the line reports each case separately.
        case: Option<CaseKind>,
        /// The label or the node that the line names.
        variable: String,
    },
    /// `bound` of each row, in evaluation.
    Bound,
    /// A term of each row, in evaluation: `log p(x)`.
    Term(TermName),
    /// `likelihood`: the estimate of the log-likelihood of each row.
    Likelihood,
    /// `predict.LABEL`: probabilities of the classes of each row; for a numeric label, its mean.
    Predict(String),
    /// `deviation.LABEL`: the standard deviation of a numeric label, for each row.
    Deviation(String),
    /// `encode.LATENT`: the posterior mean of each row.
    Encode(String),
    /// `reconstruct.VARIABLE`: the mean of a data variable given what is inferred of each row.
    Reconstruct(String),
    /// `head.VARIABLE.HEAD`: a head of a data variable given what is drawn for each row.
    Head {
        /// The data variable.
        variable: String,
        /// The head, such as `log_rate`; `probabilities` of a class, `data.mean` and `data.deviation` of
        /// standardized data.
        head: String,
    },
    /// `at_limit.HEAD`: the share of the values of a head, such as `p.x.log_rate`, that are at the limit
    /// of its range, for each row.
    AtLimit(String),
    /// A parameter, a gradient or a variable, by its name.
    Array(String),
}

impl OutputName {
    /// The metric of a line of the objective for a variable, over all rows that the line reads.
    pub fn metric(metric: &str, variable: &str) -> Self {
        OutputName::Metric {
            metric: metric.to_string(),
            case: None,
            variable: variable.to_string(),
        }
    }

    /// Whether it is the metric `name`, for any case and variable.
    pub fn is_metric(&self, name: &str) -> bool {
        matches!(self, OutputName::Metric { metric, .. } if metric == name)
    }

    /// Whether it is an evaluation output with one number per row, to be averaged over rows.
    pub fn is_number_per_row(&self) -> bool {
        matches!(
            self,
            OutputName::Bound | OutputName::Term(_) | OutputName::Likelihood
        )
    }

    /// Its position in JSON reports: the name of the enclosing object, if any, and the key.
    /// `labelled.log p(x)` is the key `log p(x)` in the object `labelled`.
    pub fn grouped(&self) -> (Option<String>, String) {
        match self.to_string().split_once('.') {
            Some((group, key)) => (Some(group.to_string()), key.to_string()),
            None => (None, self.to_string()),
        }
    }
}

impl fmt::Display for OutputName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            OutputName::Loss => write!(f, "loss"),
            OutputName::GradientNorm => write!(f, "gradient_norm"),
            OutputName::CaseBound(case) => write!(f, "{case}.bound"),
            OutputName::PerRow(case) => write!(f, "{case}.per_row"),
            OutputName::CaseTerm(case, term) => write!(f, "{case}.{term}"),
            OutputName::Metric {
                metric,
                case: Some(case),
                variable,
            } => write!(f, "{metric}.{case}.{variable}"),
            OutputName::Metric {
                metric,
                case: None,
                variable,
            } => write!(f, "{metric}.{variable}"),
            OutputName::Bound => write!(f, "bound"),
            OutputName::Term(term) => write!(f, "{term}"),
            OutputName::Likelihood => write!(f, "likelihood"),
            OutputName::Predict(label) => write!(f, "predict.{label}"),
            OutputName::Deviation(label) => write!(f, "deviation.{label}"),
            OutputName::Encode(latent) => write!(f, "encode.{latent}"),
            OutputName::Reconstruct(variable) => write!(f, "reconstruct.{variable}"),
            OutputName::Head { variable, head } => write!(f, "head.{variable}.{head}"),
            OutputName::AtLimit(head) => write!(f, "at_limit.{head}"),
            OutputName::Array(name) => write!(f, "{name}"),
        }
    }
}

impl From<&str> for OutputName {
    /// Parses a name. Text of no other form is the name of an array.
    fn from(text: &str) -> Self {
        match text {
            "loss" => return OutputName::Loss,
            "gradient_norm" => return OutputName::GradientNorm,
            "bound" => return OutputName::Bound,
            "likelihood" => return OutputName::Likelihood,
            _ => {}
        }
        if let Some(term) = TermName::parse(text) {
            return OutputName::Term(term);
        }
        let array = || OutputName::Array(text.to_string());
        if let Some((case, rest)) = CaseKind::split(text) {
            return match rest {
                "bound" => OutputName::CaseBound(case),
                "per_row" => OutputName::PerRow(case),
                term => TermName::parse(term)
                    .map_or_else(array, |term| OutputName::CaseTerm(case, term)),
            };
        }
        match text.split_once('.') {
            Some(("predict", label)) => OutputName::Predict(label.to_string()),
            Some(("deviation", label)) => OutputName::Deviation(label.to_string()),
            Some(("encode", latent)) => OutputName::Encode(latent.to_string()),
            Some(("reconstruct", variable)) => OutputName::Reconstruct(variable.to_string()),
            Some(("at_limit", head)) => OutputName::AtLimit(head.to_string()),
            Some(("head", rest)) => match rest.split_once('.') {
                None => array(),
                Some((variable, head)) => OutputName::Head {
                    variable: variable.to_string(),
                    head: head.to_string(),
                },
            },
            // `from.z.x` is a variable of an upstream model.
            None | Some(("from", _)) => array(),
            Some((metric, rest)) => {
                let (case, variable) = match CaseKind::split(rest) {
                    Some((case, variable)) => (Some(case), variable),
                    None => (None, rest),
                };
                OutputName::Metric {
                    metric: metric.to_string(),
                    case,
                    variable: variable.to_string(),
                }
            }
        }
    }
}

impl FromStr for OutputName {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.into())
    }
}

impl From<String> for OutputName {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl PartialOrd for OutputName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OutputName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.to_string().cmp(&other.to_string())
    }
}

/// An input of a program that lowering builds from a model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum InputName {
    /// `CASE.VARIABLE`: the values of an observed variable in the rows of a case.
    Observed(CaseKind, String),
    /// `row_key.STREAM`: the keys of the rows' noise in evaluation, such as `row_key.unlabelled.z`.
    RowKey(String),
    /// `labelled`: the weight of the labelled rows' bound.
    LabelledWeight,
    /// `KIND.VARIABLE`: a number that changes from step to step or depends on the training rows,
    /// such as `beta.z`, `weight.y`, `smooth.y` or `temperature.c`.
    Number {
        /// `beta`, `weight`, `smooth` or an estimator's name for its number.
        kind: String,
        /// The variable that it belongs to.
        variable: String,
    },
}

impl InputName {
    /// `KIND.VARIABLE`.
    pub fn number(kind: &str, variable: &str) -> Self {
        InputName::Number {
            kind: kind.to_string(),
            variable: variable.to_string(),
        }
    }

    /// Parses the name of an input.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((case, variable)) = CaseKind::split(text) {
            return Some(InputName::Observed(case, variable.to_string()));
        }
        if text == "labelled" {
            return Some(InputName::LabelledWeight);
        }
        let (kind, variable) = text.split_once('.')?;
        if kind == "row_key" {
            return Some(InputName::RowKey(variable.to_string()));
        }
        Some(InputName::number(kind, variable))
    }
}

impl fmt::Display for InputName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            InputName::Observed(case, variable) => write!(f, "{case}.{variable}"),
            InputName::RowKey(stream) => write!(f, "row_key.{stream}"),
            InputName::LabelledWeight => write!(f, "labelled"),
            InputName::Number { kind, variable } => write!(f, "{kind}.{variable}"),
        }
    }
}

/// The input of an update that holds the learning rate of the step.
pub const RATE: &str = "rate";
/// The input of an update that holds the number of the step, 1 for the first.
pub const STEP: &str = "step";
/// The input of an update that holds the precision of the weights' prior, per training row.
pub const PRIOR: &str = "prior";
/// The state of an update that holds the average of the parameters, and the input that holds the
/// weight of this step's parameters in it.
pub const AVERAGE: &str = "average";

/// Parameters that an update processes together, as one flat array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParameterGroup {
    /// `weights`: weights of linear layers, which priors and decay apply to.
    Weights,
    /// `others`: all other trained parameters.
    Others,
    /// `untrained`: parameters without a gradient, which are the running averages of batch norm and
    /// the parameters of upstream models. An update reads them for the average of the parameters.
    Untrained,
}

impl ParameterGroup {
    /// Every group, in the order of their parameters.
    pub const ALL: [ParameterGroup; 3] = [
        ParameterGroup::Weights,
        ParameterGroup::Others,
        ParameterGroup::Untrained,
    ];

    /// The name of its array.
    fn word(self) -> &'static str {
        match self {
            ParameterGroup::Weights => "weights",
            ParameterGroup::Others => "others",
            ParameterGroup::Untrained => "untrained",
        }
    }
}

/// A flat array that an update reads or writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UpdateArray {
    /// `GROUP`: the parameters.
    Parameters(ParameterGroup),
    /// `GROUP.gradient`: their gradients.
    Gradients(ParameterGroup),
    /// `GROUP.STATE`: a state of the optimiser, or [`AVERAGE`].
    State(ParameterGroup, String),
}

impl UpdateArray {
    /// The group of parameters that the array belongs to.
    pub fn group(&self) -> ParameterGroup {
        match self {
            UpdateArray::Parameters(group)
            | UpdateArray::Gradients(group)
            | UpdateArray::State(group, _) => *group,
        }
    }

    /// Parses the name of an array.
    pub fn parse(text: &str) -> Option<Self> {
        let (group, array) = match text.split_once('.') {
            Some((group, array)) => (group, Some(array)),
            None => (text, None),
        };
        let group = ParameterGroup::ALL
            .into_iter()
            .find(|found| found.word() == group)?;
        Some(match array {
            None => UpdateArray::Parameters(group),
            Some("gradient") => UpdateArray::Gradients(group),
            Some(state) => UpdateArray::State(group, state.to_string()),
        })
    }
}

impl fmt::Display for ParameterGroup {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Display for UpdateArray {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            UpdateArray::Parameters(group) => write!(f, "{group}"),
            UpdateArray::Gradients(group) => write!(f, "{group}.gradient"),
            UpdateArray::State(group, state) => write!(f, "{group}.{state}"),
        }
    }
}

/// The name of the parameter with the means of a standardized variable over the training rows.
pub fn mean_name(variable: &str) -> String {
    format!("data.{variable}.mean")
}

/// The name of the parameter with the logarithms of the deviations of a standardized variable over the
/// training rows.
pub fn log_deviation_name(variable: &str) -> String {
    format!("data.{variable}.log_deviation")
}

/// The name of the parameter with the logarithms of the frequencies of a variable's classes among the
/// training rows.
pub fn log_frequency_name(variable: &str) -> String {
    format!("data.{variable}.log_frequency")
}

#[cfg(test)]
mod tests {
    use super::{CaseKind, InputName, OutputName, ParameterGroup, TermName, UpdateArray};

    fn terms() -> Vec<TermName> {
        vec![
            TermName::LogP("x".to_string()),
            TermName::NegLogQ("z".to_string()),
            TermName::NegKl("z".to_string()),
            TermName::LogWeight,
            TermName::LogMeanWeight,
        ]
    }

    #[test]
    fn output_names_read_back() {
        let name = |text: &str| text.to_string();
        let mut names = vec![
            OutputName::Loss,
            OutputName::GradientNorm,
            OutputName::Bound,
            OutputName::Likelihood,
            OutputName::Predict(name("y")),
            OutputName::Encode(name("z")),
            OutputName::Reconstruct(name("x")),
            OutputName::AtLimit(name("p.x.log_rate")),
            OutputName::metric("classification", "y"),
            OutputName::Metric {
                metric: name("smoothness"),
                case: Some(CaseKind::Labelled),
                variable: name("y"),
            },
            OutputName::Array(name("x")),
            OutputName::Array(name("from.z.x")),
        ];
        for case in CaseKind::BOUND_CASES {
            names.extend([OutputName::CaseBound(case), OutputName::PerRow(case)]);
            names.extend(
                terms()
                    .into_iter()
                    .map(|term| OutputName::CaseTerm(case, term)),
            );
        }
        names.extend(terms().into_iter().map(OutputName::Term));
        for name in names {
            assert_eq!(OutputName::from(name.to_string()), name);
        }
    }

    #[test]
    fn update_arrays_read_back() {
        for group in ParameterGroup::ALL {
            for array in [
                UpdateArray::Parameters(group),
                UpdateArray::Gradients(group),
                UpdateArray::State(group, "velocity".to_string()),
            ] {
                assert_eq!(UpdateArray::parse(&array.to_string()), Some(array));
            }
        }
    }

    #[test]
    fn input_names_read_back() {
        for name in [
            InputName::Observed(CaseKind::Unlabelled, "x".to_string()),
            InputName::Observed(CaseKind::Generated, "y".to_string()),
            InputName::RowKey("unlabelled.z.angle".to_string()),
            InputName::LabelledWeight,
            InputName::number("beta", "z"),
        ] {
            assert_eq!(InputName::parse(&name.to_string()), Some(name));
        }
    }
}
