//! The conversation with one front end: each request is answered as often as the protocol says.

use zerocopy::IntoBytes;

use crate::backend::{Backend, Limits};
use crate::decoder::{BadHeader, Message};
use crate::output::Output;
use crate::protocol::{Header, RequestCode, VRING_NO_FD, protocol_features};
use crate::reason::{Counters, Reason};
use crate::request::Request;
use answer::Answer;
use state::State;

mod answer;
mod log;
mod memory;
mod rings;
pub(crate) mod state;

/// State machine of one session. It takes messages, calls the device, and queues what the front end gets; it knows no
/// socket and no time.
///
/// A refused request changes nothing, with two exceptions: a SET_MEM_TABLE that the device refuses leaves no memory,
/// and a SET_LOG_BASE that is refused leaves no log. The front end need not learn of the refusal and may have given
/// the old memory to something else, or may look for dirty pages in the new log only. Rings without their memory, or
/// without the log that they should write, are held until both are there.
#[derive(Debug)]
pub struct Session {
    state: State,
    output: Output,
    counters: Counters,
}

impl Session {
    /// A session in which nothing was said yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self::from_state(State::new(limits))
    }

    pub(crate) fn from_state(state: State) -> Self {
        Self { state, output: Output::default(), counters: Counters::default() }
    }

    /// Handles one message. Its reply, if it gets one, is in the [`output`](Self::output) afterwards. Give it no
    /// message while the output [is full](Output::is_full).
    pub fn handle(&mut self, message: Message<'_>, backend: &mut dyn Backend) {
        let header = message.header;
        let (request, flags) = (header.request.get(), header.flags.get());
        let result = Request::parse(message, self.state.protocol_features)
            .and_then(|request| self.state.execute(request, backend, &mut self.counters));
        // The feature may have been negotiated by this very request.
        let acknowledge = flags & (Header::NEED_REPLY | Header::REPLY) == Header::NEED_REPLY
            && self.state.protocol_features & protocol_features::REPLY_ACK != 0;
        match result {
            Ok(Answer::Done) if acknowledge => self.output.reply(request, &0_u64, None),
            Ok(Answer::Done) => {}
            Ok(answer) => answer.queue(request, &mut self.output),
            Err(reason) => {
                self.counters.count(reason);
                if flags & Header::REPLY == 0 {
                    self.refuse(request, acknowledge);
                }
            }
        }
    }

    /// Counts a header that ends the session. No reply could be told from one of another meaning.
    pub fn refuse_header(&mut self, bad: &BadHeader) {
        self.counters.count(match bad {
            BadHeader::Version { .. } => Reason::HeaderVersion,
            BadHeader::Size { .. } => Reason::HeaderSize,
        });
    }

    /// Takes everything back that the front end gave: stops its rings, its log and its memory, and resets the device.
    /// To be called when the connection has ended.
    pub fn close(&mut self, backend: &mut dyn Backend) {
        self.state.close(backend);
    }

    /// What waits for the front end.
    #[must_use]
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// What waits for the front end, to be sent.
    pub fn output_mut(&mut self) -> &mut Output {
        &mut self.output
    }

    /// Features that the driver uses, those of the protocol included; none before SET_FEATURES.
    #[must_use]
    pub fn features(&self) -> Option<u64> {
        self.state.features
    }

    /// Protocol features of this session.
    #[must_use]
    pub fn protocol_features(&self) -> u64 {
        self.state.protocol_features
    }

    /// Rings that the device serves now. Of two front ends of one adapter, as there are during a migration, the one
    /// whose rings run is the one with the guest.
    #[must_use]
    pub fn running_rings(&self) -> usize {
        self.state.rings.iter().filter(|ring| ring.running.is_some()).count()
    }

    /// What was refused, and why.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Answers a refused request, if it is one that is answered: one that asks for data gets a reply without any, which
    /// no front end takes for data, and one whose reply is a result gets a bad one.
    fn refuse(&mut self, request: u32, acknowledge: bool) {
        match RequestCode::from_number(request) {
            Some(
                RequestCode::GetFeatures
                | RequestCode::GetProtocolFeatures
                | RequestCode::GetVringBase
                | RequestCode::GetQueueNum
                | RequestCode::GetConfig
                | RequestCode::CreateCryptoSession
                | RequestCode::PostcopyAdvise
                | RequestCode::GetInflightFd
                | RequestCode::GetMaxMemSlots
                | RequestCode::GetStatus
                | RequestCode::GetSharedObject
                | RequestCode::GetShmemConfig,
            ) => self.output.reply(request, &[0_u8; 0], None),
            Some(RequestCode::SetLogBase)
                if self.state.protocol_features & protocol_features::LOG_SHMFD != 0 =>
            {
                self.output.reply(request, &[0_u8; 0], None);
            }
            Some(RequestCode::IotlbMsg | RequestCode::PostcopyEnd | RequestCode::CheckDeviceState) => {
                self.output.reply(request, &1_u64, None);
            }
            Some(RequestCode::SetDeviceStateFd) => {
                self.output.reply(request, (VRING_NO_FD | 1).as_bytes(), None);
            }
            _ if acknowledge => self.output.reply(request, &1_u64, None),
            _ => {}
        }
    }

    /// What must survive a restart.
    pub(crate) fn into_parts(self) -> (State, Output) {
        (self.state, self.output)
    }

    pub(crate) fn state_mut(&mut self) -> (&mut State, &mut Counters) {
        (&mut self.state, &mut self.counters)
    }
}
