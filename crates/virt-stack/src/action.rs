//! What the stack wants done.

use miniport::OidRequest;
use nic_switch::{VPortId, VfId};
use vswitch::VfPath;

use crate::{AdapterId, Generation, Path, Record, ReleaseId, RequestId};

/// Something to be done. The actions are to be taken in the order in which they come; none waits for an answer but
/// by the event that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Issue an OID request, and answer with [`Event::OidDone`](crate::Event::OidDone).
    Oid {
        /// Names the answer.
        request: RequestId,
        /// For whom.
        adapter: AdapterId,
        /// The request.
        oid: OidRequest,
        /// What the path of the adapter's NIC on the extensible switch becomes if, and only if, the request
        /// succeeds. Both changes have to be published in one snapshot: in between, a broadcast would reach the
        /// guest twice or never.
        path: Option<VfPath>,
    },
    /// Set the path of the adapter's NIC on the extensible switch. Neither value moves a frame: one of them only
    /// tells the extensions that a VF is assigned.
    SetPath {
        /// The adapter.
        adapter: AdapterId,
        /// [`VfPath::None`] or [`VfPath::Assigned`].
        path: VfPath,
    },
    /// A VF is ready for the adapter: offer it at its socket, and report under this generation what happens to it
    /// ([`Event::Vf`](crate::Event::Vf)), what holds already first. The miniport's actions for DELETE_VPORT and
    /// FREE_VF end it.
    Offer {
        /// The adapter.
        adapter: AdapterId,
        /// The assignment.
        generation: Generation,
        /// The VF.
        vf: VfId,
        /// Its VPort.
        vport: VPortId,
    },
    /// `device_add` of the VF, under an id made of adapter and generation. Answered with
    /// [`VmmEvent::Plugged`](crate::VmmEvent::Plugged), [`PlugFailed`](crate::VmmEvent::PlugFailed), or
    /// [`Lost`](crate::VmmEvent::Lost).
    Plug {
        /// The adapter.
        adapter: AdapterId,
        /// The assignment.
        generation: Generation,
    },
    /// `device_del` of that id. [`VmmEvent::Deleted`](crate::VmmEvent::Deleted) is awaited; an error is not.
    Unplug {
        /// The adapter.
        adapter: AdapterId,
        /// The assignment.
        generation: Generation,
    },
    /// Hold the frames for the adapter, whichever way they come: its guest hears on neither path. The data path may
    /// hold them already, from the first that met a closed receive ring.
    Hold {
        /// The adapter.
        adapter: AdapterId,
    },
    /// Deliver what is held, and what comes, on this path; then report
    /// ([`Event::GapReport`](crate::Event::GapReport)).
    Release {
        /// The adapter.
        adapter: AdapterId,
        /// Names the report.
        release: ReleaseId,
        /// The path.
        to: Path,
    },
    /// Something to be shown: it is in the history as well.
    Record(Record),
    /// Nothing is left of a removed adapter: its number may be used again.
    Removed(AdapterId),
}
