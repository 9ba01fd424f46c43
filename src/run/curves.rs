//! The learning curves of a run as an SVG picture: the bound, or else the loss, the errors, and the log
//! losses of labels over the epochs.
//!
//! The picture needs no script, and follows the light or dark colours of its reader.

use serde_json::Value;

/// The width of the picture, and the sides of a panel's plot.
const WIDTH: f64 = 760.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 24.0;
const ABOVE: f64 = 46.0;
const PLOT: f64 = 220.0;
const BELOW: f64 = 44.0;
/// The height of the title.
const TITLE: f64 = 34.0;

const STYLE: &str = "text { font: 13px system-ui, sans-serif; fill: #24292f } \
    .title { font-size: 16px } .number { text-anchor: end } .epoch { text-anchor: middle } \
    .back { fill: #ffffff } .grid { stroke: #d8dde3 } .best { stroke: #8a929b; stroke-dasharray: 4 4 } \
    .line { fill: none; stroke-width: 2 } \
    .c0 { stroke: #3b82c4 } .c1 { stroke: #c8711a } .c2 { stroke: #2f9e6e } .c3 { stroke: #b65bbd } \
    circle.c0, rect.c0 { fill: #3b82c4 } circle.c1, rect.c1 { fill: #c8711a } \
    circle.c2, rect.c2 { fill: #2f9e6e } circle.c3, rect.c3 { fill: #b65bbd } \
    @media (prefers-color-scheme: dark) { text { fill: #d5dae0 } .back { fill: #15181c } \
    .grid { stroke: #30363d } }";
/// The number of colours in the style.
const COLOURS: usize = 4;

/// A number over the epochs.
struct Line {
    name: String,
    /// Epochs and values, in order.
    points: Vec<(f64, f64)>,
}

/// Numbers with a common scale.
struct Panel {
    title: &'static str,
    lines: Vec<Line>,
}

/// The curves of a run, from the metrics of its epochs, in order. A dashed line marks the best epoch.
/// `None` without epochs.
pub fn svg(title: &str, epochs: &[Value], best: Option<u64>) -> Option<String> {
    let panels = panels(epochs);
    let first = epochs.first()?["epoch"].as_f64()?;
    let last = epochs.last()?["epoch"].as_f64()?;
    let height = TITLE + panels.len() as f64 * (ABOVE + PLOT + BELOW);
    let mut body = String::new();
    for (at, panel) in panels.iter().enumerate() {
        let top = TITLE + at as f64 * (ABOVE + PLOT + BELOW);
        body += &panel.draw(at, top, (first, last), best);
    }
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\">\n  <style>{STYLE}</style>\n  \
         <rect class=\"back\" width=\"{WIDTH}\" height=\"{height}\"/>\n  \
         <text class=\"title\" x=\"{LEFT}\" y=\"26\">{}</text>\n{body}</svg>\n",
        escaped(title)
    ))
}

/// The panels that have a line.
fn panels(epochs: &[Value]) -> Vec<Panel> {
    let parts = ["validation", "test"];
    let cases = ["all", "labelled", "unlabelled"];
    let mut bounds: Vec<Line> = cases
        .iter()
        .filter_map(|case| {
            let name = match *case {
                "all" => "training".to_string(),
                case => format!("training, {case}"),
            };
            line(epochs, name, |metrics| metrics[*case]["bound"].as_f64())
        })
        .collect();
    for part in parts {
        bounds.extend(line(epochs, part.to_string(), |metrics| {
            metrics[part]["bound"].as_f64()
        }));
    }
    let loss = || {
        line(epochs, "training".to_string(), |metrics| {
            metrics["loss"].as_f64()
        })
    };
    let of_parts = |score: &str, scale: f64| -> Vec<Line> {
        let lines = parts.map(|part| of_labels(epochs, part, score, scale));
        lines.into_iter().flatten().collect()
    };
    let (errors, numeric) = (of_parts("error", 100.0), of_parts("RMSE", 1.0));
    // The steps have the cross-entropy of labelled rows, if the model has the line `classify`.
    let last = epochs.last().map(|last| &last["classification"]);
    let labels = last.and_then(Value::as_object).into_iter().flatten();
    let labels: Vec<&String> = labels.map(|(label, _)| label).collect();
    let mut log_losses = Vec::new();
    for label in &labels {
        let name = match labels.len() {
            1 => "training".to_string(),
            _ => format!("training of {label}"),
        };
        log_losses.extend(line(epochs, name, |metrics| {
            metrics["classification"][label].as_f64()
        }));
    }
    log_losses.extend(of_parts("log loss", 1.0));
    let first = match bounds.is_empty() {
        true => Panel {
            title: "loss",
            lines: loss().into_iter().collect(),
        },
        false => Panel {
            title: "bound, nats per row",
            lines: bounds,
        },
    };
    let errors = Panel {
        title: "error, %",
        lines: errors,
    };
    let numeric = Panel {
        title: "RMSE",
        lines: numeric,
    };
    let log_losses = Panel {
        title: "log loss of labels, nats",
        lines: log_losses,
    };
    let mut panels = vec![first, errors, numeric, log_losses];
    panels.retain(|panel| !panel.lines.is_empty());
    panels
}

/// The lines of a score of each label on held-out rows, times `scale`: such as `error`, or `error of y`
/// if there are several labels.
fn of_labels(epochs: &[Value], part: &str, score: &str, scale: f64) -> Vec<Line> {
    let fields = epochs.last().and_then(|last| last[part].as_object());
    let names = fields.into_iter().flatten().map(|(name, _)| name);
    let of_score = |name: &&String| {
        let rest = name.strip_prefix(score);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(" of "))
    };
    let lines = names.filter(of_score).filter_map(|name| {
        let title = format!("{part}{}", &name[score.len()..]);
        let value = |metrics: &Value| Some(scale * metrics[part][name].as_f64()?);
        line(epochs, title, value)
    });
    lines.collect()
}

/// A line of the epochs that have a finite number; `None` if none has.
fn line(epochs: &[Value], name: String, of: impl Fn(&Value) -> Option<f64>) -> Option<Line> {
    let points = epochs.iter().filter_map(|metrics| {
        let value = of(metrics).filter(|value| value.is_finite())?;
        Some((metrics["epoch"].as_f64()?, value))
    });
    let points: Vec<(f64, f64)> = points.collect();
    (!points.is_empty()).then_some(Line { name, points })
}

impl Panel {
    fn draw(&self, at: usize, top: f64, (first, last): (f64, f64), best: Option<u64>) -> String {
        let (low, high, ticks) = self.scale();
        let across = if last > first { last - first } else { 1.0 };
        let x = |epoch: f64| LEFT + (WIDTH - LEFT - RIGHT) * (epoch - first) / across;
        let (plot_top, plot_bottom) = (top + ABOVE, top + ABOVE + PLOT);
        let y = |value: f64| plot_bottom - PLOT * (value - low) / (high - low);
        let right = WIDTH - RIGHT;
        let mut text = format!(
            "  <text x=\"{LEFT}\" y=\"{:.1}\">{}</text>\n",
            top + 18.0,
            self.title
        );
        let mut key = LEFT;
        for (colour, line) in self.lines.iter().enumerate() {
            text += &format!(
                "  <rect class=\"c{}\" x=\"{key:.1}\" y=\"{:.1}\" width=\"14\" height=\"3\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
                colour % COLOURS,
                top + 31.0,
                key + 19.0,
                top + 37.0,
                escaped(&line.name)
            );
            key += 40.0 + 7.0 * line.name.chars().count() as f64;
        }
        for tick in ticks {
            let (place, shown) = (y(tick), number(tick));
            text += &format!(
                "  <path class=\"grid\" d=\"M{LEFT} {place:.1}H{right}\"/>\
                 <text class=\"number\" x=\"{:.1}\" y=\"{:.1}\">{shown}</text>\n",
                LEFT - 8.0,
                place + 4.5
            );
        }
        for epoch in epoch_ticks(first, last) {
            text += &format!(
                "  <text class=\"epoch\" x=\"{:.1}\" y=\"{:.1}\">{epoch}</text>\n",
                x(epoch),
                plot_bottom + 19.0
            );
        }
        text += &format!(
            "  <text class=\"number\" x=\"{right}\" y=\"{:.1}\">epoch</text>\n",
            plot_bottom + 36.0
        );
        if let Some(best) = best {
            let place = x(best as f64);
            text += &format!(
                "  <path class=\"best\" d=\"M{place:.1} {plot_top:.1}V{plot_bottom:.1}\">\
                 <title>best epoch: {best}</title></path>\n"
            );
        }
        text += &format!(
            "  <clipPath id=\"plot{at}\"><rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>\
             </clipPath>\n  <g clip-path=\"url(#plot{at})\">\n",
            LEFT - 4.0,
            plot_top - 4.0,
            right - LEFT + 8.0,
            PLOT + 8.0
        );
        for (colour, line) in self.lines.iter().enumerate() {
            let colour = colour % COLOURS;
            let places = line
                .points
                .iter()
                .map(|(epoch, value)| format!("{:.1},{:.1}", x(*epoch), y(*value)));
            let places: Vec<String> = places.collect();
            text += &format!(
                "    <polyline class=\"line c{colour}\" points=\"{}\"/>\n",
                places.join(" ")
            );
            if let Some((epoch, value)) = line.points.last() {
                text += &format!(
                    "    <circle class=\"c{colour}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\">\
                     <title>{}, epoch {epoch}: {value:.4}</title></circle>\n",
                    x(*epoch),
                    y(*value),
                    escaped(&line.name)
                );
            }
        }
        text + "  </g>\n"
    }

    /// The least and the greatest value of the plot, and the values with a number. The first tenth of
    /// the epochs, which may be far off, does not count.
    fn scale(&self) -> (f64, f64, Vec<f64>) {
        let settled = self
            .lines
            .iter()
            .flat_map(|line| &line.points[line.points.len() / 10..]);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for (_, value) in settled {
            (low, high) = (low.min(*value), high.max(*value));
        }
        if high - low <= 1e-9 * high.abs().max(1.0) {
            let wide = high.abs().max(1.0) * 0.05;
            (low, high) = (low - wide, high + wide);
        }
        let step = round_step((high - low) / 4.0);
        let (least, most) = ((low / step).floor(), (high / step).ceil());
        let ticks = (0..=(most - least) as usize).map(|at| (least + at as f64) * step);
        (least * step, most * step, ticks.collect())
    }
}

/// The least of 1, 2, 5, 10 times a power of ten that is at least this.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps
        .into_iter()
        .find(|step| *step >= least)
        .unwrap_or(10.0 * power)
}

/// The epochs with a number: whole ones.
fn epoch_ticks(first: f64, last: f64) -> Vec<f64> {
    let step = round_step(((last - first) / 8.0).max(0.5)).max(1.0);
    let from = (first / step).ceil() as u64;
    let to = (last / step).floor() as u64;
    (from..=to).map(|at| at as f64 * step).collect()
}

/// A number without needless digits.
fn number(value: f64) -> String {
    let text = format!("{:.6}", value + 0.0);
    text.trim_end_matches('0')
        .trim_end_matches('.')
        .replace('-', "−")
}

/// A text within XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn epoch(number: u64, bound: f64, error: f64) -> Value {
        json!({
            "epoch": number, "loss": -bound,
            "all": { "bound": bound + 1.0 },
            "validation": { "bound": bound, "error": error },
        })
    }

    #[test]
    fn scales_have_round_numbers() {
        let panel = |values: &[f64]| Panel {
            title: "",
            lines: vec![Line {
                name: String::new(),
                points: values.iter().map(|value| (1.0, *value)).collect(),
            }],
        };
        let (low, high, ticks) = panel(&[-103.0, -88.0]).scale();
        assert_eq!(
            (low, high, ticks),
            (-105.0, -85.0, vec![-105.0, -100.0, -95.0, -90.0, -85.0])
        );
        let (low, high, _) = panel(&[3.0]).scale();
        assert!(low < 3.0 && high > 3.0);
        // The first of ten or more epochs does not count.
        let mut values = vec![-1e6];
        values.extend([1.0, 2.0].repeat(5));
        assert_eq!(panel(&values).scale().0, 1.0);
        assert_eq!(epoch_ticks(1.0, 3.0), [1.0, 2.0, 3.0]);
        assert_eq!(epoch_ticks(1.0, 1.0), [1.0]);
        assert_eq!(epoch_ticks(1.0, 100.0), [20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(
            (number(-0.0), number(-12.5), number(0.1 + 0.2)),
            ("0".into(), "−12.5".into(), "0.3".into())
        );
    }

    /// A point's height is in proportion to its value.
    #[test]
    fn points_are_where_their_values_are() {
        let epochs = [
            epoch(1, -4.0, 0.5),
            epoch(2, -2.0, 0.25),
            epoch(3, 0.0, 0.0),
        ];
        let text = svg("a <run>", &epochs, Some(2)).expect("a picture");
        assert!(
            text.contains("a &lt;run&gt;") && text.contains("best epoch: 2"),
            "{text}"
        );
        let points: Vec<&str> = text.split("points=\"").skip(1).collect();
        let [training, validation, error] = points[..] else {
            panic!("three lines: {text}")
        };
        let heights = |text: &str| -> Vec<f64> {
            let pairs = text.split('"').next().expect("pairs").split(' ');
            pairs
                .map(|pair| {
                    pair.split_once(',')
                        .expect("x, y")
                        .1
                        .parse()
                        .expect("a number")
                })
                .collect()
        };
        let (training, validation, error) =
            (heights(training), heights(validation), heights(error));
        let nat = training[0] - validation[0];
        assert!(nat < 0.0 && (validation[0] - validation[1] + 2.0 * nat).abs() < 0.11);
        assert!((error[1] - error[0] - (error[2] - error[1])).abs() < 0.11 && error[2] > error[0]);
        assert!(svg("", &[], None).is_none());
    }

    #[test]
    fn a_classifier_has_a_loss() {
        let text = svg(
            "",
            &[json!({ "epoch": 1, "loss": 2.5, "test": { "error": 0.5 } })],
            None,
        );
        let text = text.expect("a picture");
        assert!(
            text.contains(">loss<") && text.contains("error, %") && !text.contains("bound"),
            "{text}"
        );
    }
}
