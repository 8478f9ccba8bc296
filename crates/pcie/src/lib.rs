//! PCI Express functions in software: config space, capabilities, SR-IOV, MSI-X, requester ids.
//!
//! What is in here, bottom up:
//!
//! - [`Rid`] and [`VfRouting`]: where a function sits and where SR-IOV puts its virtual functions.
//! - [`ConfigSpaceBuilder`] describes a type 0 function and its capabilities; [`ConfigLayout`] is the result, one
//!   reset value and one write mask per bit, shared by all functions of a kind.
//! - [`ConfigSpace`] is one function's 4096 bytes. [`ConfigSpace::write`] returns the [`ConfigEffect`]s that its owner
//!   has to act on; nothing is called back.
//! - [`PhysicalFunction`] is the PF with its [`VirtualFunction`]s, which appear and vanish with VF Enable.
//! - [`MsixTable`] holds table and pending bits of a function and decides whether a vector may be sent now.
//! - [`lspci_dump`] prints config space for `lspci -F`.
//!
//! ```
//! use pcie::{ConfigEffect, PfProfile, PfStorage, PhysicalFunction, Rid, VfProfile};
//!
//! let profile = PfProfile::x550(64, VfProfile::X550);
//! let rid = Rid::new(0x01, 0x00, 0).expect("device 0, function 0 exists");
//! let mut pf = PhysicalFunction::create(rid, &profile, PfStorage::heap(64))?;
//! let effects = pf.enable_virtualization(8)?;
//! assert!(effects.contains(&ConfigEffect::VfEnableChanged { enabled: true, num_vfs: 8 }));
//! assert_eq!(pf.vf_rid(0)?.to_string(), "01:10.0");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Everything is a state machine over [`sys::Words`], memory that can outlive the process: `create` starts a function
//! from its reset values, `attach` goes on where a process that ended has left it. Layouts hold what never changes and
//! are rebuilt from the type.
//!
//! Guests and VMMs choose every offset, width and value that arrives here. Each access ends in a bounded number of
//! steps, without allocation, and no sequence of them changes an id, the capability list or a read-only bit.
//!
//! This crate must never depend on sockets, clocks, threads, guest memory or on what device stands behind a function.

#![forbid(unsafe_code)]

mod bar;
mod builder;
mod config_space;
mod dump;
mod effects;
mod layout;
mod msix;
mod physical;
mod profile;
mod registers;
mod rid;
mod sriov;

pub use bar::{Bar, BarWidth};
pub use builder::{AcsServices, ConfigSpaceBuilder, Identity, MsixParameters, PcieParameters};
pub use config_space::{AccessError, ConfigSpace, ResetKind, StorageError};
pub use dump::lspci_dump;
pub use effects::{ConfigEffect, ConfigEffects, MsixControl, PowerState};
pub use layout::{ConfigLayout, LayoutError};
pub use msix::{Delivery, IgnoredAccess, Message, MsixTable, Released};
pub use physical::{
    Function, NoSuchVf, PfError, PfStorage, PhysicalFunction, VfBarRange, VirtualFunction,
    VirtualizationError,
};
pub use profile::{PfProfile, VfProfile};
pub use rid::{Rid, RidOverflow, VfRouting};
pub use sriov::{MAX_VFS, SriovParameters};

/// Size in bytes of a function's configuration space (PCIe 7.2).
pub const CONFIG_SPACE_SIZE: usize = 4096;
