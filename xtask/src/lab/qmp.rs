//! A small client of QEMU's machine protocol (QMP): commands, their answers, and events.

use std::collections::VecDeque;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::deadline::Deadline;
use super::lines::Lines;

/// How long QEMU may take to answer a command.
const ANSWER: Duration = Duration::from_secs(30);
/// Events that nobody waited for are kept up to this many.
const KEPT_EVENTS: usize = 256;

/// A connection to the monitor of one QEMU.
#[derive(Debug)]
pub(super) struct Qmp {
    lines: Lines,
    events: VecDeque<Value>,
    deadline: Deadline,
}

impl Qmp {
    /// Takes the greeting of a QEMU that has just connected and leaves the negotiation mode.
    pub(super) fn new(stream: UnixStream, deadline: Deadline) -> Result<Self> {
        let mut qmp = Self { lines: Lines::new(stream)?, events: VecDeque::new(), deadline };
        let greeting = qmp.receive(deadline.within(ANSWER))?;
        ensure!(greeting.get("QMP").is_some(), "QEMU greets with {greeting}, not with QMP");
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and returns what it returned.
    pub(super) fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        self.lines.send(&request.to_string())?;
        let deadline = self.deadline.within(ANSWER);
        loop {
            let mut message = self.receive(deadline).with_context(|| format!("QMP {command}"))?;
            if let Some(returned) = message.get_mut("return") {
                return Ok(returned.take());
            }
            if let Some(error) = message.get("error") {
                bail!("QEMU refuses {request}: {error}");
            }
            self.keep(message);
        }
    }

    /// Waits for an event of this name whose data holds `data`'s members, and takes it.
    pub(super) fn await_event(&mut self, name: &str, data: &Value, limit: Duration) -> Result<Value> {
        let deadline = self.deadline.within(limit);
        let wanted = |event: &Value| event["event"] == name && holds(&event["data"], data);
        loop {
            if let Some(event) = self.events.iter().position(wanted).and_then(|at| self.events.remove(at)) {
                return Ok(event);
            }
            let message =
                self.receive(deadline).with_context(|| format!("the event {name} {data} did not come"))?;
            self.keep(message);
        }
    }

    fn keep(&mut self, event: Value) {
        if self.events.len() == KEPT_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn receive(&mut self, deadline: Instant) -> Result<Value> {
        let line = self.lines.receive(deadline)?;
        serde_json::from_str(&line).with_context(|| format!("QEMU sent a line that is not JSON: {line}"))
    }
}

/// Whether `value` has every member that `part` has, with the same value.
fn holds(value: &Value, part: &Value) -> bool {
    part.as_object()
        .is_none_or(|members| members.iter().all(|(name, member)| value.get(name) == Some(member)))
}

#[cfg(test)]
mod tests;
