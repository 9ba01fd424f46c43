//! Rust sources as words and marks, without comments, strings and unit tests.

/// Words, `::`, and single characters that are neither space nor part of a word. A string or a
/// character is an empty word.
pub fn tokens(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < characters.len() {
        let rest = &characters[at..];
        let (length, token) = next(rest);
        tokens.extend(token);
        at += length;
    }
    without_tests(tokens)
}

/// How long the next piece is, and its token if it has one.
fn next(rest: &[char]) -> (usize, Option<String>) {
    let starts = |pattern: &str| {
        pattern
            .chars()
            .enumerate()
            .all(|(index, c)| rest.get(index) == Some(&c))
    };
    let until = |pattern: &str, from: usize| {
        let pattern: Vec<char> = pattern.chars().collect();
        let found = rest[from..]
            .windows(pattern.len())
            .position(|window| window == pattern);
        found.map_or(rest.len(), |place| from + place + pattern.len())
    };
    let is_word = |c: &char| c.is_alphanumeric() || *c == '_';
    if starts("//") {
        return (until("\n", 2), None);
    }
    if starts("/*") {
        return (until("*/", 2), None);
    }
    if starts("r\"") {
        return (until("\"", 2), Some(String::new()));
    }
    if starts("r#\"") {
        return (until("\"#", 3), Some(String::new()));
    }
    if starts("\"") {
        let mut length = 1;
        while length < rest.len() && rest[length] != '"' {
            length += if rest[length] == '\\' { 2 } else { 1 };
        }
        return (length + 1, Some(String::new()));
    }
    // A character, not a lifetime.
    if starts("'\\") {
        return (until("'", 3), Some(String::new()));
    }
    if starts("'") && rest.get(2) == Some(&'\'') {
        return (3, Some(String::new()));
    }
    if starts("::") {
        return (2, Some("::".to_string()));
    }
    if is_word(&rest[0]) {
        let word: String = rest.iter().copied().take_while(is_word).collect();
        return (word.chars().count(), Some(word));
    }
    let mark = (!rest[0].is_whitespace()).then(|| rest[0].to_string());
    (1, mark)
}

/// Leaves out what follows `#[cfg(test)]`: an item up to its `;` or its closing brace.
fn without_tests(tokens: Vec<String>) -> Vec<String> {
    const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at..].iter().take(TEST.len()).eq(TEST.iter()) {
            at = item_end(&tokens, at + TEST.len());
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// The place after the item that begins there.
fn item_end(tokens: &[String], from: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            ";" if depth == 0 => return at + 1,
            _ => continue,
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}
