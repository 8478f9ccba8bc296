//! The protocol as a state machine: no socket, no clock.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::command::{Command, Request};
use crate::error::{Refusal, Violation};
use crate::event::Event;
use crate::message::{Greeting, Message};

/// The longest line of a VMM, in bytes. Answers of kilobytes are usual, of more than that are not.
pub const MAX_LINE: usize = 4 * 1024 * 1024;

/// How many commands may wait for their answer at a time.
pub const MAX_OUTSTANDING: usize = 32;

/// The number of a command in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(u64);

/// What has come in.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// The negotiation is over: commands may be given.
    Ready(Greeting),
    /// A command is done.
    Answer {
        /// The command.
        id: CommandId,
        /// What it returned, or why QEMU refused it.
        outcome: Result<Value, Refusal>,
    },
    /// Something has happened.
    Event(Event),
}

#[derive(Debug)]
enum Phase {
    /// The greeting has not come.
    Connected,
    /// `qmp_capabilities`, which has this number, is not answered.
    Negotiating(CommandId, Greeting),
    Ready,
    /// A violation: nothing that comes counts any more.
    Broken,
}

/// A connection to a VMM, from its first byte to its last.
///
/// The owner gives it what it has read ([`receive`](Self::receive)), takes what has come in by [`poll`](Self::poll)
/// until there is nothing, and writes [`output`](Self::output) to the socket. Memory is bounded if it does so: a line
/// of [`MAX_LINE`], what was read at once, and the commands under way.
#[derive(Debug)]
pub struct Session {
    phase: Phase,
    input: Vec<u8>,
    /// What of the input is done with.
    taken: usize,
    /// How far the input was searched for the end of a line.
    searched: usize,
    output: Vec<u8>,
    next_id: u64,
    outstanding: BTreeSet<CommandId>,
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// A connection that was just made. The VMM speaks first.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            phase: Phase::Connected,
            input: Vec::new(),
            taken: 0,
            searched: 0,
            output: Vec::new(),
            next_id: 1,
            outstanding: BTreeSet::new(),
        }
    }

    /// Takes what was read from the socket.
    pub fn receive(&mut self, bytes: &[u8]) {
        if !matches!(self.phase, Phase::Broken) {
            self.input.extend_from_slice(bytes);
        }
    }

    /// The next thing that has come in; `None` until more is received.
    ///
    /// # Errors
    ///
    /// When the VMM breaks the protocol. The connection is of no use then: nothing comes in any more.
    pub fn poll(&mut self) -> Result<Option<Incoming>, Violation> {
        let incoming = self.next_incoming();
        if incoming.is_err() {
            self.phase = Phase::Broken;
            self.forget_input();
        }
        incoming
    }

    /// Gives a command. `None`, and it is not given, before the session is ready, and when [`MAX_OUTSTANDING`] others
    /// wait for their answer.
    pub fn command(&mut self, command: &Command) -> Option<CommandId> {
        if !matches!(self.phase, Phase::Ready) || self.outstanding.len() >= MAX_OUTSTANDING {
            return None;
        }
        Some(self.send(command))
    }

    /// What is to be written to the socket.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// So many bytes of the output are written.
    pub fn sent(&mut self, bytes: usize) {
        self.output.drain(..bytes.min(self.output.len()));
    }

    fn send(&mut self, command: &Command) -> CommandId {
        let id = CommandId(self.next_id);
        self.next_id += 1;
        self.outstanding.insert(id);
        serde_json::to_writer(&mut self.output, &Request { command, id: id.0 })
            .expect("a command has string keys, and memory takes every byte");
        self.output.push(b'\n');
        id
    }

    fn next_incoming(&mut self) -> Result<Option<Incoming>, Violation> {
        while let Some(message) = self.next_message()? {
            let incoming = match message {
                Message::Greeting(greeting) => {
                    if !matches!(self.phase, Phase::Connected) {
                        return Err(Violation::Greeting);
                    }
                    let id = self.send(&Command::Capabilities);
                    self.phase = Phase::Negotiating(id, greeting);
                    continue;
                }
                _ if matches!(self.phase, Phase::Connected) => return Err(Violation::NoGreeting),
                Message::Answer { id, outcome } => self.answer(CommandId(id), outcome)?,
                Message::Event(event) => Incoming::Event(event),
            };
            return Ok(Some(incoming));
        }
        Ok(None)
    }

    fn answer(&mut self, id: CommandId, outcome: Result<Value, Refusal>) -> Result<Incoming, Violation> {
        if !self.outstanding.remove(&id) {
            return Err(Violation::Unasked(id.0));
        }
        match &self.phase {
            Phase::Negotiating(negotiation, greeting) if *negotiation == id => {
                outcome.map_err(Violation::Negotiation)?;
                let ready = Incoming::Ready(greeting.clone());
                self.phase = Phase::Ready;
                Ok(ready)
            }
            _ => Ok(Incoming::Answer { id, outcome }),
        }
    }

    /// The next line, taken apart. Blank ones are not messages.
    fn next_message(&mut self) -> Result<Option<Message>, Violation> {
        loop {
            let Some(end) = self.input[self.searched..].iter().position(|&byte| byte == b'\n') else {
                self.input.drain(..self.taken);
                self.taken = 0;
                self.searched = self.input.len();
                return if self.input.len() > MAX_LINE { Err(Violation::LineTooLong) } else { Ok(None) };
            };
            let end = self.searched + end;
            let line = &self.input[self.taken..end];
            if line.len() > MAX_LINE {
                return Err(Violation::LineTooLong);
            }
            let message = match line.trim_ascii() {
                [] => None,
                line => Some(Message::parse(line)?),
            };
            self.taken = end + 1;
            self.searched = self.taken;
            if let Some(message) = message {
                return Ok(Some(message));
            }
        }
    }

    fn forget_input(&mut self) {
        self.input = Vec::new();
        self.taken = 0;
        self.searched = 0;
    }
}

#[cfg(test)]
mod tests;
