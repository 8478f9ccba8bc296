//! What a request that was carried out is answered with.

use std::os::fd::OwnedFd;

use zerocopy::IntoBytes;

use crate::output::Output;
use crate::protocol;

/// The payload of a reply.
#[derive(Debug)]
pub(crate) enum Answer {
    /// None, or an acknowledgement if the front end wants one.
    Done,
    Number(u64),
    Vring(protocol::VringState),
    Log(protocol::Log),
    Inflight {
        area: protocol::Inflight,
        /// With the padding that the request had.
        payload: usize,
        fd: OwnedFd,
    },
}

impl Answer {
    /// Queues the reply to request number `request`; nothing for [`Answer::Done`].
    pub(super) fn queue(self, request: u32, output: &mut Output) {
        match self {
            Self::Done => {}
            Self::Number(number) => output.reply(request, &number, None),
            Self::Vring(state) => output.reply(request, &state, None),
            Self::Log(log) => output.reply(request, &log, None),
            Self::Inflight { area, payload, fd } => {
                let mut padded = [0; size_of::<protocol::Inflight>() + 4];
                padded[..size_of::<protocol::Inflight>()].copy_from_slice(area.as_bytes());
                output.reply(request, &padded[..payload], Some(fd));
            }
        }
    }
}
