//! A record of everything an adapter was asked and what it answered, one JSON object a line, and its replay.
//!
//! An adapter has no clock and no chance in it: the same events, in the same order, from the same configuration, have the
//! same answers. A trace is therefore a test, and the exact report of a fault.

use core::fmt;

use nic_switch::{QueueId, VfId};
use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::adapter::{Adapter, ClientId};
use crate::config_block::VfStatistics;
use crate::pf::{PfRefusal, PfReply, PfRequest};
use crate::refusal::Refusal;
use crate::request::{OidResponse, Request};

/// Something that an adapter is asked or told: one of the calls of [`Adapter`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// [`Adapter::request`].
    Request {
        /// Who asks.
        client: ClientId,
        /// What.
        request: Request,
    },
    /// [`Adapter::request_from_ndis`].
    NdisRequest {
        /// What.
        request: Request,
    },
    /// [`Adapter::request_on_vf`].
    VfAdapterRequest {
        /// On which VF's adapter.
        vf: VfId,
        /// The VF's generation.
        generation: u64,
        /// What.
        request: Request,
    },
    /// [`Adapter::vf_request`].
    VfRequest {
        /// Whose guest asks.
        vf: VfId,
        /// The VF's generation.
        generation: u64,
        /// What.
        request: PfRequest,
    },
    /// [`Adapter::set_link`].
    Link {
        /// The physical port's link is up.
        up: bool,
    },
    /// [`Adapter::invalidate_config_blocks`].
    InvalidateConfigBlocks {
        /// Whose.
        vf: VfId,
        /// Bit n stands for block n.
        mask: u64,
    },
    /// [`Adapter::post_invalidate`].
    PostInvalidate {
        /// Whose driver waits.
        vf: VfId,
        /// The VF's generation.
        generation: u64,
    },
    /// [`Adapter::set_vf_statistics`].
    VfStatistics {
        /// Whose.
        vf: VfId,
        /// The VF's generation.
        generation: u64,
        /// The counters.
        statistics: VfStatistics,
    },
    /// [`Adapter::queue_dma_stopped`].
    QueueDmaStopped {
        /// Of which VM queue.
        queue: QueueId,
        /// The queue's generation.
        generation: u64,
    },
    /// [`Adapter::queue_returned`].
    QueueReturned {
        /// Which VM queue's frames came back.
        queue: QueueId,
        /// The queue's generation.
        generation: u64,
    },
    /// [`Adapter::close`].
    Close {
        /// Who is gone.
        client: ClientId,
    },
    /// [`Adapter::halt`].
    Halt,
    /// [`Adapter::start`].
    Start,
}

/// What an adapter answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To a request.
    Response(OidResponse),
    /// To a guest.
    Reply(PfReply),
    /// It is done.
    Done,
    /// The PF refused.
    Refused(Refusal),
    /// The guest's call was refused.
    GuestRefused(PfRefusal),
    /// The adapter did not start, for this reason.
    NotStarted(String),
}

/// An event and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// What the adapter was asked.
    pub event: Event,
    /// What it answered.
    pub answer: Answer,
}

impl Record {
    /// The record as one line of JSON, without the line's end.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("a record has only string keys and numbers that JSON has")
    }
}

/// Lets `adapter` handle an event. Returns the record of it, and what the data path has to do.
pub fn record(adapter: &mut Adapter, event: Event) -> (Record, Vec<Action>) {
    let (answer, actions) = handle(adapter, event.clone());
    (Record { event, answer }, actions)
}

fn handle(adapter: &mut Adapter, event: Event) -> (Answer, Vec<Action>) {
    let response = |(response, actions)| (Answer::Response(response), actions);
    match event {
        Event::Request { client, request } => response(adapter.request(client, request)),
        Event::NdisRequest { request } => response(adapter.request_from_ndis(request)),
        Event::VfAdapterRequest { vf, generation, request } => {
            response((adapter.request_on_vf(vf, generation, request), Vec::new()))
        }
        Event::VfRequest { vf, generation, request } => {
            let (reply, actions) = adapter.vf_request(vf, generation, request);
            (Answer::Reply(reply), actions)
        }
        Event::Link { up } => (Answer::Done, adapter.set_link(up)),
        Event::InvalidateConfigBlocks { vf, mask } => outcome(adapter.invalidate_config_blocks(vf, mask)),
        Event::QueueDmaStopped { queue, generation } => outcome(adapter.queue_dma_stopped(queue, generation)),
        Event::QueueReturned { queue, generation } => outcome(adapter.queue_returned(queue, generation)),
        Event::PostInvalidate { vf, generation } => match adapter.post_invalidate(vf, generation) {
            Ok(actions) => (Answer::Done, actions),
            Err(refusal) => (Answer::GuestRefused(refusal), Vec::new()),
        },
        Event::VfStatistics { vf, generation, statistics } => {
            let outcome = adapter.set_vf_statistics(vf, generation, statistics);
            (outcome.map_or_else(Answer::GuestRefused, |()| Answer::Done), Vec::new())
        }
        Event::Close { client } => (Answer::Done, adapter.close(client)),
        Event::Halt => (Answer::Done, adapter.halt()),
        Event::Start => match adapter.start() {
            Ok(actions) => (Answer::Done, actions),
            Err(error) => (Answer::NotStarted(error.to_string()), Vec::new()),
        },
    }
}

fn outcome(outcome: Result<Vec<Action>, Refusal>) -> (Answer, Vec<Action>) {
    match outcome {
        Ok(actions) => (Answer::Done, actions),
        Err(refusal) => (Answer::Refused(refusal), Vec::new()),
    }
}

/// What a replay came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Records whose answers agreed; all of them.
    pub records: usize,
    /// Steps that the data path would have been given.
    pub actions: usize,
}

/// Where a replay ended.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A line is no record.
    #[error("line {line} of the trace is not a record")]
    Malformed {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The adapter answered something else.
    #[error("line {} of the trace was answered otherwise than before: {}", .0.line, .0)]
    Mismatch(Box<Mismatch>),
}

/// Two answers to one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Counted from 1.
    pub line: usize,
    /// What the trace has.
    pub expected: Answer,
    /// What the adapter answered now.
    pub got: Answer,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {:?}, got {:?}", self.expected, self.got)
    }
}

/// Lets `adapter` handle every event of `trace` and compares the answers. Empty lines are passed over.
///
/// Stops at the first line that is no record or is answered otherwise.
pub fn replay(trace: &str, adapter: &mut Adapter) -> Result<Report, ReplayError> {
    let mut report = Report::default();
    for (index, text) in trace.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let line = index + 1;
        let Record { event, answer } =
            serde_json::from_str(text).map_err(|source| ReplayError::Malformed { line, source })?;
        let (got, actions) = handle(adapter, event);
        if got != answer {
            return Err(ReplayError::Mismatch(Box::new(Mismatch { line, expected: answer, got })));
        }
        report.records += 1;
        report.actions += actions.len();
    }
    Ok(report)
}

#[cfg(test)]
mod tests;
