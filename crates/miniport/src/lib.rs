//! The PF miniport and the NDIS layer above it: the only way to manage the adapter is an OID request.
//!
//! ```text
//!   virtualization stack, API          the guest of a VF
//!        │ Request                          │ PfRequest, through its mailbox
//!        ▼                                  ▼
//!   ┌─ Adapter ─────────────────────────────────────────────┐
//!   │ NDIS layer    validates, assigns ids, knows creators, │
//!   │               answers queries                         │
//!   │ PF driver     NIC switch or VM queues, PCI functions  │
//!   └───────────────────────────────────────────────────────┘
//!        │ OidResponse, PfReply             │ Action
//!        ▼                                  ▼
//!      the issuer                     the data path
//! ```
//!
//! A request is typed ([`OidRequest`]) or has the bytes of the public NDIS structures ([`RawRequest`]); both take the same
//! way, and every answer has an [`NdisStatus`] and, if it is not `SUCCESS`, a [`Refusal`] that says why. Both serialise, so
//! that a process boundary can run above [`Adapter::request`]. Every request completes before it returns, except one
//! (below), and a request that is refused has changed nothing (but for `REINIT_REQUIRED`, which says that something is
//! stored for the next start).
//!
//! What the data path has to do comes back as a list of [`Action`]s, to be carried out in order before the answer is given.
//!
//! The interface is that of NDIS 6.30 and later; "ndis.md" in these pages is the digest of its public documentation.
//! Where that is silent or contradicts itself, the decisions are in [`Refusal::ndis_status`] (which layer's status a
//! caller sees), [`oid`] (request types) and [`pf`] (what a guest may have).
//!
//! # VM queues
//!
//! [`Keywords`] select SR-IOV or VM queues, never both: what belongs to the other is `NOT_SUPPORTED`. With VM queues the
//! adapter has no NIC switch; receive filters stand on queues, and [`Adapter::forwarding`] leads frames to the VPort that
//! has the queue's number.
//!
//! FREE_QUEUE is the one request that is answered with `PENDING`. The data path is told to stop the queue, and ends the
//! request with two reports:
//!
//! ```text
//!   FREE_QUEUE ------------> Action::StopQueue      worker lets go of the queue, passes a quiescent point
//!   queue_dma_stopped() ---> Action::Indicate       NDIS_STATUS_RECEIVE_QUEUE_STATE: DmaStopped
//!   queue_returned() ------> Action::DetachQueue, Action::CompleteFreeQueue
//! ```
//!
//! # Vendor OIDs
//!
//! NDIS has no requests for what a VPort's guest may do. Three OIDs of the private range do, with structures in the manner
//! of the public ones:
//!
//! | OID | number | requests |
//! |---|---|---|
//! | `OID_SOFTIOV_VPORT_PORT_SECURITY` | 0xFF5AF001 | method, set |
//! | `OID_SOFTIOV_VPORT_RECEIVE_MODE` | 0xFF5AF002 | method, set |
//! | `OID_SOFTIOV_VF_SERIAL_NUMBER` | 0xFF5AF003 | set |
//!
//! # What this crate must never depend on
//!
//! Sockets, threads, clocks, guest memory, VMMs, or anything that knows a virtual machine other than by the opaque names of
//! the requests. Policy is above it, frames are below it.

#![forbid(unsafe_code)]

mod action;
mod adapter;
pub mod config_block;
mod driver;
mod indication;
mod keywords;
pub mod oid;
mod payload;
pub mod pf;
mod refusal;
mod request;
mod status;
pub mod trace;
mod wire;

pub use action::Action;
pub use adapter::{Adapter, AdapterConfig, ClientId, InitializeError, SwitchCreation};
pub use indication::{QueueOperationalState, StatusIndication};
pub use keywords::{Keywords, Mode};
pub use oid::{Handler, Oid, RequestType};
pub use payload::{
    FilterInfo, Payload, QueueAllocation, QueueInfo, ReceiveFilterCapabilities,
    ReceiveFilterGlobalParameters, SriovCapabilities, SwitchInfo, VPortInfo, VfInfo,
};
pub use refusal::{Refusal, SwitchRefusal};
pub use request::{NewVPort, OidRequest, OidResponse, PowerState, RawRequest, Request, SwitchChanges};
pub use status::{Indication, NdisStatus};

#[cfg(test)]
mod tests;
