//! The parser: text to syntax tree, by the grammar in `grammar/dgm.pest`.

use super::ast::{
    ArgumentValue, Arrow, ArrowBody, Call, CallArgument, Declaration, Expression, ExpressionKind,
    File, Item, Modifier, Name, NetworkPart, Operator, Setting,
};
use crate::diagnostic::{Diagnostic, Span, nearest, suggest};
use pest::{Parser, error::InputLocation, iterators::Pair};

#[derive(pest_derive::Parser)]
#[grammar = "../grammar/dgm.pest"]
struct Grammar;

/// Parses a model file.
///
/// # Errors
///
/// A diagnostic for each statement that does not parse.
pub fn parse(text: &str) -> Result<File, Vec<Diagnostic>> {
    match parse_with_recovery(text) {
        Parsed {
            tree: Some(tree),
            mistakes,
            ..
        } if mistakes.is_empty() => Ok(tree),
        Parsed { mistakes, .. } => Err(mistakes),
    }
}

/// The result of parsing with error recovery.
pub struct Parsed {
    /// `None` if the block structure itself is broken.
    pub tree: Option<File>,
    /// The syntax errors.
    pub mistakes: Vec<Diagnostic>,
    /// The statements that were skipped, and are missing from the tree.
    pub lost: Vec<Span>,
}

impl Parsed {
    /// Whether a mistake in the rest of the model may be a consequence of a skipped statement: the
    /// mistake is about a name in that statement.
    pub fn explains(&self, text: &str, mistake: &Diagnostic) -> bool {
        let missing = |name: &str| {
            self.lost
                .iter()
                .any(|span| words(&text[span.range()]).any(|word| word == name))
        };
        mistake
            .title
            .split('`')
            .skip(1)
            .step_by(2)
            .flat_map(words)
            .any(missing)
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

/// The most bytes that a model's text may have.
pub const MOST_TEXT: usize = 256 * 1024;
/// The most characters of a name or a number.
const MOST_LETTERS: usize = 100;
/// How deep brackets may be nested, and how many operators may follow each other.
const MOST_DEPTH: usize = 200;
const MOST_OPERATORS: usize = 1000;

/// The mistake of a text that is too long, or has names, nested brackets or chains of operators
/// that are too long for a recursive parser and for messages.
fn too_large(text: &str) -> Option<Diagnostic> {
    if text.len() > MOST_TEXT {
        let title = format!("a model's text has at most {MOST_TEXT} bytes");
        let first = Span::new(0, text.chars().next().map_or(0, char::len_utf8));
        return Some(
            Diagnostic::error(first, title)
                .label(format!("the text has {} bytes", text.len()))
                .help("repeat layers with `3 * [dense(100) > relu]`, and name networks with `net`"),
        );
    }
    let (mut depth, mut operators, mut letters) = (0usize, 0usize, 0usize);
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let code = line.split("//").next().unwrap_or("");
        for (offset, c) in code.char_indices() {
            let span = Span::new(at + offset, at + offset + c.len_utf8());
            let is_letter = c.is_alphanumeric() || c == '_';
            letters = if is_letter { letters + 1 } else { 0 };
            if letters > MOST_LETTERS {
                let title = format!("a name or number has at most {MOST_LETTERS} characters");
                return Some(
                    Diagnostic::error(span, title)
                        .label("one too many")
                        .help("choose a shorter name"),
                );
            }
            match c {
                '(' | '[' | '{' => (depth, operators) = (depth + 1, 0),
                ')' | ']' | '}' => (depth, operators) = (depth.saturating_sub(1), 0),
                ',' | '=' | '~' | ':' => operators = 0,
                '-' if code[offset + 1..].starts_with('>') => operators = 0,
                '+' | '-' | '*' | '/' => operators += 1,
                _ => {}
            }
            if depth > MOST_DEPTH {
                let title = format!("brackets are nested more than {MOST_DEPTH} deep");
                let help = "name inner networks with `net`, or inner numbers with `size`";
                return Some(
                    Diagnostic::error(span, title)
                        .label("one too deep")
                        .help(help),
                );
            }
            if operators > MOST_OPERATORS {
                let title = format!("more than {MOST_OPERATORS} operators in one expression");
                let help = "name parts of it with `size`";
                return Some(
                    Diagnostic::error(span, title)
                        .label("one too many")
                        .help(help),
                );
            }
        }
        at += line.len();
    }
    None
}

/// Parses a model file with error recovery. A statement ends at the end of its line, so a statement
/// that does not parse is replaced by spaces, and the text is parsed again.
pub fn parse_with_recovery(text: &str) -> Parsed {
    let mut parsed = Parsed {
        tree: None,
        mistakes: Vec::new(),
        lost: Vec::new(),
    };
    if let Some(mistake) = too_large(text) {
        parsed.mistakes.push(mistake);
        return parsed;
    }
    let mut rest = text.to_string();
    loop {
        let at = match Grammar::parse(Rule::file, &rest) {
            Ok(mut pairs) => {
                parsed.tree = Some(file(pairs.next().expect("a parse has a file")));
                return parsed;
            }
            Err(error) => {
                let (mistake, at) = explain(&rest, &error);
                parsed.mistakes.push(mistake);
                at
            }
        };
        if missing_brace(&rest, at).is_some() {
            return parsed;
        }
        let lost = statement(&rest, at).or_else(|| whole_block(&rest, at));
        let Some(statement) = lost.filter(|_| parsed.mistakes.len() < MOST_MISTAKES) else {
            return parsed;
        };
        let blank: String = rest[statement.range()]
            .bytes()
            .map(|b| if b == b'\n' { '\n' } else { ' ' })
            .collect();
        rest.replace_range(statement.range(), &blank);
        parsed.lost.push(statement);
    }
}

/// The most syntax errors that are reported.
const MOST_MISTAKES: usize = 20;

/// The lines of the statement that does not parse at `at`. `None` if they contain a brace, without
/// which the rest would not parse, or if they are blank already.
fn statement(text: &str, at: usize) -> Option<Span> {
    let line_start = |at: usize| text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = |at: usize| {
        text[at..]
            .find('\n')
            .map_or(text.len(), |newline| at + newline)
    };
    let line_begin = line_start(at);
    // An open bracket belongs to a statement that began on an earlier line.
    let start = open_brackets(&text[..at])
        .first()
        .map_or(line_begin, |&bracket| line_start(bracket));
    let line = text[line_begin..line_end(at)].trim_start();
    let word = line
        .split(|c: char| !c.is_alphanumeric())
        .next()
        .unwrap_or_default();
    // The line at which the missing bracket is noticed may be a new statement.
    let is_new_statement = start < line_begin
        && (BLOCKS.contains(&word) || line.starts_with('}') || line.contains('~'));
    // A list that is closed on a later line ends there.
    let closed = |end: &usize| {
        open_brackets(&text[start..*end]).is_empty() && !text[start..*end].contains(['{', '}'])
    };
    let further = text[at..]
        .match_indices('\n')
        .map(|(len, _)| at + len)
        .find(closed);
    let end = if is_new_statement {
        line_begin - 1
    } else {
        further.unwrap_or(line_end(at))
    };
    let lines = &text[start..end];
    let whole = !lines.trim().is_empty() && !lines.contains(['{', '}']);
    whole.then(|| Span::new(start, end))
}

/// The whole block whose first line does not parse at `at`, if it is directly inside the model's
/// block.
fn whole_block(text: &str, at: usize) -> Option<Span> {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let braces =
        |text: &str| text.matches('{').count() as isize - text.matches('}').count() as isize;
    let head = text[start..].split('{').next()?;
    let begins = braces(&text[..start]) == 1
        && !head.contains(['}', '\n'])
        && head.len() < text.len() - start;
    let mut depth = 0isize;
    let end = text[start..].char_indices().find(|(_, c)| {
        depth += isize::from(*c == '{') - isize::from(*c == '}');
        *c == '}' && depth == 0
    });
    end.filter(|_| begins)
        .map(|(len, _)| Span::new(start, start + len + 1))
}

/// The positions of the brackets that are open at the end of a text. Comments are skipped; a brace
/// closes all brackets.
fn open_brackets(text: &str) -> Vec<usize> {
    let mut open: Vec<usize> = Vec::new();
    let mut comment = false;
    for (position, c) in text.char_indices() {
        comment = c != '\n' && (comment || text[position..].starts_with("//"));
        match c {
            _ if comment => {}
            '[' | '(' => open.push(position),
            ']' | ')' => drop(open.pop()),
            '{' | '}' => open.clear(),
            _ => {}
        }
    }
    open
}

/// Whether a text has no statement, only comments.
fn is_only_comments(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    lines.all(|line| line.is_empty() || line.starts_with("//"))
}

/// The position of the `{` that is never closed: one that is open at the end of the text, or at the
/// beginning of a declaration inside another block. Parsing stopped at `at`, in the line at `line`.
fn unclosed_brace(text: &str, at: usize, line: usize) -> Option<usize> {
    if is_only_comments(&text[at..]) {
        return open_braces(text).pop();
    }
    let code = text[line..].trim_start();
    let word = words(code).next().filter(|word| code.starts_with(word))?;
    let next = code[word.len()..].trim_start_matches(' ');
    let is_declaration = BLOCKS.contains(&word)
        && next.starts_with(|c: char| c == '{' || c.is_alphabetic() || c == '_');
    match open_braces(&text[..line]).as_slice() {
        [_model, .., block] if is_declaration => Some(*block),
        _ => None,
    }
}

/// The positions of the `{` that are open at the end of a text. Comments are skipped.
fn open_braces(text: &str) -> Vec<usize> {
    let mut open: Vec<usize> = Vec::new();
    let mut comment = false;
    for (position, c) in text.char_indices() {
        comment = c != '\n' && (comment || text[position..].starts_with("//"));
        match c {
            _ if comment => {}
            '{' => open.push(position),
            '}' => drop(open.pop()),
            _ => {}
        }
    }
    open
}

const BLOCKS: [&str; 9] = [
    "size",
    "data",
    "label",
    "latent",
    "net",
    "generative",
    "inference",
    "objective",
    "train",
];

/// The keywords that a `{` follows.
const BRACED: [&str; 4] = ["generative", "inference", "objective", "train"];

/// The diagnostic for a parse error, and the position where parsing stopped.
fn explain(text: &str, error: &pest::error::Error<Rule>) -> (Diagnostic, usize) {
    let (at, diagnostic) = unexpected(text, error);
    let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let code = text[line..]
        .split('\n')
        .next()
        .unwrap_or_default()
        .split("//")
        .next()
        .unwrap_or_default();
    let found = &text[diagnostic.span.range()];
    if let Some(foreign) = foreign_character(code, line) {
        return (foreign, at);
    }
    // Operators of other languages.
    let is_net = code.trim_start().starts_with("net ");
    for (sign, meant) in [("=>", "->"), ("<-", "->"), ("==", "="), ("|", "->")] {
        if let Some(column) = code.find(sign) {
            let span = Span::new(line + column, line + column + sign.len());
            let unknown =
                Diagnostic::error(span, format!("`{sign}` is not an operator of the language"));
            let meant = if is_net && meant == "->" { ">" } else { meant };
            let help = match meant {
                ">" => "join layers with `>`: `dense(100) > relu`",
                "->" => "write parents before an arrow: `y, z -> x ~ bernoulli(body)`",
                _ => "write a single `=` between a name and its value",
            };
            return (unknown.label(format!("expected `{meant}`")).help(help), at);
        }
    }
    // The innermost bracket that is still open where the block ends.
    let block = text[at..]
        .find(['{', '}'])
        .map_or(text.len(), |len| at + len);
    let unclosed = open_brackets(&text[..block]);
    if let Some(&bracket) = open_brackets(&text[..at])
        .iter()
        .rev()
        .find(|bracket| unclosed.contains(bracket))
    {
        let (opening, closing) = if text[bracket..].starts_with('[') {
            ('[', ']')
        } else {
            ('(', ')')
        };
        let open = Diagnostic::error(
            Span::new(bracket, bracket + 1),
            format!("`{opening}` is never closed"),
        );
        return (
            open.label("opened here")
                .help(format!("add `{closing}` where the list ends")),
            at,
        );
    }
    if let Some(brace) = unclosed_brace(text, at, line) {
        let unclosed = Diagnostic::error(Span::new(brace, brace + 1), "`{` is never closed");
        return (
            unclosed
                .label("opened here")
                .help("add `}` where the block ends"),
            at,
        );
    }
    let mut diagnostic = diagnostic;
    if is_net && code.contains("->") {
        diagnostic = diagnostic.help("join layers with `>`: `dense(100) > relu`");
    }
    if text[line..at].trim().is_empty()
        && !found.is_empty()
        && diagnostic.label.contains("a declaration")
    {
        if let Some(missing) = missing_sign(text, at, found).or_else(|| missing_brace(text, at)) {
            return (missing, at);
        }
        if ["let", "const"].contains(&found) {
            diagnostic.help = Some("declare a number with `size`: `size hidden = 100`".to_string());
        } else if !BLOCKS.contains(&found) {
            let help = suggest(found, BLOCKS);
            diagnostic.help = help.filter(|help| help.starts_with("did you mean"));
        }
    }
    if text.trim().is_empty() {
        diagnostic = Diagnostic::error(Span::default(), "the file is empty")
            .help("begin the model with `model NAME {`; see models/vae.dgm or docs/language.md");
    }
    (diagnostic, at)
}

/// Signs of other languages that no statement has: the sign, what it would mean, and the way out.
const FOREIGN: [(&str, &str, &str); 8] = [
    ("#", "a comment begins with `//`", "write `// …`"),
    (
        "/*",
        "a comment begins with `//`",
        "write `// …` on each line",
    ),
    (
        ";",
        "a statement ends at the end of its line",
        "remove the `;`, and write each statement on a line of its own",
    ),
    ("→", "an arrow is `->`", "write `->`"),
    ("∼", "a distribution follows `~`", "write `~`"),
    ("−", "a minus sign is `-`", "write `-`"),
    ("×", "a product is `*`", "write `*`"),
    (
        "^",
        "there is no operator for powers",
        "write a product: `hidden * hidden`",
    ),
];

/// The diagnostic for the first character of a line's code, which begins at `line`, that no
/// statement has: a sign of another language, or a letter that no name has.
fn foreign_character(code: &str, line: usize) -> Option<Diagnostic> {
    let signs = FOREIGN.iter().filter_map(|(sign, label, help)| {
        let column = code.find(sign)?;
        Some((column, *sign, *label, *help))
    });
    let sign = signs.min_by_key(|(column, ..)| *column);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let letter = code.find(|c: char| c.is_alphanumeric() && !c.is_ascii());
    if let Some(letter) = letter.filter(|letter| sign.is_none_or(|(column, ..)| *letter < column)) {
        let start = code[..letter].rfind(|c| !is_word(c)).map_or(0, |before| {
            before + code[before..].chars().next().map_or(1, char::len_utf8)
        });
        let word = code[start..].split(|c| !is_word(c)).next().unwrap_or("");
        let span = Span::new(line + start, line + start + word.len());
        let help = "names have the letters a to z and A to Z, digits and `_`";
        let wrong = Diagnostic::error(span, format!("`{word}` cannot be a name"));
        let character = code[letter..].chars().next().unwrap_or_default();
        return Some(
            wrong
                .label(format!("`{character}` is not allowed"))
                .help(help),
        );
    }
    let (column, sign, label, help) = sign?;
    let span = Span::new(line + column, line + column + sign.len());
    let title = format!("`{sign}` is not a sign of the language");
    Some(Diagnostic::error(span, title).label(label).help(help))
}

/// The diagnostic for a declaration at `at` that lacks the `:` after a variable's name, or the `=`
/// after a net's. The parser stops at the keyword in both cases.
fn missing_sign(text: &str, at: usize, keyword: &str) -> Option<Diagnostic> {
    let (sign, what, example) = match keyword {
        "data" | "label" | "latent" => (":", "a type", "real[10]"),
        "net" => (" =", "a network", "[dense(10) > relu]"),
        _ => return None,
    };
    let code = text[at..].split('\n').next()?.split("//").next()?;
    let after_keyword = &code[keyword.len()..];
    let name = words(after_keyword).next()?;
    let (space, rest) = after_keyword.split_once(name)?;
    let rest = rest.trim();
    if !space.trim().is_empty() || rest.starts_with(sign.trim()) {
        return None;
    }
    if rest.starts_with(',') {
        let comma = at + keyword.len() + after_keyword.find(',')?;
        let title = "a declaration has one name";
        return Some(
            Diagnostic::error(Span::new(comma, comma + 1), title)
                .label(format!("expected `{}` and {what}", sign.trim()))
                .help("write each declaration on a line of its own"),
        );
    }
    let end = at + keyword.len() + space.len() + name.len();
    let value = match rest.trim_start_matches([':', '=', '~', ' ']) {
        "" => example,
        value => value,
    };
    let title = format!("`{}` is missing after `{name}`", sign.trim());
    Some(
        Diagnostic::error(Span::new(end, end), title)
            .label(format!("expected `{}` and {what}", sign.trim()))
            .help(format!("write it as `{keyword} {name}{sign} {value}`")),
    )
}

/// The diagnostic for the keyword of a block at `at` without a `{`. The rest of the block cannot be
/// read then.
fn missing_brace(text: &str, at: usize) -> Option<Diagnostic> {
    let keyword = words(&text[at..]).next()?;
    let rest = text[at..].strip_prefix(keyword)?;
    if !BRACED.contains(&keyword) || rest.trim_start().starts_with('{') {
        return None;
    }
    let end = at + keyword.len();
    let title = format!("`{{` is missing after `{keyword}`");
    Some(
        Diagnostic::error(Span::new(end, end), title)
            .label("expected `{`")
            .help(format!("begin the block with `{keyword} {{`")),
    )
}

/// What may follow a complete expression or call, inside or behind brackets.
const AFTER_VALUE: [&str; 2] = ["an operator", "arguments in parentheses"];

/// The position after the closing brackets at `start`. The parser remembers the last rule that it
/// tried, which is an operator before the bracket, so what is unexpected stands behind it.
fn after_brackets(text: &str, start: usize) -> Option<usize> {
    let rest = text[start..].trim_start_matches([')', ']', ' ', '\t']);
    let after = text.len() - rest.len();
    let ends = rest.is_empty() || rest.starts_with(['\n', '\r', '}']) || rest.starts_with("//");
    (after > start && !ends).then_some(after)
}

/// The position where parsing stopped, and the diagnostic: what was found, and what was expected.
fn unexpected(text: &str, error: &pest::error::Error<Rule>) -> (usize, Diagnostic) {
    let (mut start, mut end) = match error.location {
        InputLocation::Pos(position) => (position, position),
        InputLocation::Span(span) => span,
    };
    let mut expected: Vec<&str> = match &error.variant {
        pest::error::ErrorVariant::ParsingError { positives, .. } => {
            positives.iter().map(|&rule| describe(rule)).collect()
        }
        pest::error::ErrorVariant::CustomError { .. } => Vec::new(),
    };
    expected.sort_unstable();
    expected.dedup();
    expected.retain(|word| !word.is_empty());
    let is_complete = expected.iter().all(|word| AFTER_VALUE.contains(word));
    if let Some(after) = after_brackets(text, start).filter(|_| is_complete && !expected.is_empty())
    {
        (start, end) = (after, after);
        expected = vec!["the end of the line"];
    }
    // The whole unexpected word, not only its first letter.
    let word = text[start..]
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len() - start);
    let end = end.max(start + word.max(text[start..].chars().next().map_or(0, char::len_utf8)));
    let found = match text[start..end].trim() {
        "" if start >= text.trim_end().len() => "the end of the file".to_string(),
        "" => "the end of the line".to_string(),
        word => format!("`{word}`"),
    };
    if let Some(&declaration) = expected
        .iter()
        .find(|word| word.starts_with("a declaration"))
    {
        // The description of a declaration already lists the words that begin a statement.
        expected.retain(|word| *word == declaration || !word.contains(" or `"));
    }
    let label = match expected.as_slice() {
        [] => format!("{found} is not allowed here"),
        words => format!("expected {}", words.join(", or ")),
    };
    // The end of a line has a position, but no character to underline.
    let end = if text[start..end].trim().is_empty() {
        start
    } else {
        end
    };
    let mut unexpected = Diagnostic::error(
        Span::new(start, end),
        format!("unexpected {}", found.trim_start_matches("the ")),
    )
    .label(label);
    let before = text[..start].rsplit('\n').next().unwrap_or("");
    if text[start..].starts_with('>') && before.matches('(').count() > before.matches(')').count() {
        unexpected =
            unexpected.help("write layers inside parentheses in brackets: `[dense(5) > tanh]`");
    }
    let found = text[start..].chars().next().unwrap_or_default();
    let name = words(before).last().unwrap_or_default();
    let way_out = match (found, expected.as_slice()) {
        ('(' | '0'..='9', expected) if expected.contains(&describe(Rule::shape)) => {
            Some(format!("write sizes in brackets: `{name}[10]`"))
        }
        ('[', [arguments]) if *arguments == describe(Rule::arguments) => {
            Some(format!("write arguments in parentheses: `{name}(…)`"))
        }
        (':', expected) if expected.iter().all(|word| AFTER_VALUE.contains(word)) => {
            Some(format!("an argument is named with `=`: `{name} = …`"))
        }
        ('=' | ':', [value]) if *value == describe(Rule::value) => {
            Some(format!("write the value after the name: `{name} …`"))
        }
        ('a'..='z', ["the end of the line"])
            if ["data ", "given "]
                .iter()
                .any(|role| before.trim_start().starts_with(role)) =>
        {
            let line = text[start..].lines().next().unwrap_or_default();
            let near = nearest(line.trim(), Modifier::ALL.map(Modifier::text));
            near.map(|near| format!("did you mean `{near}`?"))
        }
        (',', ["the end of the line"]) if before.trim_start().starts_with("net ") => {
            Some("join layers with `>`: `dense(100) > relu`".to_string())
        }
        (',', ["the end of the line"]) => {
            Some("write each statement on a line of its own".to_string())
        }
        _ => None,
    };
    if let Some(help) = way_out {
        unexpected = unexpected.help(help);
    }
    if expected == [describe(Rule::equation), describe(Rule::distribution)] {
        let child = words(before).last().unwrap_or("z");
        unexpected = unexpected.help(format!(
            "write `{child} ~ …` before a distribution, or `{child} = …` before a network"
        ));
    }
    (start, unexpected)
}

/// The description of a grammar rule in messages.
fn describe(rule: Rule) -> &'static str {
    match rule {
        Rule::file => "`model NAME { … }`",
        Rule::edition | Rule::size | Rule::variable | Rule::net | Rule::graph | Rule::settings => {
            "a declaration: `size`, `data`, `given`, `label`, `latent`, `weight`, `net`, `generative`, `inference`, `objective` or `train`"
        }
        Rule::role => "`data`, `given`, `label`, `latent` or `weight`",
        Rule::side => "`generative` or `inference`",
        Rule::section => "`objective` or `train`",
        Rule::shape => "a shape such as `[10]`",
        // A modifier may be left out.
        Rule::modifier | Rule::standardized | Rule::missing => "the end of the line",
        Rule::binding => "`NAME = SIZE`",
        Rule::layers | Rule::layer | Rule::call | Rule::block | Rule::repeat | Rule::residual => {
            "a layer"
        }
        Rule::arguments => "arguments in parentheses",
        Rule::argument => "an argument",
        Rule::arrow => "an arrow such as `x -> z ~ normal(body)`",
        Rule::parents => "parents",
        Rule::distribution => "`~` and a distribution",
        Rule::equation => "`=` and a network",
        Rule::setting => "a setting",
        Rule::value | Rule::expression | Rule::term | Rule::factor | Rule::function => "a value",
        Rule::number => "a number",
        Rule::name => "a name",
        Rule::EOI => "the end of the file",
        Rule::sum_operator | Rule::product_operator | Rule::minus => "an operator",
        _ => "",
    }
}

fn span(pair: &Pair<Rule>) -> Span {
    let span = pair.as_span();
    let text = span.as_str().trim_end();
    Span::new(span.start(), span.start() + text.len())
}

fn name(pair: Pair<Rule>) -> Name {
    Name {
        text: pair.as_str().trim().to_string(),
        span: span(&pair),
    }
}

fn modifier(pair: Pair<Rule>) -> (Modifier, Span) {
    let word = pair.into_inner().next().expect("a modifier has a word");
    let modifier = match word.as_rule() {
        Rule::standardized => Modifier::Standardized,
        _ => Modifier::Missing,
    };
    (modifier, span(&word))
}

fn file(pair: Pair<Rule>) -> File {
    let mut inner = pair.into_inner();
    let name = name(inner.next().expect("a model has a name"));
    let items = inner
        .filter(|pair| pair.as_rule() != Rule::EOI)
        .map(item)
        .collect();
    File { name, items }
}

fn item(pair: Pair<Rule>) -> Item {
    let (rule, place) = (pair.as_rule(), span(&pair));
    let mut inner = pair.into_inner();
    match rule {
        Rule::edition => Item::Edition {
            number: edition(inner.next().expect("an edition has a number")),
            span: place,
        },
        Rule::size => Item::Size(inner.map(binding).collect()),
        Rule::variable => {
            let mut next = || {
                inner
                    .next()
                    .expect("a variable has a role, a name and a domain")
            };
            let (role, variable, domain) = (name(next()), name(next()), name(next()));
            let (mut shape, mut modifiers) = (Vec::new(), Vec::new());
            for part in inner {
                match part.as_rule() {
                    Rule::shape => shape = part.into_inner().map(expression).collect(),
                    _ => modifiers.push(modifier(part)),
                }
            }
            Item::Variable(Declaration {
                role,
                name: variable,
                domain,
                shape,
                modifiers,
            })
        }
        Rule::net => {
            let net = name(inner.next().expect("a net has a name"));
            Item::Net {
                name: net,
                layers: layers(inner.next().expect("a net has layers")),
            }
        }
        Rule::graph => {
            let keyword = name(inner.next().expect("a graph has a keyword"));
            Item::Graph {
                keyword,
                arrows: inner.map(arrow).collect(),
            }
        }
        _ => {
            let keyword = name(inner.next().expect("settings have a keyword"));
            Item::Settings {
                keyword,
                settings: inner.map(setting).collect(),
            }
        }
    }
}

fn binding(pair: Pair<Rule>) -> (Name, Option<Expression>) {
    let mut inner = pair.into_inner();
    let size = name(inner.next().expect("a size has a name"));
    (size, inner.next().map(expression))
}

fn layers(pair: Pair<Rule>) -> Vec<NetworkPart> {
    pair.into_inner()
        .flat_map(|layer| network_parts(layer.into_inner().next().expect("a layer has content")))
        .collect()
}

/// The layers of a block, or none for `[]`.
fn block(pair: Pair<Rule>) -> Vec<NetworkPart> {
    pair.into_inner().next().map_or(Vec::new(), layers)
}

/// A call, a repetition or a residual block; the elements of a plain block.
fn network_parts(pair: Pair<Rule>) -> Vec<NetworkPart> {
    let whole = span(&pair);
    match pair.as_rule() {
        Rule::block => block(pair),
        Rule::residual => {
            let inner = pair.into_inner().next().expect("a residual has a block");
            vec![NetworkPart::Residual {
                span: whole,
                layers: block(inner),
            }]
        }
        Rule::repeat => {
            let mut inner = pair.into_inner();
            let count = atom(inner.next().expect("a repetition has a count"));
            vec![NetworkPart::Repeat {
                count,
                layers: network_parts(inner.next().expect("a repetition has a layer")),
            }]
        }
        _ => vec![NetworkPart::Call(call(pair))],
    }
}

fn call(pair: Pair<Rule>) -> Call {
    let whole = span(&pair);
    let mut inner = pair.into_inner();
    let callee = name(inner.next().expect("a call has a name"));
    let arguments = inner.next().map_or(Vec::new(), |arguments| {
        arguments.into_inner().map(argument).collect()
    });
    Call {
        name: callee,
        arguments,
        span: whole,
    }
}

fn argument(pair: Pair<Rule>) -> CallArgument {
    let whole = span(&pair);
    let mut inner: Vec<Pair<Rule>> = pair.into_inner().collect();
    let value = inner.pop().expect("an argument has a value");
    let value = match value.as_rule() {
        Rule::block => ArgumentValue::Layers(block(value)),
        _ => ArgumentValue::Expression(expression(value)),
    };
    CallArgument {
        name: inner.pop().map(name),
        value,
        span: whole,
    }
}

fn arrow(pair: Pair<Rule>) -> Arrow {
    let whole = span(&pair);
    let mut parents = Vec::new();
    let mut child = None;
    let mut body = None;
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::parents => parents = part.into_inner().map(name).collect(),
            Rule::name => child = Some(name(part)),
            Rule::distribution => {
                let inner = part.into_inner().next().expect("a distribution is called");
                body = Some(ArrowBody::Distribution(call(inner)));
            }
            _ => {
                body = Some(ArrowBody::Equation(layers(
                    part.into_inner().next().expect("an equation has layers"),
                )))
            }
        }
    }
    Arrow {
        parents,
        child: child.expect("an arrow has a child"),
        body: body.expect("an arrow has a body"),
        span: whole,
    }
}

fn setting(pair: Pair<Rule>) -> Setting {
    let whole = span(&pair);
    let mut inner = pair.into_inner();
    let keyword = name(inner.next().expect("a setting has a keyword"));
    let values = inner
        .map(|value| expression(value.into_inner().next().expect("a value is an expression")))
        .collect();
    Setting {
        keyword,
        values,
        span: whole,
    }
}

/// A sum of terms, or a product of factors: left-associative operators of equal precedence.
fn expression(pair: Pair<Rule>) -> Expression {
    let mut inner = pair.into_inner();
    let operand = |pair: Pair<Rule>| {
        if pair.as_rule() == Rule::term {
            expression(pair)
        } else {
            factor(pair)
        }
    };
    let mut left = operand(inner.next().expect("an expression has an operand"));
    while let Some(operator) = inner.next() {
        let operator = Operator::find(operator.as_str().trim()).expect("the grammar's operators");
        let right = operand(inner.next().expect("an operator has a right operand"));
        let span = Span::new(left.span.start, right.span.end);
        left = Expression {
            kind: ExpressionKind::Binary(operator, Box::new(left), Box::new(right)),
            span,
        };
    }
    left
}

fn factor(pair: Pair<Rule>) -> Expression {
    let whole = span(&pair);
    let mut inner = pair.into_inner();
    let first = inner.next().expect("a factor has content");
    match first.as_rule() {
        Rule::minus => {
            let operand = factor(inner.next().expect("a sign has an operand"));
            let zero = Expression {
                kind: ExpressionKind::Number(0.0),
                span: whole,
            };
            Expression {
                kind: ExpressionKind::Binary(Operator::Subtract, Box::new(zero), Box::new(operand)),
                span: whole,
            }
        }
        Rule::expression => expression(first),
        Rule::function => Expression {
            span: span(&first),
            kind: ExpressionKind::Call(call(first)),
        },
        _ => atom(first),
    }
}

/// The number of an edition.
fn edition(pair: Pair<Rule>) -> f64 {
    let text = pair.as_str().trim();
    text.parse().expect("the grammar's numbers are numbers")
}

/// A number or a name.
fn atom(pair: Pair<Rule>) -> Expression {
    let whole = span(&pair);
    let text = pair.as_str().trim();
    let kind = match pair.as_rule() {
        Rule::number => {
            ExpressionKind::Number(text.parse().expect("the grammar's numbers are numbers"))
        }
        _ => ExpressionKind::Name(text.to_string()),
    };
    Expression { kind, span: whole }
}
