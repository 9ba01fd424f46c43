//! Syntax tree to text, and the layout of a file as it is written.

/// The same model with its usual layout; comments stay on their lines. The text must parse.
///
/// Lines are indented by two spaces for each open brace, words are one space apart, and the arrows of a graph stand
/// below each other, parents to their left.
pub fn format(text: &str) -> String {
    let mut lines: Vec<Line> = Vec::new();
    let mut depth = 0usize;
    let mut graph = false;
    for raw in text.lines() {
        let (code, comment) = raw.find("//").map_or((raw, ""), |at| raw.split_at(at));
        let mut words: Vec<String> = code.split_whitespace().map(str::to_string).collect();
        if let Some(role) = words.first_mut().filter(|word| ["data", "label", "latent"].contains(&word.as_str())) {
            // The names of variables stand below each other.
            *role = format!("{role:6}");
        }
        let code = words.join(" ");
        let closes = code.starts_with('}');
        depth -= usize::from(closes && depth > 0);
        if code.starts_with("generative") || code.starts_with("inference") {
            graph = true;
        }
        graph &= !closes;
        lines.push(Line {
            depth,
            code: code.clone(),
            comment: comment.trim_end().to_string(),
            arrow: graph && depth > 1,
        });
        let opened = code.matches('{').count();
        let closed = code.matches('}').count() - usize::from(closes);
        depth = (depth + opened).saturating_sub(closed);
    }
    lines.dedup_by(|later, earlier| later.is_blank() && earlier.is_blank());
    while lines.last().is_some_and(Line::is_blank) {
        lines.pop();
    }
    align(&mut lines);
    lines.iter().map(|line| line.text() + "\n").collect()
}

struct Line {
    depth: usize,
    code: String,
    comment: String,
    /// Whether it is within a graph, so that its arrow is aligned.
    arrow: bool,
}

impl Line {
    fn is_blank(&self) -> bool {
        self.code.is_empty() && self.comment.is_empty()
    }

    fn text(&self) -> String {
        let gap = if self.code.is_empty() || self.comment.is_empty() { "" } else { "  " };
        let line = format!("{}{}{gap}{}", "  ".repeat(self.depth), self.code, self.comment);
        line.trim_end().to_string()
    }
}

/// Puts the children of each graph below each other.
fn align(lines: &mut [Line]) {
    let mut start = 0;
    while start < lines.len() {
        let end = lines[start..].iter().position(|line| !line.arrow).map_or(lines.len(), |len| start + len);
        let parents = |line: &Line| line.code.split_once("->").map(|(parents, _)| parents.trim().chars().count());
        let width = lines[start..end].iter().filter_map(parents).max();
        if let Some(width) = width {
            for line in
                lines[start..end].iter_mut().filter(|line| !line.code.is_empty() && line.code.contains(['~', '=']))
            {
                line.code = match line.code.split_once("->") {
                    Some((parents, rest)) => format!("{:width$} -> {}", parents.trim(), rest.trim()),
                    None => format!("{:width$}    {}", "", line.code),
                };
            }
        }
        start = end + 1;
    }
}
