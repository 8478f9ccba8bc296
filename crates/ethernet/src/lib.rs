//! Views of Ethernet frames: addresses, VLAN tags, headers, checksums, segmentation, RSS hash.
//!
//! The devices and the switch copy the headers of a frame once out of guest memory into a private buffer and
//! decide on that copy alone. This crate reads and patches that copy:
//!
//! | step | here |
//! |---|---|
//! | take a VLAN tag out of band, or put it back in | [`pop_vlan`], [`push_vlan`] |
//! | find the parts of the frame, once | [`parse()`] gives a [`Layout`] |
//! | decide on the addresses | [`destination`], [`source`], [`MacAddr`], [`multicast_hash`] |
//! | pick the receive queue | [`rss_hash`] with a [`Toeplitz`] |
//! | cut a super-frame into what the receiver takes | [`Segmenter`] gives a [`SegmentPlan`] per segment |
//! | sum the payload in the pass that copies it | [`Sum`], [`SegmentPlan::finish`] |
//!
//! Every byte given to it may come from a hostile guest: functions answer `None`, `false` or a typed error,
//! take a time bounded by the length of the header, and neither allocate nor block.
//!
//! It is a leaf of the workspace. It must never depend on another of its crates, do I/O, touch guest memory,
//! or hold policy: it says what a frame is, not whether a port may send it.

#![forbid(unsafe_code)]

mod address;
pub mod checksum;
pub mod ethertype;
pub mod gso;
pub mod header;
mod ipv6_extensions;
mod parse;
pub mod rss;
#[cfg(test)]
mod test_frames;
mod vlan;
mod wire;

pub use address::{MacAddr, McFilterType, ParseMacAddrError, multicast_hash};
pub use checksum::Sum;
pub use gso::{Gso, GsoError, GsoKind, Inc, MAX_SEGMENTS, PartialChecksum, SegmentPlan, Segmenter};
pub use header::{ETHERNET_HEADER_LEN, destination, ethertype, source};
pub use parse::{L3, L4, Layout, MAX_VLAN_DEPTH, parse};
pub use rss::{RssType, RssTypes, Toeplitz, rss_hash};
pub use vlan::{TPID_8021AD, TPID_8021Q, VLAN_TAG_LEN, VlanTag, pop_vlan, push_vlan};
