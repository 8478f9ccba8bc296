//! Commands in a place that is driven from here: a guest, or a network namespace of the host.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::agent::Output;
use super::deadline::Deadline;

/// A place with a shell of its own, its own processes and its own `/tmp`.
pub(super) trait Shell {
    fn name(&self) -> &str;

    /// When every wait here must have ended.
    fn deadline(&self) -> Deadline;

    /// Runs a command, however it ends.
    fn try_sh(&self, command: &str) -> Result<Output>;

    /// Runs a command that must succeed, and returns what it printed.
    fn sh(&self, command: &str) -> Result<String> {
        let output = self.try_sh(command)?;
        ensure!(
            output.status == 0,
            "{}: `{command}` failed with {}: {}",
            self.name(),
            output.status,
            output.text
        );
        Ok(output.text)
    }

    /// Runs a command that must fail, and returns what it printed.
    fn refuses(&self, command: &str) -> Result<String> {
        let output = self.try_sh(command)?;
        ensure!(output.status != 0, "{}: `{command}` succeeded and must not: {}", self.name(), output.text);
        Ok(output.text)
    }

    /// Runs a command again and again until it succeeds, and returns what it printed then.
    fn until(&self, command: &str, limit: Duration) -> Result<String> {
        let until = self.deadline().within(limit);
        loop {
            let output = self.try_sh(&format!("{{ {command}; }} || {{ sleep 0.1; false; }}"))?;
            if output.status == 0 {
                return Ok(output.text);
            }
            if Instant::now() >= until {
                bail!("{}: `{command}` still fails after {limit:?}: {}", self.name(), output.text);
            }
        }
    }

    /// Starts a command in the background, in a subshell; [`Self::finish`] with the same name collects it.
    fn start(&self, job: &str, command: &str) -> Result<()> {
        self.sh(&format!(
            "rm -f /tmp/{job}.out /tmp/{job}.rc; \
             {{ ( {command} ) >/tmp/{job}.out 2>&1; echo $? >/tmp/{job}.rc; }} >/dev/null 2>&1 &"
        ))?;
        Ok(())
    }

    /// Waits until a background command has ended by itself.
    fn finish(&self, job: &str, limit: Duration) -> Result<Output> {
        let status = self.until(&format!("test -s /tmp/{job}.rc && cat /tmp/{job}.rc"), limit)?;
        let text = self.sh(&format!("cat /tmp/{job}.out"))?;
        Ok(Output { status: status.trim().parse().context("the status of a job is a number")?, text })
    }
}
