//! House rules that no compiler lint knows: the size of files, and where unsafe code may stand.

mod scan;
mod size;
mod unsafe_code;

use std::fs;

use anyhow::{Context, Result, bail};

use crate::{ui, workspace};

/// Checks every source file; every breach is shown before this fails.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root();
    let mut breaches = 0_usize;
    for path in workspace::rust_files()? {
        let source = fs::read_to_string(root.join(&path))
            .with_context(|| format!("cannot read {}", path.display()))?;
        for breach in size::check(&source).into_iter().chain(unsafe_code::check(&path, &source)) {
            ui::line(&format!("{}:{}: {}", path.display(), breach.line, breach.what));
            breaches += 1;
        }
    }
    if breaches > 0 {
        bail!("{breaches} breaches of the house rules");
    }
    Ok(())
}

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Breach {
    /// Line number, from 1.
    line: usize,
    /// What is wrong and what would be right.
    what: String,
}

#[cfg(test)]
mod tests;
