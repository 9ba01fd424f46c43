//! The formatter: normalises spaces, line breaks and indentation of a model file.

/// Formats a model file. Comments stay on their lines. The text must parse.
///
/// Each open brace indents lines by two spaces, and a continued statement by two more. A brace ends
/// its line. The arrows of a graph are aligned, with the parents to their left.
pub fn format(text: &str) -> String {
    let mut lines: Vec<Line> = Vec::new();
    for raw in text.lines() {
        let (code, comment) = raw
            .find("//")
            .map_or((raw, ""), |at| (&raw[..at], raw[at..].trim_end()));
        statements(&mut lines, tokens(code));
        // A comment ends the line of the code before it.
        match lines.last_mut().filter(|_| !code.trim().is_empty()) {
            Some(line) => line.comment = comment,
            None => lines.push(Line {
                comment,
                ..Line::default()
            }),
        }
    }
    indent(&mut lines);
    align(&mut lines);
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        let before = lines[..index].last();
        // Keep single blank lines, and none at the start or the end of the file or of a block.
        let separates = before
            .is_some_and(|line| !line.is_blank() && line.tokens.last() != Some(&"{"))
            && lines[index..]
                .iter()
                .find(|line| !line.is_blank())
                .is_some_and(|line| line.tokens.first() != Some(&"}"));
        if !line.is_blank() || separates {
            text += &line.text();
            text.push('\n');
        }
    }
    text
}

/// An output line.
#[derive(Default)]
struct Line<'t> {
    tokens: Vec<&'t str>,
    comment: &'t str,
    /// Levels of indentation.
    depth: usize,
    /// Spaces before the parents' arrow, or before the child where there is none.
    pad: usize,
}

impl Line<'_> {
    fn is_blank(&self) -> bool {
        self.tokens.is_empty() && self.comment.is_empty()
    }

    fn text(&self) -> String {
        let indent = "  ".repeat(self.depth);
        let code = match self.tokens.iter().position(|token| *token == "->") {
            Some(at) if self.pad > 0 => {
                let (parents, rest) = self.tokens.split_at(at);
                format!("{:pad$} {}", spaced(parents), spaced(rest), pad = self.pad)
            }
            _ if self.pad > 0 => format!("{:pad$}    {}", "", spaced(&self.tokens), pad = self.pad),
            _ => spaced(&self.tokens),
        };
        let gap = if code.is_empty() || self.comment.is_empty() {
            ""
        } else {
            "  "
        };
        format!("{indent}{code}{gap}{}", self.comment)
            .trim_end()
            .to_string()
    }
}

/// Splits the tokens of a line into lines: an opening brace ends a line, and a closing brace is a
/// line of its own.
fn statements<'t>(lines: &mut Vec<Line<'t>>, tokens: Vec<&'t str>) {
    let mut line_tokens: Vec<&str> = Vec::new();
    for token in tokens {
        if token == "}" && !line_tokens.is_empty() {
            lines.push(Line {
                tokens: std::mem::take(&mut line_tokens),
                ..Line::default()
            });
        }
        line_tokens.push(token);
        if token == "{" {
            let begun = std::mem::take(&mut line_tokens);
            match lines.last_mut().filter(|head| {
                begun.len() == 1 && !head.tokens.is_empty() && head.comment.is_empty()
            }) {
                Some(head) => head.tokens.extend(begun),
                None => lines.push(Line {
                    tokens: begun,
                    ..Line::default()
                }),
            }
        } else if token == "}" {
            lines.push(Line {
                tokens: std::mem::take(&mut line_tokens),
                ..Line::default()
            });
        }
    }
    if !line_tokens.is_empty() {
        lines.push(Line {
            tokens: line_tokens,
            ..Line::default()
        });
    }
}

/// Splits a line into words, numbers and operators.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = |at: usize| at + rest[at..].find(|c| !letter(c)).unwrap_or(rest.len() - at);
        let digit = |at: usize| rest[at..].starts_with(|c: char| c.is_ascii_digit());
        let len = if first.is_ascii_digit() {
            let mut len = end(0);
            if rest[len..].starts_with('.') && digit(len + 1) {
                len = end(len + 1);
            }
            // `3e-4` is one number.
            if rest[..len].ends_with(['e', 'E'])
                && rest[len..].starts_with(['+', '-'])
                && digit(len + 1)
            {
                len = end(len + 1);
            }
            len
        } else if letter(first) {
            end(0)
        } else if rest.starts_with("->") {
            2
        } else {
            first.len_utf8()
        };
        tokens.push(&rest[..len]);
        rest = rest[len..].trim_start();
    }
    tokens
}

/// Joins tokens with normalised spaces.
fn spaced(tokens: &[&str]) -> String {
    let word = |token: &str| token.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let mut text = String::new();
    for (index, token) in tokens.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| tokens[before]);
        // A unary minus: no value precedes it.
        let sign = before == Some("-")
            && index
                .checked_sub(2)
                .is_none_or(|at| !word(tokens[at]) && ![")", "]"].contains(&tokens[at]));
        let joined = match (before, *token) {
            (None, _) | (Some("(" | "["), _) | (_, "," | ")" | "]" | ":") => true,
            (Some(before), "(") => word(before),
            (Some(before), "[") => word(before) && before != "residual",
            _ => sign,
        };
        if !joined {
            text.push(' ');
        }
        // Align the names of declared variables.
        let declares = index == 0
            && tokens.get(2) == Some(&":")
            && ["data", "label", "latent"].contains(token);
        text += &if declares {
            format!("{token:6}")
        } else {
            token.to_string()
        };
    }
    text
}

/// Whether the statement of a line continues on the next line.
fn continues(tokens: &[&str]) -> bool {
    matches!(tokens.last(), Some(&("," | "=" | ">" | "(" | "[")))
}

/// Sets the indentation of each line: one level for each open brace, and one more for a continued
/// line.
fn indent(lines: &mut [Line]) {
    let (mut depth, mut brackets, mut open) = (0usize, 0usize, false);
    for line in lines {
        let closes = line.tokens.first() == Some(&"}");
        depth -= usize::from(closes && depth > 0);
        let inner = open || line.tokens.first() == Some(&">");
        let ends = brackets > 0 && matches!(line.tokens.first(), Some(&(")" | "]")));
        line.depth = depth + usize::from(inner && !ends && !closes);
        depth += usize::from(line.tokens.last() == Some(&"{"));
        for token in &line.tokens {
            match *token {
                "(" | "[" => brackets += 1,
                ")" | "]" => brackets = brackets.saturating_sub(1),
                _ => {}
            }
        }
        if !line.tokens.is_empty() {
            open = brackets > 0 || continues(&line.tokens);
        }
    }
}

/// Children are not moved to the right of parents that are longer than this.
const MOST_ALIGNED: usize = 80;

/// Aligns the children of each graph in one column, except those of long lists of parents.
fn align(lines: &mut [Line]) {
    let mut start = 0;
    while start < lines.len() {
        let graph = matches!(
            lines[start].tokens.first(),
            Some(&("generative" | "inference"))
        ) && lines[start].tokens.last() == Some(&"{");
        let depth = lines[start].depth + 1;
        start += 1;
        if !graph {
            continue;
        }
        let end = lines[start..]
            .iter()
            .position(|line| line.depth < depth)
            .map_or(lines.len(), |len| start + len);
        let arrow = |tokens: &[&str]| tokens.iter().position(|token| *token == "->");
        let is_arrow = |line: &Line| {
            line.depth == depth && line.tokens.iter().any(|token| ["~", "="].contains(token))
        };
        let parents =
            |line: &Line| arrow(&line.tokens).map(|at| spaced(&line.tokens[..at]).chars().count());
        let width = lines[start..end]
            .iter()
            .filter(|line| is_arrow(line))
            .filter_map(parents)
            .filter(|&width| width <= MOST_ALIGNED)
            .max();
        for line in lines[start..end].iter_mut().filter(|line| is_arrow(line)) {
            line.pad = width.unwrap_or(0);
        }
        start = end;
    }
}
