//! What is asked of the NIC: one request at a time, each the next one that the state of the adapter wants.

use miniport::{NdisStatus, NewVPort, OidRequest, Payload};
use nic_switch::{FilterId, FilterTest, FunctionId, PortSecurity, VPortId, VfId, VfParameters};
use vswitch::VfPath;

use super::{Adapter, Context};
use crate::event::OidFailure;
use crate::record::What;
use crate::spec::doubled;
use crate::{Action, Cause, Step, Time, VfState};

/// A receive filter that stands.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub(super) id: FilterId,
    pub(super) vport: VPortId,
    pub(super) test: FilterTest,
}

/// A request without answer.
#[derive(Debug)]
pub(super) struct Pending {
    op: Op,
    path: Option<VfPath>,
}

/// A request that has to succeed some day was refused.
#[derive(Clone, Debug)]
pub(crate) struct Retry {
    pub(crate) step: Step,
    pub(crate) error: String,
    pub(super) at: Time,
    times: u32,
}

/// A request.
#[derive(Clone, Debug)]
pub(super) enum Op {
    SetFilter(VPortId, FilterTest),
    ClearFilter(FilterId),
    MoveFilter { filter: FilterId, from: VPortId, to: VPortId, to_vf: bool },
    AllocateVf,
    CreateVPort(VfId),
    SetPortSecurity(VPortId, Box<PortSecurity>),
    DeleteVPort(VPortId),
    ResetVf(VfId),
    FreeVf(VfId),
}

impl Op {
    const fn step(&self) -> Step {
        match self {
            Self::SetFilter(..) => Step::SetFilter,
            Self::ClearFilter(_) => Step::ClearFilter,
            Self::MoveFilter { to_vf: true, .. } => Step::MoveFilterToVf,
            Self::MoveFilter { .. } => Step::MoveFilterBack,
            Self::AllocateVf => Step::AllocateVf,
            Self::CreateVPort(_) => Step::CreateVPort,
            Self::SetPortSecurity(..) => Step::SetPortSecurity,
            Self::DeleteVPort(_) => Step::DeleteVPort,
            Self::ResetVf(_) => Step::ResetVf,
            Self::FreeVf(_) => Step::FreeVf,
        }
    }

    pub(super) const fn moves(&self) -> bool {
        matches!(self, Self::MoveFilter { .. })
    }

    /// Whether it makes, or uses, something of a VF.
    const fn builds(&self) -> bool {
        matches!(self, Self::AllocateVf | Self::CreateVPort(_) | Self::SetPortSecurity(..))
    }
}

impl Adapter {
    /// Whether its filter stands on the VPort of its VF.
    pub(super) fn is_on_vf(&self) -> bool {
        self.vport().is_some() && self.filter_on() == self.vport()
    }

    /// Whether its filter is on its way to or from that VPort: it stands on one of them, but nobody knows on which.
    pub(super) fn is_moving(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.path.is_some())
    }

    /// Whether a request of this kind is not answered yet.
    pub(super) fn asks_for(&self, kind: impl Fn(&Op) -> bool) -> bool {
        self.pending.as_ref().is_some_and(|pending| kind(&pending.op))
    }

    /// Whether nothing is left of its VF, and nothing more can come of it.
    pub(super) fn is_torn_down(&self) -> bool {
        let Some(assignment) = &self.assignment else { return true };
        assignment.vf.is_none() && assignment.vport.is_none() && !self.asks_for(Op::builds)
    }

    /// The refusal for which a teardown is stuck.
    pub(super) fn teardown_refused(&self) -> Option<Cause> {
        let retry = self.retry.as_ref().filter(|retry| {
            matches!(retry.step, Step::MoveFilterBack | Step::DeleteVPort | Step::ResetVf | Step::FreeVf)
        })?;
        Some(Cause::OidRefused { step: retry.step, error: retry.error.clone() })
    }

    /// Where its filter is to stand.
    fn filter_target(&self) -> VPortId {
        let uses_vf = match self.state {
            VfState::Activating | VfState::Active => true,
            // A guest that uses its VF until it lets go loses nothing.
            VfState::Leaving => self.guest.ring_open && self.is_on_vf(),
            _ => false,
        };
        match self.vport() {
            Some(vport) if uses_vf => vport,
            // A filter can only be replaced on the default VPort, where an address may have two for a moment.
            _ if self.filter.is_some() && !self.has_its_filter() => VPortId::DEFAULT,
            _ => self.synthetic_vport,
        }
    }

    /// What is wanted next and is not there.
    fn next_op(&self, now: Time) -> Option<Op> {
        let wants_filter = self.spec.above_nic && !self.removed;
        let may =
            |op: &Op| self.retry.as_ref().is_none_or(|retry| retry.step != op.step() || now >= retry.at);
        let set = Op::SetFilter(self.filter_target(), self.spec.test);
        let Some(filter) = &self.filter else {
            return (wants_filter && may(&set)).then_some(set).or_else(|| self.next_vf_op().filter(may));
        };
        let to = self.filter_target();
        let to_vf = self.vport() == Some(to);
        let set = Op::SetFilter(self.synthetic_vport, self.spec.test);
        let r#move = Op::MoveFilter { filter: filter.id, from: filter.vport, to, to_vf };
        if filter.vport != to && !to_vf {
            return Some(r#move).filter(may);
        }
        if let Some(op) = self.next_vf_op() {
            return Some(op).filter(may);
        }
        if filter.vport != to {
            return Some(r#move);
        }
        let of_filters = match &self.replaced {
            Some(replaced) => Some(Op::ClearFilter(replaced.id)),
            // Other VLANs: the frames for its address are held while it has no filter.
            None if to_vf && filter.test.mac == self.spec.test.mac && !self.has_its_filter() => {
                Some(Op::ClearFilter(filter.id))
            }
            None if !wants_filter && !self.state.has_vf() => Some(Op::ClearFilter(filter.id)),
            None if wants_filter && !self.has_its_filter() && !self.state.has_vf() => Some(set),
            None => None,
        };
        of_filters.filter(may)
    }

    /// What is wanted next of a VF whose filter is where it should be.
    fn next_vf_op(&self) -> Option<Op> {
        let assignment = self.assignment.as_ref()?;
        if self.state.is_ending() {
            return match (assignment.vport, assignment.vf) {
                (Some(vport), _) => Some(Op::DeleteVPort(vport)),
                (None, Some(vf)) if assignment.reset_due => Some(Op::ResetVf(vf)),
                (None, Some(vf)) => Some(Op::FreeVf(vf)),
                (None, None) => None,
            };
        }
        let secured = assignment.secured.as_ref();
        match (assignment.vf, assignment.vport) {
            (None, _) => Some(Op::AllocateVf),
            (Some(vf), None) => Some(Op::CreateVPort(vf)),
            (Some(_), Some(vport))
                if secured != Some(&self.spec.security) && assignment.leaving.is_none() =>
            {
                Some(Op::SetPortSecurity(vport, Box::new(self.spec.security.clone())))
            }
            (Some(vf), Some(_)) => assignment.reset_asked.then_some(Op::ResetVf(vf)),
        }
    }

    /// Issues the next request, if none is on its way.
    pub(super) fn request_next(&mut self, cx: &mut Context<'_>) {
        if self.pending.is_some() {
            return;
        }
        let op = self.next_op(cx.now);
        let is_over = |retry: &Retry| cx.now >= retry.at && op.as_ref().map(Op::step) != Some(retry.step);
        if self.retry.as_ref().is_some_and(is_over) {
            // What was refused is no longer wanted.
            self.retry = None;
            self.live(cx);
        }
        let Some(op) = op else { return };
        let path = match op {
            Op::MoveFilter { to_vf: true, .. } => Some(VfPath::Active(self.spec.security.bum_path)),
            Op::MoveFilter { .. } if self.is_on_vf() => Some(self.path_without_vf()),
            Op::SetFilter(vport, _) if self.vport() == Some(vport) => {
                Some(VfPath::Active(self.spec.security.bum_path))
            }
            _ => None,
        };
        let oid = self.request_of(&op);
        let request = cx.out.request(self.id);
        self.pending = Some(Pending { op, path });
        cx.out.actions.push_back(Action::Oid { request, adapter: self.id, oid, path });
    }

    fn request_of(&self, op: &Op) -> OidRequest {
        let spec = &self.spec;
        match op {
            Op::SetFilter(vport, test) => OidRequest::SetFilter { vport: *vport, test: *test },
            Op::ClearFilter(filter) => OidRequest::ClearFilter(*filter),
            Op::MoveFilter { filter, from, to, .. } => {
                OidRequest::MoveFilter { filter: *filter, from: *from, to: *to }
            }
            Op::AllocateVf => OidRequest::AllocateVf(VfParameters {
                permanent_mac: spec.test.mac,
                current_mac: spec.test.mac,
                vm_name: spec.vm_name.clone(),
                vm_friendly_name: spec.vm_name.clone(),
                nic_name: spec.name.clone(),
            }),
            Op::CreateVPort(vf) => OidRequest::CreateVPort(NewVPort {
                function: FunctionId::Vf(*vf),
                queue_pairs: spec.queue_pairs,
                interrupt_moderation: spec.interrupt_moderation,
                affinity: None,
                name: format!("{}-{}", spec.vm_name, spec.name),
            }),
            Op::SetPortSecurity(vport, security) => {
                OidRequest::SetPortSecurity { vport: *vport, security: security.clone() }
            }
            Op::DeleteVPort(vport) => OidRequest::DeleteVPort(*vport),
            Op::ResetVf(vf) => OidRequest::ResetVf(*vf),
            Op::FreeVf(vf) => OidRequest::FreeVf(*vf),
        }
    }

    /// The request on its way was answered.
    pub(crate) fn answered(&mut self, result: Result<Payload, OidFailure>, cx: &mut Context<'_>) {
        let Some(Pending { op, path }) = self.pending.take() else { return };
        let step = op.step();
        match result.map_err(|failure| (failure.status, failure.reason)) {
            Ok(payload) => match self.done(&op, &payload, path) {
                Some(()) => self.retry = self.retry.take().filter(|retry| retry.step != step),
                None => self.refused_op(&op, format!("{step} succeeded without a result"), cx),
            },
            // NDIS knows no such filter, which is what was wanted.
            Err((NdisStatus::FileNotFound, _)) if step == Step::ClearFilter => {
                self.done(&op, &Payload::None, path);
            }
            Err((_, error)) => self.refused_op(&op, error, cx),
        }
        self.update_path(cx);
    }

    /// Notes what a request has made or undone; `None` if its answer does not say.
    fn done(&mut self, op: &Op, payload: &Payload, path: Option<VfPath>) -> Option<()> {
        let assignment = self.assignment.as_mut();
        match (op, payload) {
            (Op::SetFilter(vport, test), Payload::Filter(info)) => {
                let filter = Filter { id: info.filter, vport: *vport, test: *test };
                self.replaced = self.filter.replace(filter);
                self.path = path.unwrap_or(self.path);
            }
            (Op::ClearFilter(id), _) => {
                self.filter = self.filter.take().filter(|filter| filter.id != *id);
                self.replaced = self.replaced.take().filter(|filter| filter.id != *id);
            }
            (Op::MoveFilter { to, .. }, _) => {
                self.filter.as_mut()?.vport = *to;
                self.path = path.unwrap_or(self.path);
            }
            (Op::AllocateVf, Payload::Vf(info)) => assignment?.vf = Some(info.vf),
            (Op::CreateVPort(_), Payload::VPort(info)) => {
                let assignment = assignment?;
                assignment.vport = Some(info.vport);
                assignment.reset_due = true;
            }
            (Op::SetPortSecurity(_, security), _) => assignment?.secured = Some(*security.clone()),
            (Op::DeleteVPort(_), _) => assignment?.vport = None,
            (Op::ResetVf(_), _) => {
                let assignment = assignment?;
                assignment.reset_asked = false;
                // A guest may use a VF again that has a VPort.
                assignment.reset_due = assignment.vport.is_some();
            }
            (Op::FreeVf(_), _) => assignment?.vf = None,
            (Op::SetFilter(..) | Op::AllocateVf | Op::CreateVPort(_), _) => return None,
        }
        Some(())
    }

    /// What builds up ends the assignment; what undoes is tried again.
    fn refused_op(&mut self, op: &Op, error: String, cx: &mut Context<'_>) {
        let step = op.step();
        let cause = Cause::OidRefused { step, error: error.clone() };
        self.record(What::OidRefused { cause: cause.clone() }, cx);
        match op {
            Op::AllocateVf | Op::CreateVPort(_) | Op::SetPortSecurity(..) => self.leave(cause, cx),
            Op::MoveFilter { to_vf: true, .. } => self.leave(cause, cx),
            Op::ResetVf(_) if !self.state.is_ending() => {
                if let Some(assignment) = &mut self.assignment {
                    assignment.reset_asked = false;
                }
            }
            Op::MoveFilter { to, .. } if *to != VPortId::DEFAULT => self.synthetic_vport = VPortId::DEFAULT,
            _ => {
                let again = self.retry.as_ref().filter(|retry| retry.step == step);
                let times = again.map_or(0, |retry| retry.times.saturating_add(1));
                let at = cx.now + doubled(cx.settings.retry_first, times, cx.settings.retry_most);
                self.retry = Some(Retry { step, error, at, times });
            }
        }
    }

    /// What the NIC's path is while the filter is not on the VF's VPort.
    fn path_without_vf(&self) -> VfPath {
        let made = self.state.has_vf() && self.state != VfState::Allocating && !self.state.is_ending();
        if made { VfPath::Assigned } else { VfPath::None }
    }

    /// Tells the extensible switch whether a VF is assigned. Whether it is used is said together with the filter's
    /// move.
    pub(super) fn update_path(&mut self, cx: &mut Context<'_>) {
        let path = self.path_without_vf();
        if self.path != path && !self.is_on_vf() && !self.asks_for(Op::moves) {
            self.path = path;
            cx.out.actions.push_back(Action::SetPath { adapter: self.id, path });
        }
    }
}
