//! A capture as the body of an HTTP response.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::types::CaptureRequest;
use dataplane::{Capture, Captured, Way};
use hyper::body::{Body, Bytes, Frame};
use port::Cycles;
use sys::clock;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::pcapng::{self, Direction, Packet};
use super::{Claim, Interface, StageCapture};

/// How often the queue is looked at.
const TICK: Duration = Duration::from_millis(10);
/// Bytes that are handed on at a time.
const CHUNK: usize = 256 << 10;

/// A running capture.
#[derive(Debug)]
pub(crate) struct CaptureStream {
    // Dropped in this order: the switch shows frames as long as the worker looks at them.
    capture: Capture,
    /// Ends with this value.
    _stage: Option<StageCapture>,
    claim: Claim,
    interfaces: Vec<Interface>,
    snaplen: usize,
    /// Frames to come, if there is a bound.
    left: Option<u64>,
    begun: bool,
    ended: bool,
    clock: Clock,
    ticks: Interval,
}

impl CaptureStream {
    pub(super) fn new(
        capture: Capture,
        interfaces: Vec<Interface>,
        request: &CaptureRequest,
        claim: Claim,
        stage: Option<StageCapture>,
    ) -> Self {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            capture,
            _stage: stage,
            claim,
            interfaces,
            snaplen: request.snaplen,
            left: request.count,
            begun: false,
            ended: false,
            clock: Clock::now(),
            ticks,
        }
    }

    /// By which it can be ended.
    pub(crate) fn id(&self) -> u64 {
        self.claim.id
    }

    /// What there is to hand on now.
    fn next_part(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if !std::mem::replace(&mut self.begun, true) {
            pcapng::section(&mut out, concat!("softiov ", env!("CARGO_PKG_VERSION")));
            self.interfaces.iter().for_each(|one| pcapng::interface(&mut out, &one.name, self.snaplen));
        }
        // Before the queue is looked at: what came until it was set belongs to the file.
        let ending = self.claim.end.load(Ordering::Relaxed) || self.capture.is_over();
        self.clock.set();
        while out.len() < CHUNK
            && self.left != Some(0)
            && let Some((about, bytes)) = self.capture.take()
        {
            let Some(interface) = self.interfaces.get(about.interface as usize) else { continue };
            pcapng::packet(&mut out, packet(&about, interface, bytes, &mut self.clock));
            self.left = self.left.map(|left| left - 1);
        }
        if self.left == Some(0) || ending && out.len() < CHUNK {
            self.ended = true;
            let now = self.clock.at(clock::tsc());
            for (interface, counts) in (0..).zip(self.capture.counts()) {
                pcapng::statistics(&mut out, interface, now, counts.seen, counts.missed);
            }
        }
        out
    }
}

fn packet<'a>(about: &Captured, interface: &Interface, bytes: &'a [u8], clock: &mut Clock) -> Packet<'a> {
    let inbound = (about.way == Way::Received) != interface.inverted;
    Packet {
        interface: about.interface,
        time: clock.at(about.time),
        direction: if inbound { Direction::Inbound } else { Direction::Outbound },
        length: about.length,
        bytes,
        comment: about.lost,
    }
}

impl Body for CaptureStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            let part = self.next_part();
            if !part.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(part.into()))));
            }
            ready!(self.ticks.poll_tick(context));
        }
    }
}

/// Turns cycles of the worker's clock into the time of day. Set anew all the time, for the two do not run alike.
#[derive(Clone, Copy, Debug)]
struct Clock {
    cycles: Cycles,
    /// Nanoseconds since 1970 at that time.
    nanoseconds: u64,
    /// The latest time that was told: it never goes back.
    latest: u64,
}

impl Clock {
    fn now() -> Self {
        let mut clock = Self { cycles: 0, nanoseconds: 0, latest: 0 };
        clock.set();
        clock
    }

    fn set(&mut self) {
        self.cycles = clock::tsc();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.nanoseconds = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    }

    fn at(&mut self, cycles: Cycles) -> u64 {
        let nanoseconds = |cycles: u64| {
            let exact = u128::from(cycles) * 1000 / u128::from(clock::cycles_per_microsecond());
            u64::try_from(exact).unwrap_or(u64::MAX)
        };
        let time = match cycles.checked_sub(self.cycles) {
            Some(later) => self.nanoseconds.saturating_add(nanoseconds(later)),
            None => self.nanoseconds.saturating_sub(nanoseconds(self.cycles - cycles)),
        };
        self.latest = self.latest.max(time);
        self.latest
    }
}
