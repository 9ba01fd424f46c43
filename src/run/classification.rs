//! Scores of predicted class probabilities against true classes.
//!
//! The definitions are those of scikit-learn 1.7, whose names are in brackets; rows without a true
//! class do not count.

use super::evaluate::likeliest;

/// Scores of the rows whose class is known.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassScores {
    /// The number of these rows.
    pub rows: usize,
    /// The number of these rows of each class.
    pub counts: Vec<usize>,
    /// The fraction of rows with a wrongly predicted class (1 − `accuracy_score`).
    pub error: f64,
    /// The mean over the classes that occur of the fraction of their rows that is wrongly predicted
    /// (1 − `balanced_accuracy_score`).
    pub balanced_error: f64,
    /// The mean over classes that occur or are predicted of the harmonic mean of precision and recall
    /// (`f1_score` with `average="macro"`).
    pub macro_f1: f64,
    /// The probability that a row of a class has a higher probability of the class than a row of
    /// another class; half of it for ties. The mean over the classes that occur, or for two classes
    /// that of class 1 (`roc_auc_score` with `multi_class="ovr"`). `None` if only one class occurs.
    pub auc: Option<f64>,
    /// The mean of −log of the probability of the true class, in nats (`log_loss`). Probabilities are
    /// at least 1.2·10⁻⁷, the resolution of f32.
    pub log_loss: f64,
    /// The expected calibration error of the predicted class's probability in 15 intervals of equal
    /// width (Guo et al. 2017): the mean over rows of |accuracy − mean probability| of the row's
    /// interval.
    pub calibration_error: f64,
}

/// Intervals of the calibration error.
const INTERVALS: usize = 15;

impl ClassScores {
    /// The scores of `probabilities`, with axes row, class, against `truth`, −1 for an unlabelled row.
    /// `None` without labelled rows.
    pub fn new(probabilities: &[f32], classes: usize, truth: &[i32]) -> Option<Self> {
        let predicted = likeliest(probabilities, classes);
        let rows: Vec<Row> = probabilities
            .chunks_exact(classes)
            .zip(predicted)
            .zip(truth)
            .filter_map(|((probabilities, predicted), &class)| {
                let class = usize::try_from(class)
                    .ok()
                    .filter(|&class| class < classes)?;
                Some(Row {
                    probabilities,
                    class,
                    predicted,
                })
            })
            .collect();
        if rows.is_empty() {
            return None;
        }
        let mut counts = vec![0usize; classes];
        let mut predictions = vec![0usize; classes];
        let mut hits = vec![0usize; classes];
        for row in &rows {
            counts[row.class] += 1;
            predictions[row.predicted] += 1;
            hits[row.class] += usize::from(row.predicted == row.class);
        }
        let all = rows.len() as f64;
        let right: usize = hits.iter().sum();
        let recalls = counts.iter().zip(&hits).filter(|(count, _)| **count > 0);
        let recalls = recalls.map(|(count, hits)| *hits as f64 / *count as f64);
        let f1 = (0..classes)
            .filter(|&class| counts[class] + predictions[class] > 0)
            .map(|class| 2.0 * hits[class] as f64 / (counts[class] + predictions[class]) as f64);
        Some(ClassScores {
            rows: rows.len(),
            error: (rows.len() - right) as f64 / all,
            balanced_error: 1.0 - mean(recalls),
            macro_f1: mean(f1),
            auc: auc(&rows, &counts),
            log_loss: log_loss(probabilities, classes, truth)?,
            calibration_error: calibration_error(&rows),
            counts,
        })
    }
}

/// The mean over labelled rows of −log of the probability of the true class, in nats, as
/// [`ClassScores::log_loss`]; `None` without labelled rows.
pub fn log_loss(probabilities: &[f32], classes: usize, truth: &[i32]) -> Option<f64> {
    let rows = probabilities.chunks_exact(classes).zip(truth);
    let losses = rows.filter_map(|(probabilities, &class)| {
        let probability = probabilities.get(usize::try_from(class).ok()?)?;
        Some(-f64::from(probability.max(f32::EPSILON)).ln())
    });
    let mut losses = losses.peekable();
    losses.peek().is_some().then(|| mean(losses))
}

/// A row whose class is known.
struct Row<'a> {
    probabilities: &'a [f32],
    class: usize,
    predicted: usize,
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value;
        count += 1.0;
    }
    sum / count
}

fn auc(rows: &[Row], counts: &[usize]) -> Option<f64> {
    let occurring: Vec<usize> = (0..counts.len())
        .filter(|&class| counts[class] > 0)
        .collect();
    match occurring[..] {
        [] | [_] => None,
        _ if counts.len() == 2 => Some(auc_of(rows, 1, counts[1])),
        _ => Some(mean(
            occurring
                .iter()
                .map(|&class| auc_of(rows, class, counts[class])),
        )),
    }
}

/// The area under the curve of one class against the others, from the ranks of its rows (Mann and
/// Whitney 1947). Equal probabilities share the mean of their ranks.
fn auc_of(rows: &[Row], class: usize, positives: usize) -> f64 {
    let mut ranked: Vec<(f32, bool)> = rows
        .iter()
        .map(|row| (row.probabilities[class], row.class == class))
        .collect();
    ranked.sort_by(|(left, _), (right, _)| left.total_cmp(right));
    let mut rank_sum = 0.0;
    let mut first = 0;
    for ties in ranked.chunk_by(|(left, _), (right, _)| left == right) {
        let rank = first as f64 + (ties.len() as f64 + 1.0) / 2.0;
        rank_sum += rank * ties.iter().filter(|(_, is_positive)| *is_positive).count() as f64;
        first += ties.len();
    }
    let (positives, all) = (positives as f64, rows.len() as f64);
    (rank_sum - positives * (positives + 1.0) / 2.0) / (positives * (all - positives))
}

fn calibration_error(rows: &[Row]) -> f64 {
    let mut gaps = [0.0; INTERVALS];
    for row in rows {
        let probability = f64::from(row.probabilities[row.predicted]);
        // Intervals are open below and closed above.
        let interval = (probability * INTERVALS as f64).ceil() as usize;
        let hit = f64::from(u8::from(row.predicted == row.class));
        gaps[interval.clamp(1, INTERVALS) - 1] += hit - probability;
    }
    gaps.iter().map(|gap| gap.abs()).sum::<f64>() / rows.len() as f64
}

#[cfg(test)]
mod tests {
    use super::ClassScores;

    /// Probabilities and classes that look random, two of them unknown.
    fn rows(rows: usize, classes: usize, seed: usize) -> (Vec<f32>, Vec<i32>) {
        let (mut probabilities, mut truth) = (Vec::new(), Vec::new());
        for i in 0..rows {
            let weight = |c: usize| (((i * 37 + c * 101 + seed) * 7919) % 97 + 1) as f32;
            let weights: Vec<f32> = (0..classes).map(weight).collect();
            let total: f32 = weights.iter().sum();
            let best = (0..classes)
                .rev()
                .max_by(|&x, &y| weights[x].total_cmp(&weights[y]));
            probabilities.extend(weights.iter().map(|weight| weight / total));
            truth.push(match i {
                5 | 11 => -1,
                _ if i % 4 == 0 => best.expect("there are classes") as i32,
                _ => ((i * 7 + i / 3 + seed) % classes) as i32,
            });
        }
        (probabilities, truth)
    }

    /// The numbers are those of scikit-learn 1.9.1 (`accuracy_score`, `balanced_accuracy_score`,
    /// `f1_score`, `roc_auc_score`, `log_loss`), and of the definition of the calibration error in
    /// NumPy, for the same rows.
    #[test]
    fn scores_are_those_of_scikit_learn() {
        let cases = [
            (
                (40, 4, 1),
                vec![7, 9, 7, 15],
                [
                    0.526_315_789,
                    0.541_269_841,
                    0.439_864_483,
                    0.562_312_776,
                    1.510_992_646,
                    0.235_148_645,
                ],
            ),
            (
                (30, 2, 3),
                vec![12, 16],
                [
                    0.571_428_571,
                    0.552_083_333,
                    0.425_641_026,
                    0.536_458_333,
                    0.909_367_204,
                    0.351_967_743,
                ],
            ),
        ];
        for ((count, classes, seed), counts, wanted) in cases {
            let (probabilities, truth) = rows(count, classes, seed);
            let found =
                ClassScores::new(&probabilities, classes, &truth).expect("some rows are labelled");
            assert_eq!((found.rows, &found.counts), (count - 2, &counts));
            let found = [
                found.error,
                found.balanced_error,
                found.macro_f1,
                found.auc.expect("several classes occur"),
                found.log_loss,
                found.calibration_error,
            ];
            for (found, wanted) in found.into_iter().zip(wanted) {
                assert!((found - wanted).abs() < 2e-7, "{found}, not {wanted}");
            }
        }
    }

    #[test]
    fn some_scores_need_labels_of_several_classes() {
        assert_eq!(ClassScores::new(&[0.5, 0.5], 2, &[-1]), None);
        let one = ClassScores::new(&[0.75, 0.25, 0.0, 1.0], 2, &[0, 0]).expect("rows are labelled");
        assert_eq!((one.auc, one.error, one.balanced_error), (None, 0.5, 0.5));
        // A probability of 0 counts as the resolution of f32.
        let wanted = -(0.75f64.ln() + f64::from(f32::EPSILON).ln()) / 2.0;
        assert!((one.log_loss - wanted).abs() < 1e-6);
    }
}
