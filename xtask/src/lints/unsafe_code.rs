//! Unsafe code stands in two crates, each module says why it needs it, each block why it is sound.

use std::path::Path;

use super::Breach;
use super::scan::{self, Line};

/// The crates that may contain unsafe code.
const ALLOWED: [&str; 3] = ["crates/guest-memory", "crates/sys", "crates/uplink"];

pub(super) fn check(path: &Path, source: &str) -> Vec<Breach> {
    let lines = scan::lines(source);
    let allowed = ALLOWED.iter().any(|home| path.starts_with(home));
    let mut breaches = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let opts_in = opts_in(&line.code);
        let unsafe_site = has_word(&line.code, "unsafe");
        let what = if (opts_in || unsafe_site) && !allowed {
            "unsafe code stands in the crates guest-memory, sys and uplink only"
        } else if opts_in && !explained(&lines, index, "UNSAFETY:") {
            "a module that opts in to unsafe code says why it needs it, in a `// UNSAFETY:` comment above"
        } else if unsafe_site && needs_note(&line.code) && !explained(&lines, index, "SAFETY:") {
            "an unsafe block or impl says why it is sound, in a `// SAFETY:` comment above"
        } else {
            continue;
        };
        breaches.push(Breach { line: index + 1, what: what.to_owned() });
    }
    breaches
}

/// Whether a line switches the `unsafe_code` lint off.
fn opts_in(code: &str) -> bool {
    code.trim_start().starts_with('#')
        && has_word(code, "unsafe_code")
        && (has_word(code, "expect") || has_word(code, "allow"))
}

/// A declaration (`unsafe fn`, `unsafe trait`, `unsafe extern`) states its contract in its docs instead.
fn needs_note(code: &str) -> bool {
    let mut rest = code;
    while let Some(at) = find_word(rest, "unsafe") {
        rest = rest[at + "unsafe".len()..].trim_start();
        if !["fn", "trait", "extern"].iter().any(|word| find_word(rest, word) == Some(0)) {
            return true;
        }
    }
    false
}

/// Whether the statement that line `index` belongs to has a comment with `mark` on it or directly above it.
fn explained(lines: &[Line], index: usize, mark: &str) -> bool {
    let marked = |line: &Line| line.comment.trim_start_matches(['/', '!', '*', ' ']).starts_with(mark);
    if marked(&lines[index]) {
        return true;
    }
    for line in lines[..index].iter().rev() {
        if marked(line) {
            return true;
        }
        let code = line.code.trim();
        let ends_another = code.ends_with([';', '{', '}', ',']) && !code.starts_with('#');
        let gap = code.is_empty() && line.comment.is_empty();
        if ends_another || gap {
            return false;
        }
    }
    false
}

fn has_word(code: &str, word: &str) -> bool {
    find_word(code, word).is_some()
}

/// The place of `word` in `code`, where it is a whole identifier.
fn find_word(code: &str, word: &str) -> Option<usize> {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .map(|(at, _)| at)
        .find(|&at| !code[..at].ends_with(part_of_name) && !code[at + word.len()..].starts_with(part_of_name))
}
