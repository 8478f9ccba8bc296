//! No file is longer than a reader can hold.

use super::Breach;

/// Where a file must have been split at its seam.
const MOST_LINES: usize = 600;

pub(super) fn check(source: &str) -> Option<Breach> {
    let lines = source.lines().count();
    (lines > MOST_LINES).then(|| Breach {
        line: MOST_LINES + 1,
        what: format!("the file has {lines} lines; split it at its seam, {MOST_LINES} is the most"),
    })
}
