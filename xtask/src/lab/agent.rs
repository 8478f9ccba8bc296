//! The host's end of the agent that runs in each guest (`setup/init.sh`): commands in, output and exit status out.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::lines::Lines;

/// The guest's terminal holds no more than 4096 bytes that its shell has not read.
const LONGEST_COMMAND: usize = 2000;

/// What a command in a guest printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Output {
    /// Exit status of the shell.
    pub(super) status: i32,
    /// Standard output and standard error, in the order printed, without white space around.
    pub(super) text: String,
}

/// The connection to the agent of one guest.
#[derive(Debug)]
pub(super) struct Agent {
    lines: Lines,
    commands: u32,
}

impl Agent {
    pub(super) fn new(stream: UnixStream) -> Result<Self> {
        Ok(Self { lines: Lines::new(stream)?, commands: 0 })
    }

    /// Waits until the guest has started and serves commands.
    pub(super) fn await_ready(&mut self, deadline: Instant) -> Result<()> {
        while self.lines.receive(deadline).context("the guest does not get ready")? != "READY" {}
        Ok(())
    }

    /// Runs a command in the guest's shell.
    pub(super) fn run(&mut self, command: &str, deadline: Instant) -> Result<Output> {
        ensure!(!command.contains('\n'), "a guest command is one line, this one has several: {command}");
        ensure!(
            command.len() <= LONGEST_COMMAND,
            "a guest command has at most {LONGEST_COMMAND} bytes: {command}"
        );
        self.commands += 1;
        let id = self.commands;
        self.lines.send(&format!("RUN {id} {command}"))?;
        let waiting = || format!("the guest's answer to `{command}` did not come");
        let begin = format!("BEGIN {id}");
        let end = format!("END {id} ");
        let mut text: Option<String> = None;
        loop {
            let line = self.lines.receive(deadline).with_context(waiting)?;
            if line == "READY" {
                bail!("the guest restarted in the midst of `{command}`");
            }
            match &mut text {
                None if line == begin => text = Some(String::new()),
                // The rest of a command that took too long and was given up.
                None => {}
                Some(text) => {
                    if let Some(status) = line.strip_prefix(&end) {
                        let status =
                            status.parse().with_context(|| format!("the agent ends with `{line}`"))?;
                        return Ok(Output { status, text: text.trim().to_owned() });
                    }
                    text.push_str(&line);
                    text.push('\n');
                }
            }
        }
    }

    /// Starts a command after which the guest restarts, and waits until it serves again.
    pub(super) fn restart(&mut self, command: &str, deadline: Instant) -> Result<()> {
        self.commands += 1;
        self.lines.send(&format!("RUN {} {command}", self.commands))?;
        self.await_ready(deadline)
    }
}

/// How long a command may take unless the case says otherwise.
pub(super) const COMMAND: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
