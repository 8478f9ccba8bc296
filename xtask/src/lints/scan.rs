//! Splits Rust source into code and comments, line by line, so that a rule about code is not fooled by text.

/// One line: its code with the insides of literals left out, and its comments.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) code: String,
    pub(super) comment: String,
}

enum State {
    Code,
    LineComment,
    /// Nested this deep.
    BlockComment(u32),
    Text,
    /// A raw string that this many `#` close.
    RawText(usize),
}

/// Splits a source file.
pub(super) fn lines(source: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut state = State::Code;
    for text in source.lines() {
        let mut line = Line::default();
        let mut rest = text;
        while !rest.is_empty() {
            rest = step(&mut state, rest, &mut line);
        }
        if matches!(state, State::LineComment) {
            state = State::Code;
        }
        lines.push(line);
    }
    lines
}

/// Takes one token off `rest`.
fn step<'a>(state: &mut State, rest: &'a str, line: &mut Line) -> &'a str {
    match *state {
        State::Code => code(state, rest, line),
        State::LineComment => {
            line.comment.push_str(rest);
            ""
        }
        State::BlockComment(depth) => {
            let (token, next) = if rest.starts_with("*/") {
                (2, if depth == 1 { State::Code } else { State::BlockComment(depth - 1) })
            } else if rest.starts_with("/*") {
                (2, State::BlockComment(depth + 1))
            } else {
                (first_len(rest), State::BlockComment(depth))
            };
            line.comment.push_str(&rest[..token]);
            *state = next;
            &rest[token..]
        }
        State::Text => {
            if rest.starts_with('"') {
                *state = State::Code;
            }
            let escape = if rest.starts_with('\\') { 1 } else { 0 };
            let rest = &rest[escape..];
            &rest[first_len(rest)..]
        }
        State::RawText(hashes) => {
            let close = format!("\"{}", "#".repeat(hashes));
            if let Some(after) = rest.strip_prefix(close.as_str()) {
                *state = State::Code;
                return after;
            }
            &rest[first_len(rest)..]
        }
    }
}

fn code<'a>(state: &mut State, rest: &'a str, line: &mut Line) -> &'a str {
    if rest.starts_with("//") {
        *state = State::LineComment;
        return rest;
    }
    if let Some(after) = rest.strip_prefix("/*") {
        *state = State::BlockComment(1);
        return after;
    }
    if let Some(after) = rest.strip_prefix('"') {
        *state = State::Text;
        return after;
    }
    let in_name = line.code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    if !in_name && let Some((hashes, after)) = raw_text(rest) {
        *state = State::RawText(hashes);
        return after;
    }
    if let Some(after) = char_literal(rest) {
        return after;
    }
    let token = first_len(rest);
    line.code.push_str(&rest[..token]);
    &rest[token..]
}

/// The start of `r"..."`, `r#"..."#`, `br"..."`, `cr"..."`.
fn raw_text(rest: &str) -> Option<(usize, &str)> {
    let body =
        rest.strip_prefix("br").or_else(|| rest.strip_prefix("cr")).or_else(|| rest.strip_prefix('r'))?;
    let after = body.trim_start_matches('#');
    Some((body.len() - after.len(), after.strip_prefix('"')?))
}

/// Skips `'x'`, `'\n'` and `'\u{1f}'`, but not the lifetime `'a`.
fn char_literal(rest: &str) -> Option<&str> {
    let body = rest.strip_prefix('\'')?;
    if let Some(escaped) = body.strip_prefix('\\') {
        let escaped = &escaped[first_len(escaped)..];
        return escaped.find('\'').map(|end| &escaped[end + 1..]);
    }
    body[first_len(body)..].strip_prefix('\'')
}

fn first_len(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}
