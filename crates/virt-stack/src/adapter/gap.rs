//! The gap: the time in which a guest hears on neither path, and its frames are held.
//!
//! A guest is served if its filter stands where its ear is. Everything follows from that: the frames are held from
//! the moment in which the two disagree, and released when they agree again, on the path on which they do.

use std::time::Duration;

use super::{Adapter, Context};
use crate::record::{Failover, GapFrames, What};
use crate::{Action, Cause, Path, ReleaseId, Settings, Time, VfState};

/// Whether the guest is served, and what is to be recorded about the last time when it was not.
#[derive(Debug, Default)]
pub(crate) struct Gap {
    /// The path on which the guest is served, or was last.
    pub(super) served: Path,
    open: Option<Open>,
    /// A gap that is over, of whose frames the data path has yet to report.
    awaited: Option<(ReleaseId, Failover, Time)>,
}

/// The guest is not served.
#[derive(Debug)]
struct Open {
    since: Time,
    /// When it was decided that the guest was not to be served as before: then or earlier.
    start: Time,
    because: Cause,
    /// Its frames were held for as long as they may be, and released.
    expired: Option<(ReleaseId, Time)>,
    frames: Option<GapFrames>,
}

impl Gap {
    pub(super) fn is_expired(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.expired.is_some())
    }

    /// Frames are held.
    pub(crate) fn is_held(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.expired.is_none())
    }

    pub(super) fn deadline(&self, settings: &Settings) -> Option<Time> {
        let open = self.open.as_ref().filter(|open| open.expired.is_none());
        let limit = open.map(|open| open.since + settings.hold_limit);
        let report = self.awaited.as_ref().map(|(_, _, until)| *until);
        [limit, report].into_iter().flatten().min()
    }
}

impl Adapter {
    /// The path on which the guest is served now.
    fn path_in_use(&self) -> Option<Path> {
        match (self.guest.listens_to_vf, self.guest.ring_open, self.is_on_vf()) {
            _ if self.is_moving() => None,
            (false, _, false) => Some(Path::Synthetic),
            (true, true, true) => Some(Path::Vf),
            _ => None,
        }
    }

    /// Holds or releases frames.
    pub(super) fn update_gap(&mut self, cx: &mut Context<'_>) {
        if self.gap.awaited.as_ref().is_some_and(|(_, _, until)| cx.now >= *until) {
            self.record_awaited(None, cx);
        }
        let adapter = self.id;
        let leaving = self.assignment.as_ref().and_then(|assignment| assignment.leaving.as_ref());
        if let (Some(open), Some(leaving)) = (&mut self.gap.open, leaving) {
            open.because = leaving.cause.clone();
            open.start = open.start.min(leaving.since);
        }
        match (self.path_in_use(), &mut self.gap.open) {
            (Some(path), None) => self.gap.served = path,
            (Some(path), Some(_)) => self.close_gap(path, cx),
            (None, None) => self.open_gap(cx),
            (None, Some(open)) if open.expired.is_none() && cx.now >= open.since + cx.settings.hold_limit => {
                let release = cx.out.release();
                open.expired = Some((release, cx.now));
                cx.out.actions.push_back(Action::Release { adapter, release, to: Path::Synthetic });
                // What the state is waits for that.
                self.live(cx);
            }
            (None, Some(_)) => (),
        }
    }

    fn open_gap(&mut self, cx: &mut Context<'_>) {
        // The filter has moved, or moves, and that was paid for. A guest that only pretends to come and go pays
        // here, and waits at its own cost when it has come and gone too often.
        let paid = self.is_on_vf() || self.is_moving() || self.state == VfState::Activating;
        if !paid && !self.moves.take(cx.now, cx.settings) {
            return;
        }
        let (because, start) =
            match self.assignment.as_ref().and_then(|assignment| assignment.leaving.as_ref()) {
                Some(leaving) => (leaving.cause.clone(), leaving.since),
                None if self.guest.ring_open => (Cause::DriverUp, cx.now),
                None => (Cause::DriverDown, cx.now),
            };
        self.gap.open = Some(Open { since: cx.now, start, because, expired: None, frames: None });
        cx.out.actions.push_back(Action::Hold { adapter: self.id });
    }

    fn close_gap(&mut self, to: Path, cx: &mut Context<'_>) {
        let Some(open) = self.gap.open.take() else { return };
        let (release, held_until) = open.expired.unwrap_or_else(|| {
            let release = cx.out.release();
            cx.out.actions.push_back(Action::Release { adapter: self.id, release, to });
            (release, cx.now)
        });
        let failover = Failover {
            because: open.because,
            from: self.gap.served,
            to,
            start: open.start,
            duration: cx.now.since(open.start),
            held_for: held_until.since(open.since),
            expired: open.expired.is_some(),
            frames: None,
        };
        self.gap.served = to;
        self.record_awaited(None, cx);
        self.gap.awaited = Some((release, failover, cx.now + cx.settings.report_within));
        if open.frames.is_some() {
            self.record_awaited(open.frames, cx);
        }
    }

    /// The data path reports what was held.
    pub(crate) fn gap_reported(&mut self, release: ReleaseId, frames: GapFrames, cx: &mut Context<'_>) {
        if self.gap.awaited.as_ref().is_some_and(|(awaited, _, _)| *awaited == release) {
            self.record_awaited(Some(frames), cx);
        } else if let Some(open) = &mut self.gap.open
            && open.expired.is_some_and(|(expired, _)| expired == release)
        {
            open.frames = Some(frames);
        }
    }

    fn record_awaited(&mut self, frames: Option<GapFrames>, cx: &mut Context<'_>) {
        if let Some((_, failover, _)) = self.gap.awaited.take() {
            self.record(What::Failover(Failover { frames, ..failover }), cx);
        }
    }

    /// For how long the guest has not been served.
    pub(crate) fn unserved_for(&self, now: Time) -> Option<Duration> {
        self.gap.open.as_ref().map(|open| now.since(open.since))
    }
}
