//! The extensible switch: ports and the NICs on them, VLANs, learning, policies and extensions.
//!
//! ```text
//!   control                    VSwitch          ports, NICs, policies: each request whole or refused
//!                                 |
//!                                 |             snapshot(), when generation() has grown
//!                                 v
//!   data     Packet --- decide() --> Path       immutable, shared by all workers
//!                         |   \
//!                         |    State            of one worker: stations, rate limits, meters
//!                         v
//!      ingress   capturing -> filtering -> admission, ACL, guards -> forwarding
//!      egress    capturing <- filtering <- VLAN, ACL <-----------------|
//!                         |
//!                         v
//!                    Destinations, or one DropReason
//! ```
//!
//! A virtual machine's synthetic adapter and the host's own one stand on ports of this switch; the external port leads to
//! the default VPort of the NIC switch, behind which are the VFs and the wire. The worker asks [`Path::decide`] about
//! each frame and puts it once into each of the [`Destinations`]. The rules are those of the Hyper-V extensible switch
//! (`spec/ndis.md` C.8, E), gaps filled as said below.
//!
//! The crate is a pure state machine. It must never depend on I/O, clocks, threads, guest memory or a device model:
//! time comes in as [`port::Cycles`](::port::Cycles), and frames as headers that were copied out of guest memory.
//!
//! # Unicast
//!
//! A NIC's own address is known from its creation, and nothing that is learned overrides it; static addresses come next.
//! What a worker learns is where stations behind bridging guests ([`Security::allow_mac_spoofing`]) and behind the wire
//! are. A frame for an unknown station goes where that may be: to the external port and to bridging guests. It is not
//! shown to others.
//!
//! # Broadcast and multicast
//!
//! They go to each port in the frame's VLAN, but to nobody twice, not to the sender, and not to the NIC that has the
//! frame's source address if the frame comes by another way. A guest whose VF is active gets them on the one path that it
//! listens to ([`VfPath::Active`]). MAC control frames are dropped whoever sends them; frames to the link-local addresses
//! `01:80:c2:00:00:0x` pass between the external port and the host only.
//!
//! # VLANs
//!
//! The outer tag travels out of band. A port is untagged, in one access VLAN, a trunk, or a host or promiscuous port of a
//! private VLAN; the external port is in all. All but trunks send untagged or priority-tagged frames only. The stations of
//! the secondary VLANs are known under their primary one. Frames with a further tag of any TPID are dropped, unless the
//! outer tag names a VLAN. Priorities are kept and shown where [`Security::allow_ieee_priority_tag`] says so, and
//! cleared elsewhere.
//!
//! # Loops and floods
//!
//! A frame with the source address of another port's NIC, or of a station that moved a moment ago, is dropped where it
//! comes from a guest: two bridged ports make no loop. Each port has its share of the tables of stations and connections,
//! and can neither grow them nor push out others.

#![forbid(unsafe_code)]

mod error;
mod extension;
mod id;
mod learning;
mod nic;
mod path;
mod policy;
mod port;
mod state;
mod switch;
#[cfg(test)]
mod testing;

pub use crate::port::{PortParameters, PortState, PortType, SwitchPort};
pub use error::{ErrorKind, SwitchError};
pub use extension::acl::Meter;
pub use extension::capture::{CaptureFilter, CaptureId, CapturePoint, MAX_CAPTURES};
pub use extension::connections::MAX_CONNECTIONS;
pub use extension::{Choice, Event, Extension, ExtensionKind, Hooks, Verdict, Veto};
pub use id::{Guid, MAX_PORTS, ParseGuidError, PortId};
pub use learning::{DEFAULT_AGEING_SECONDS, Learned, Learning, MAX_LEARNED, MOVE_HOLD_MILLISECONDS};
pub use nic::{Nic, NicChanges, NicParameters, NicState, NicType, Suspension, VfPath};
pub use path::{Destination, Destinations, DropReason, Excluded, Packet, Path, Step, Trace};
pub use policy::{
    Acl, AclAction, AclRule, Bandwidth, Direction, InvalidPolicy, IpPrefix, MAX_ACL_RULES, MAX_CUSTOM_BYTES,
    MAX_CUSTOM_POLICIES, Mirroring, ParseIpPrefixError, PortPolicy, PortRange, PrivateRole, Security,
    VlanPolicy,
};
pub use state::State;
pub use switch::{
    AclRuleView, Address, AddressOrigin, ExtensionView, MAX_NAME_UNITS, MAX_SAVE_DATA, MAX_STATIC_ADDRESSES,
    NicEnforces, NicView, PortView, RemovalReason, SavedNic, SavedRecord, SwitchParameters, SwitchType,
    SwitchView, VSwitch, VfRemoval,
};
