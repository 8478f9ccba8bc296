//! The configuration that the driver reads (VIRTIO 1.3 section 5.1.4).

use crate::rss::{HASH_TYPES, KEY_LEN, TABLE_ENTRIES};
use crate::state::AdapterState;

/// Bytes of the configuration.
pub const CONFIG_BYTES: usize = 24;

const LINK_UP: u16 = 1;
const ANNOUNCE: u16 = 2;
const SPEED_UNKNOWN: u32 = u32::MAX;
const DUPLEX_UNKNOWN: u8 = u8::MAX;

/// The configuration as it stands, little-endian: address, status, most queue pairs, MTU, speed, duplex, limits of RSS.
#[must_use]
pub fn config_space(state: &AdapterState) -> [u8; CONFIG_BYTES] {
    let mut status = 0;
    if state.link_up() {
        status |= LINK_UP;
    }
    if state.announcing() {
        status |= ANNOUNCE;
    }
    let mut bytes = [0; CONFIG_BYTES];
    let fields: [&[u8]; 9] = [
        &state.mac().0,
        &status.to_le_bytes(),
        &state.max_pairs().to_le_bytes(),
        &state.mtu().to_le_bytes(),
        &SPEED_UNKNOWN.to_le_bytes(),
        &[DUPLEX_UNKNOWN],
        &[KEY_LEN],
        &TABLE_ENTRIES.to_le_bytes(),
        &u32::from(HASH_TYPES.bits()).to_le_bytes(),
    ];
    let mut at = 0;
    for field in fields {
        bytes[at..at + field.len()].copy_from_slice(field);
        at += field.len();
    }
    bytes
}

#[cfg(test)]
mod tests;
