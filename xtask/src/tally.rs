//! How many tests and checks passed and failed.

use std::fmt;
use std::ops::AddAssign;

use anyhow::Result;

use crate::ui;

/// Counts of passed and failed tests; its text is the closing line that CI reads.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    passed: u32,
    failed: u32,
}

impl Tally {
    /// The given counts.
    pub(crate) const fn new(passed: u32, failed: u32) -> Self {
        Self { passed, failed }
    }

    /// The counts of which this is the text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (passed, failed) = text.strip_suffix(" failed")?.split_once(" passed, ")?;
        Some(Self::new(passed.parse().ok()?, failed.parse().ok()?))
    }

    /// How many failed.
    pub(crate) const fn failed(self) -> u32 {
        self.failed
    }

    /// Counts one result, and says why when it is a failure.
    pub(crate) fn count(&mut self, name: &str, result: Result<()>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(error) => {
                self.failed += 1;
                ui::failure(&format!("{name}: {error:#}"));
            }
        }
    }

    /// Adds what a stage counted; a stage that could not run at all counts as one failure.
    pub(crate) fn absorb(&mut self, stage: &str, result: Result<Self>) {
        match result {
            Ok(tally) => *self += tally,
            Err(error) => self.count(stage, Err(error)),
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests;
