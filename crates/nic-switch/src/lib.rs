//! The NIC switch of a software SR-IOV adapter: virtual functions, virtual ports (VPorts), receive filters and the
//! forwarding decision between them, the PF and the physical port. And what such an adapter has instead of the switch
//! when its SR-IOV is off: VM queues ([`VmQueues`]), with the same filters and the same [`Forwarding`].
//!
//! ```text
//!   control                        NicSwitch     VFs, VPorts, filters, policy: each request whole or refused
//!                                      |
//!                                      |         snapshot(), when generation() has grown
//!                                      v
//!   data    Ingress --- decide() --> Forwarding  immutable, shared by all workers
//!                                      |
//!             +------------------------+---------------------+
//!             v                        v                     v
//!       VPort of a VF    VPort 0, the default one      physical port       Deliveries, or one DropReason
//!                        (PF: extensible switch)
//! ```
//!
//! The miniport turns OID requests into requests to a [`NicSwitch`] and publishes its [`Forwarding`]; each worker of
//! the data path asks that about every frame, with [`Deliveries`] of its own. The rules are those of NDIS
//! (`spec/ndis.md` A.4, B.2-B.6, D, H), gaps filled as said below.
//!
//! The crate is a pure state machine. It must never depend on I/O, clocks, threads, guest memory, a device model, the
//! names of VMs (texts are kept, never read) or a policy: it enforces what it is told.
//!
//! # Unicast
//!
//! A filter matches an address and a VLAN; of two that match, the one for exactly this VLAN comes before one for any.
//! A frame goes to the one VPort whose filter matches and is visible nowhere else; if that VPort is the sender's or
//! does not receive, the frame is dropped. Unmatched frames go to the default VPort, behind which the extensible switch
//! knows the synthetic adapters, and to the physical port, unless they come from there. No VF gets them, except trusted
//! promiscuous ones in the frame's VLAN.
//!
//! # Broadcast and multicast
//!
//! They go to the default VPort, to the physical port, and to each VF's VPort that has a filter, is in the frame's VLAN
//! and takes them ([`ReceiveMode`]), if [`BumPath::Vf`] says that its guest listens there. Nobody gets a frame back:
//! neither the VPort that sends it nor the one that has its source address, even if the frame comes from the guest's
//! synthetic adapter or is reflected by the wire. Further VPorts of the PF get none: the extensible switch floods to
//! what stands behind them.
//!
//! MAC control frames (PAUSE) are dropped whoever sends them. Frames to the link-local addresses `01:80:c2:00:00:0x`
//! pass between physical port and default VPort only.
//!
//! # VLANs
//!
//! The VLAN test of a filter sets how its VPort uses the filter's address:
//!
//! - [`VlanTest::Id`], *access*: the guest sends untagged, priority-tagged or in this VLAN, and the frame leaves with
//!   the VLAN's tag and the guest's priority. It receives frames of this VLAN, the tag removed.
//! - [`VlanTest::UntaggedOrZero`], *untagged*: it sends and receives untagged or priority-tagged.
//! - [`VlanTest::Any`], *trunk*: it sends untagged or in [`PortSecurity::allowed_vlans`]. It receives untagged frames
//!   and those of the allowed VLANs that it asked for ([`ReceiveMode::vlans`]), the tag shown.
//!
//! Tags travel out of band. Any other tag of the guest's is dropped, as is a second tag in access and untagged mode. A
//! frame with an outer tag other than 802.1Q reaches the default VPort and the physical port only; VLAN id 4095 reaches
//! nobody. An address of a nondefault VPort has one filter, so its mode is never in doubt; an address without (granted,
//! or sent without spoof check) goes by the VPort's first filter, that of the lowest id.
//!
//! The default VPort is trusted: it sends in any VLAN with any address and sees every tag, for the extensible switch
//! above it checks its own ports and sorts by tag.
//!
//! # VM queues
//!
//! A frame of the wire goes to the running queue whose filter matches it, like to a VPort of the PF: the tag of an
//! access VLAN is removed, and a filter without VLAN test takes every VLAN and shows the tag. Everything else of the
//! wire, frames for queues that do not run, broadcast and multicast among it, goes to the default queue, which has the
//! number of the default VPort and is the extensible switch's. What that sends goes to the physical port.
//!
//! # Addresses
//!
//! The stack's filters outrank what guests ask for: a guest is not granted an address that another VPort has, it loses
//! one that the stack gives to another, and all guests together cannot use up the addresses that the VPorts' filters
//! need.

#![forbid(unsafe_code)]

mod bit_set;
mod capabilities;
mod error;
mod filter;
mod filter_table;
mod forwarding;
mod id;
mod port_policy;
mod queue;
mod switch;
#[cfg(test)]
mod testing;
mod vf;
mod vport;

pub use bit_set::{BitSet, MulticastTable, NotAMember, VlanSet};
pub use capabilities::{Capabilities, InvalidCapabilities};
pub use error::{ErrorKind, SwitchError};
pub use filter::{Filter, FilterTest, VlanTest};
pub use forwarding::{Deliveries, Delivery, DropReason, Egress, Forwarding, Ingress, Source};
pub use id::{FilterId, FunctionId, VPortId, VfId};
pub use port_policy::{BumPath, LinkState, PortSecurity, ReceiveMode};
pub use queue::{
    QueueCapabilities, QueueChanges, QueueError, QueueEvent, QueueId, QueueParameters, QueueState, VmQueue,
    VmQueues,
};
pub use switch::{MAX_NAME_UNITS, NicSwitch, SwitchInfo, SwitchParameters};
pub use vf::{Vf, VfParameters};
pub use vport::{InterruptModeration, ProcessorAffinity, VPort, VPortChanges, VPortParameters, VPortState};
