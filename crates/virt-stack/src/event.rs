//! What happens to the stack.

use std::collections::BTreeSet;

use miniport::{NdisStatus, Payload};
use nic_switch::{VPortId, VfId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{AdapterId, AdapterSpec, Budgets, GapFrames, Generation, ReleaseId, RequestId, VmId};

/// Something that happened. Whatever names a generation that is over, or an adapter that is not there, has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An adapter is wanted, or wanted otherwise.
    AdapterSet(AdapterId, Box<AdapterSpec>),
    /// An adapter is no longer wanted. It leaves its VF in good order; [`Action::Removed`](crate::Action::Removed)
    /// says when it is gone.
    AdapterRemoved(AdapterId),
    /// The front end of a synthetic adapter (its VMM's vhost-user client) has come or gone.
    FrontEnd {
        /// The adapter.
        adapter: AdapterId,
        /// It is there.
        connected: bool,
    },
    /// Policy forbids a VF, or no longer (`spec/ndis.md` E.5).
    Policy {
        /// The adapter.
        adapter: AdapterId,
        /// Why it is forbidden, as the end of "it has no VF because ...".
        forbids: Option<String>,
    },
    /// From now on the filter of an adapter without VF stands on this VPort: a VPort of the PF that plays a VM
    /// queue, or the default one. Before such a VPort can be deleted, its filter has to be elsewhere
    /// ([`AdapterView::filter_on`](crate::AdapterView::filter_on)).
    SyntheticVPort {
        /// The adapter.
        adapter: AdapterId,
        /// The VPort.
        vport: VPortId,
    },
    /// The PF uses more or less than before. Does not change how many VFs may be given: see
    /// [`Stack::set_num_vfs`](crate::Stack::set_num_vfs).
    Budgets(Budgets),
    /// An OID request was answered; every one is.
    OidDone {
        /// The request.
        request: RequestId,
        /// Its answer.
        result: Result<Payload, OidFailure>,
    },
    /// What happened to the VMM of a VM with QMP.
    Vmm(VmId, VmmEvent),
    /// What happened to a VF.
    Vf(AdapterId, Generation, VfEvent),
    /// Frames that were held have been delivered.
    GapReport {
        /// Whose.
        adapter: AdapterId,
        /// Which release.
        release: ReleaseId,
        /// What became of them.
        frames: GapFrames,
    },
    /// An operator wants an adapter on a path.
    Failover {
        /// The adapter.
        adapter: AdapterId,
        /// The path.
        to: FailoverTo,
    },
    /// An operator takes a VF from its holder, which stays without until [`Event::Failover`] says otherwise.
    DetachVf(VfId),
    /// An operator resets a VF that is in use.
    ResetVf(VfId),
    /// Time has passed.
    Tick,
}

/// An OID request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidFailure {
    /// The status.
    pub status: NdisStatus,
    /// The text of the refusal.
    pub reason: String,
}

/// What happened to a VMM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VmmEvent {
    /// Its QMP can be used, and these VFs are plugged in.
    Connected {
        /// Adapter and generation, from the ids of the VMM's devices.
        devices: BTreeSet<(AdapterId, Generation)>,
    },
    /// Its QMP is lost.
    Lost,
    /// A device was plugged in, or is there already.
    Plugged(AdapterId, Generation),
    /// A device could not be plugged in.
    PlugFailed(AdapterId, Generation, String),
    /// A device is gone: DEVICE_DELETED, or `device_del` says that there is none.
    Deleted(AdapterId, Generation),
    /// The guest refuses to let a device go: DEVICE_UNPLUG_GUEST_ERROR.
    UnplugRefused(AdapterId, Generation),
}

/// What happened to a VF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VfEvent {
    /// A VMM has connected to its socket, or closed it.
    Socket {
        /// It is connected.
        connected: bool,
    },
    /// Its guest did something from which its driver's state is seen.
    Sign(GuestSign),
    /// Its device failed.
    Fault(String),
}

/// What a guest does with its VF. Several signs may be told as the last one of them: a ring that is enabled twice
/// was closed in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GuestSign {
    /// A receive queue was enabled: the driver is up, and listens to the VF from now on.
    ReceiveEnabled,
    /// Its last receive queue was disabled, or the function was reset: the driver is down. Whether it comes again
    /// (a new MTU, another ring size) or is about to go cannot be told yet.
    ReceiveClosed,
    /// Bus mastering was turned off, or the function went to D3: the driver is gone.
    DriverGone,
}

/// Where an operator wants an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailoverTo {
    /// On its synthetic adapter, without VF, until another order.
    Synthetic,
    /// On a VF, as soon as its weight gives it one: an order for `synthetic` ends, and waits after failures are over.
    Vf,
    /// As the weights have it: an order for `synthetic` ends.
    Auto,
}
