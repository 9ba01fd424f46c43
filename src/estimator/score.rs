//! Score-function estimators (Williams 1992): a value is drawn from q. The gradient of log q, times
//! the learning signal minus a baseline (a control variate), makes the gradient unbiased.

use super::{
    Baseline, Choice, Drawn, Estimator,
    surrogate::{gradient_alone, greatest, gumbel, score},
};
use crate::tensor::{Axes, Graph, Node};

/// Draws a one-hot vector from q.
fn draw(graph: &mut Graph, choice: &Choice) -> Drawn {
    let noise = gumbel(graph, choice.uniform);
    let perturbed = graph.add(choice.log_q, noise);
    let perturbed = graph.stop_gradient(perturbed);
    Drawn {
        value: greatest(graph, perturbed, choice.axis),
        slots: None,
    }
}

/// log q of the drawn value.
fn log_q(graph: &mut Graph, choice: &Choice, drawn: &Drawn) -> Node {
    graph.contract(drawn.value, choice.log_q, &Axes::from(choice.axis))
}

/// The baseline of a sample is the mean of the row's other samples (Kool et al. 2019; VIMCO within
/// `bound importance`).
#[derive(Debug)]
pub struct LeaveOneOut;

impl Estimator for LeaveOneOut {
    fn name(&self) -> &'static str {
        "leave_one_out"
    }

    fn keyword(&self) -> &'static str {
        "score"
    }

    fn is_score_function(&self) -> bool {
        true
    }

    fn reads_learning_signal(&self) -> bool {
        true
    }

    fn fits_importance_weights(&self) -> bool {
        true
    }

    fn least_samples(&self) -> usize {
        2
    }

    fn draw(&self, graph: &mut Graph, choice: &Choice) -> Drawn {
        draw(graph, choice)
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        choice: &Choice,
        drawn: &Drawn,
        body: Node,
        _: Option<Baseline>,
    ) -> Option<Node> {
        let sample = Axes::from(choice.sample.expect("check requires two samples"));
        let log_q = log_q(graph, choice, drawn);
        // f − mean of the others = S / (S − 1) · (f − mean of all)
        let mean = graph.mean(body, &sample);
        let centred = graph.sub(body, mean);
        let signal = graph.scale(
            centred,
            choice.samples as f64 / (choice.samples as f64 - 1.0),
        );
        Some(score(graph, signal, log_q))
    }
}

/// The baseline is a network on the parents of q, fitted by least squares during training (NVIL,
/// Mnih and Gregor 2014).
#[derive(Debug)]
pub struct Learned;

impl Estimator for Learned {
    fn name(&self) -> &'static str {
        "learned"
    }

    fn keyword(&self) -> &'static str {
        "score"
    }

    fn takes_network(&self) -> bool {
        true
    }

    fn is_score_function(&self) -> bool {
        true
    }

    fn reads_learning_signal(&self) -> bool {
        true
    }

    fn draw(&self, graph: &mut Graph, choice: &Choice) -> Drawn {
        draw(graph, choice)
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        choice: &Choice,
        drawn: &Drawn,
        body: Node,
        baseline: Option<Baseline>,
    ) -> Option<Node> {
        let Baseline { value, mean, scale } = baseline.expect("a learned baseline has a network");
        let log_q = log_q(graph, choice, drawn);
        let body = graph.stop_gradient(body);
        let centred = graph.sub(body, mean);
        let predicted = graph.mul(scale, value);
        let signal = graph.sub(centred, predicted);
        let score = score(graph, signal, log_q);
        let wanted = graph.div(centred, scale);
        let wanted = graph.stop_gradient(wanted);
        let error = graph.sub(wanted, value);
        let square = graph.square(error);
        let fit = graph.scale(square, -0.5);
        let fit = gradient_alone(graph, fit);
        Some(graph.add(score, fit))
    }
}
