//! The life of a VF: which state follows from what is known.

use super::{Adapter, Context, Guest};
use crate::record::{Transition, What};
use crate::{Action, Cause, VfState, Vmm};

impl Adapter {
    /// Goes from state to state for as long as something follows. The states are few, and no two follow from each
    /// other without an event in between.
    pub(super) fn live(&mut self, cx: &mut Context<'_>) {
        while let Some((state, cause)) = self.next_state(cx) {
            self.enter(state, cause, cx);
        }
    }

    /// Whether a VMM has the device of the present VF, so that a guest may use it.
    fn is_present(&self) -> bool {
        let Some(assignment) = &self.assignment else { return false };
        match assignment.made_for.vmm {
            Vmm::Qmp => self.devices.has(assignment.device),
            Vmm::ByHand => assignment.socket,
        }
    }

    fn next_state(&mut self, cx: &Context<'_>) -> Option<(VfState, Cause)> {
        use VfState::{
            Activating, Active, Allocating, AwaitingDriver, Held, Leaving, Offered, Plugging, Quarantined,
            Surprise, Synthetic, TearingDown,
        };
        let present = self.is_present();
        let leaving = self.leaving().cloned();
        let assignment = self.assignment.as_ref()?;
        let by_hand = assignment.made_for.vmm == Vmm::ByHand;
        let plug_asked = assignment.plug_asked;
        match (self.state, leaving) {
            (Synthetic, _) => None,
            (Allocating, Some(cause)) => Some((TearingDown, cause)),
            (Allocating, None) => assignment.secured.is_some().then_some((Offered, Cause::Made)),

            (Offered, Some(cause)) => Some((if present { Leaving } else { TearingDown }, cause)),
            (Offered, None) if present => {
                let adopted = assignment.device.is_some_and(|device| device != assignment.generation);
                Some((AwaitingDriver, if adopted { Cause::Adopted } else { Cause::Plugged }))
            }
            (Offered, None) => {
                let can_plug = !by_hand && cx.vmm && self.devices.none_but(assignment.device);
                can_plug.then_some((Plugging, Cause::PlugAsked))
            }

            (Plugging, _) if present => Some((AwaitingDriver, Cause::Plugged)),
            (Plugging, Some(cause)) if !plug_asked => Some((TearingDown, cause)),
            (Plugging, _) => (!cx.vmm).then_some((Offered, Cause::VmmLost)),

            (AwaitingDriver | Activating | Active | Held, leaving) if !present => match leaving {
                None if by_hand => Some((Offered, Cause::DeviceRemoved)),
                leaving => Some((TearingDown, leaving.unwrap_or(Cause::DeviceRemoved))),
            },
            (AwaitingDriver | Activating | Active | Held, Some(cause)) => Some((Leaving, cause)),
            (AwaitingDriver | Activating | Active | Held, None) => self.follow_guest(cx),

            (Leaving, _) if !present => Some((TearingDown, Cause::Unplugged)),
            (Leaving, _) => self.lose_patience(cx).map(|cause| (Surprise, cause)),

            (Surprise | TearingDown, _) if self.teardown_refused().is_some() => {
                self.teardown_refused().map(|cause| (Quarantined, cause))
            }
            (Surprise, _) => {
                (!self.is_on_vf() && !self.is_moving()).then_some((TearingDown, Cause::FilterBack))
            }
            (TearingDown, _) => self.is_torn_down().then_some((Synthetic, Cause::TornDown)),
            (Quarantined, _) => {
                self.teardown_refused().is_none().then_some((TearingDown, Cause::RetrySucceeded))
            }
        }
    }

    /// What the guest does with a VF that it may keep.
    fn follow_guest(&mut self, cx: &Context<'_>) -> Option<(VfState, Cause)> {
        let Guest { listens_to_vf, ring_open } = self.guest;
        match self.state {
            VfState::AwaitingDriver | VfState::Held if ring_open => {
                let may_move = self.moves.take(cx.now, cx.settings);
                may_move.then_some((VfState::Activating, Cause::DriverUp))
            }
            VfState::AwaitingDriver => None,
            VfState::Held if !listens_to_vf => Some((VfState::AwaitingDriver, Cause::DriverGone)),
            VfState::Held => self.gap.is_expired().then_some((VfState::AwaitingDriver, Cause::HoldExpired)),
            _ if !listens_to_vf => Some((VfState::AwaitingDriver, Cause::DriverGone)),
            _ if !ring_open => Some((VfState::Held, Cause::DriverDown)),
            VfState::Activating => {
                (self.is_on_vf() && !self.is_moving()).then_some((VfState::Active, Cause::FilterMoved))
            }
            _ => None,
        }
    }

    /// Why a guest that was asked to let go is not waited for any longer.
    fn lose_patience(&self, cx: &Context<'_>) -> Option<Cause> {
        let assignment = self.assignment.as_ref()?;
        let leaving = assignment.leaving.as_ref()?;
        let late = cx.now >= leaving.since + cx.settings.leave_timeout;
        match assignment.made_for.vmm {
            Vmm::Qmp if leaving.refused => Some(Cause::UnplugRefused),
            Vmm::Qmp if late => Some(Cause::UnplugTimedOut),
            // Nobody would ask the guest, and until it lets go its frames pass the policy by.
            Vmm::ByHand if late || matches!(leaving.cause, Cause::Policy { .. }) => {
                Some(Cause::PluggedByHand)
            }
            _ => None,
        }
    }

    /// The VF is taken away without asking.
    pub(super) fn surprise(&mut self, cause: Cause, cx: &mut Context<'_>) {
        self.leave(cause.clone(), cx);
        if self.state.is_plugged() {
            self.enter(VfState::Surprise, cause, cx);
        }
    }

    pub(super) fn enter(&mut self, state: VfState, because: Cause, cx: &mut Context<'_>) {
        let Some(generation) = self.generation() else { return };
        let vf = self.vf().map(|vf| vf.0);
        let from = std::mem::replace(&mut self.state, state);
        self.state_since = cx.now;
        let transition = Transition { generation, vf, from, to: state, because: because.clone() };
        self.record(What::Transition(transition), cx);
        match state {
            VfState::Offered if from == VfState::Allocating => self.offer(cx),
            VfState::Offered => self.with_assignment(|assignment| {
                assignment.plug_asked = false;
                assignment.device = None;
            }),
            VfState::Plugging => {
                self.with_assignment(|assignment| assignment.plug_asked = true);
                cx.out.actions.push_back(Action::Plug { adapter: self.id, generation });
            }
            VfState::Active => self.with_assignment(|assignment| assignment.active_since = Some(cx.now)),
            VfState::Surprise | VfState::TearingDown => {
                self.leave(because, cx);
                // Who was not asked, or did not listen, is asked now: until the device is gone its guest hears
                // nothing.
                if state == VfState::Surprise {
                    self.devices.ask_now(self.current_device());
                }
                self.guest.ring_open = false;
                if !self.is_present() {
                    self.guest = Guest::default();
                }
            }
            VfState::Synthetic => self.assignment = None,
            _ => (),
        }
        self.update_path(cx);
    }

    fn offer(&self, cx: &mut Context<'_>) {
        if let (Some(generation), Some(vf), Some(vport)) = (self.generation(), self.vf(), self.vport()) {
            cx.out.actions.push_back(Action::Offer { adapter: self.id, generation, vf, vport });
        }
    }

    fn with_assignment(&mut self, change: impl FnOnce(&mut super::Assignment)) {
        if let Some(assignment) = &mut self.assignment {
            change(assignment);
        }
    }
}
