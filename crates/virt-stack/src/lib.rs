//! Partitions, VF assignment and failover as state machines.
//!
//! [`Stack`] decides which VM network adapters have a VF, and follows the life of each VF from ALLOCATE_VF to
//! FREE_VF. What happens comes in as an [`Event`] with the time, what has to be done goes out as [`Action`]s:
//!
//! ```text
//!   API, store   VMM (QMP)   VF device        data path           clock
//!       |            |           |                |                 |
//!       v            v           v                v                 v
//!   ┌─ Stack ──────────────────────────────────────────────────────────┐
//!   │ assignment   who gets a VF: weight, age, budgets, hysteresis     │
//!   │ adapter      the life of its VF, its receive filter, its gap     │
//!   └──────────────────────────────────────────────────────────────────┘
//!       |            |                |                  |
//!   records     plug, unplug     OID requests      hold, release
//! ```
//!
//! # A guest is served where its ear is
//!
//! A guest with net_failover listens to its VF from the moment in which it opens the VF's receive ring until the
//! device is gone, and drops whatever its synthetic adapter receives meanwhile. The receive filter stands on one
//! VPort at any instant. So the guest is served while both agree; when they do not, its frames are held, in order,
//! for [`hold_limit`](Settings::hold_limit) at most, and released on the path on which they agree again. All
//! switches of path come from this one rule: the first attach, a driver that begins anew, an unplug, and a device
//! that dies.
//!
//! ```text
//!   attach  (C.3)   ALLOCATE_VF, CREATE_VPORT, port security, plug;
//!                   the ring opens: hold, MOVE_FILTER, release to the VF
//!   detach  (C.5)   unplug; the ring closes: hold, MOVE_FILTER back;
//!                   the driver is gone: release to the synthetic adapter; DELETE_VPORT, RESET_VF, FREE_VF
//! ```
//!
//! # What can go wrong
//!
//! A request that makes something and is refused ends the assignment: what was made is undone in reverse order, and
//! there is no other VF for a while. One that undoes something is tried again, ever less often, and the VF is in
//! quarantine meanwhile. What concerns an assignment that is over is known by its [`Generation`] and touches
//! nothing. A guest that opens and closes its ring in a loop moves its filter a few times a second at most, and
//! harms itself alone.
//!
//! # What this crate must never depend on
//!
//! Sockets, threads, clocks, guest memory, or the NIC switch itself: it speaks to the NIC by OID requests only.

#![forbid(unsafe_code)]

mod action;
mod adapter;
mod assignment;
mod cause;
pub mod desired;
mod event;
mod ids;
mod no_vf;
mod record;
mod spec;
mod stack;
mod state;
mod view;

pub use action::Action;
pub use cause::Cause;
pub use event::{Event, FailoverTo, GuestSign, OidFailure, VfEvent, VmmEvent};
pub use ids::{AdapterId, Generation, ReleaseId, RequestId, Time, VmId};
pub use no_vf::{Budget, NoVf};
pub use record::{Failover, GapFrames, Record, Transition, What};
pub use spec::{AdapterSpec, Budgets, Settings, Vmm};
pub use stack::{NumVfsError, Stack};
pub use state::{Path, Step, VfState};
pub use view::AdapterView;
