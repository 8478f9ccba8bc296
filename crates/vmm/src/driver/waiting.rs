//! Commands that wait for their answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Request;
use crate::error::{CommandError, Refusal, Unreachable};
use crate::session::{CommandId, Session};

/// The commands of one connection that somebody waits for, each until its deadline.
#[derive(Debug)]
pub(super) struct Waiting {
    within: Duration,
    commands: BTreeMap<CommandId, Waiter>,
}

#[derive(Debug)]
struct Waiter {
    command: &'static str,
    deadline: Instant,
    answer: oneshot::Sender<Result<Value, CommandError>>,
}

impl Waiter {
    fn tell(self, outcome: Result<Value, CommandError>) {
        // Whoever waited may have gone.
        let _ = self.answer.send(outcome);
    }
}

impl Waiting {
    pub(super) const fn new(within: Duration) -> Self {
        Self { within, commands: BTreeMap::new() }
    }

    /// Gives the command to the VMM, if there is room.
    pub(super) fn give(&mut self, session: &mut Session, request: Request) {
        let command = request.command.name();
        let waiter = Waiter { command, deadline: Instant::now() + self.within, answer: request.answer };
        match session.command(&request.command) {
            Some(id) => {
                self.commands.insert(id, waiter);
            }
            None => waiter.tell(Err(CommandError::Busy { command })),
        }
    }

    /// An answer has come. One to a command that has timed out is for nobody.
    pub(super) fn answer(&mut self, id: CommandId, outcome: Result<Value, Refusal>) {
        if let Some(waiter) = self.commands.remove(&id) {
            let command = waiter.command;
            waiter.tell(outcome.map_err(|refusal| CommandError::Refused { command, refusal }));
        }
    }

    /// When the first one times out: numbers are given in order, and all have the same time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.commands.first_key_value().map(|(_, waiter)| waiter.deadline)
    }

    /// Gives up those whose time is over. Their numbers stay taken in the session until the VMM answers.
    pub(super) fn expire(&mut self, now: Instant) {
        let over = |(_, waiter): &(&CommandId, &Waiter)| waiter.deadline <= now;
        let expired: Vec<CommandId> = self.commands.iter().take_while(over).map(|(id, _)| *id).collect();
        for id in expired {
            if let Some(waiter) = self.commands.remove(&id) {
                let command = waiter.command;
                waiter.tell(Err(CommandError::TimedOut { command, within: self.within }));
            }
        }
    }

    /// The connection is gone.
    pub(super) fn lose(self, why: &Arc<Unreachable>) {
        for waiter in self.commands.into_values() {
            let command = waiter.command;
            waiter.tell(Err(CommandError::Lost { command, source: Arc::clone(why) }));
        }
    }
}
