//! The MAC spoof guard: with which source addresses a port may send.

use ethernet::MacAddr;

use crate::path::PortPath;

/// Whether the port of `sender` may send with the address `source`, of those that its policy names.
///
/// `team`: the addresses of its partition's other NICs, if all allow teaming.
#[inline]
pub(crate) fn is_own(sender: &PortPath, team: &[MacAddr], source: MacAddr) -> bool {
    source == sender.mac || (!team.is_empty() && team.contains(&source))
}
