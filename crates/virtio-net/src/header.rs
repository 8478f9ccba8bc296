//! The header in front of every frame, `virtio_net_hdr` (VIRTIO 1.3 section 5.1.6).

/// Bytes of the longest form; the shorter one lacks `num_buffers`.
pub(crate) const HEADER_BYTES: usize = 12;

/// Bits of `flags`.
pub(crate) const NEEDS_CSUM: u8 = 1;
pub(crate) const DATA_VALID: u8 = 2;

/// Values of `gso_type`.
pub(crate) const GSO_NONE: u8 = 0;
pub(crate) const GSO_TCPV4: u8 = 1;
pub(crate) const GSO_TCPV6: u8 = 4;
pub(crate) const GSO_UDP_L4: u8 = 5;
/// Bit of `gso_type`: the TCP segment has its CWR flag set.
pub(crate) const GSO_ECN: u8 = 0x80;

/// The header in host byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) flags: u8,
    pub(crate) gso_type: u8,
    /// Length of the frame's headers: a hint, which the device never relies on.
    pub(crate) header_length: u16,
    pub(crate) gso_size: u16,
    /// First byte summed.
    pub(crate) checksum_start: u16,
    /// Where the sum goes, counted from there.
    pub(crate) checksum_offset: u16,
    /// Chains that a received frame spans.
    pub(crate) buffers: u16,
}

impl Header {
    /// Reads a header; that of a frame to send has no number of buffers.
    #[inline]
    pub(crate) fn decode(bytes: [u8; HEADER_BYTES]) -> Self {
        let [flags, gso_type, a, b, c, d, e, f, g, h, i, j] = bytes;
        Self {
            flags,
            gso_type,
            header_length: u16::from_le_bytes([a, b]),
            gso_size: u16::from_le_bytes([c, d]),
            checksum_start: u16::from_le_bytes([e, f]),
            checksum_offset: u16::from_le_bytes([g, h]),
            buffers: u16::from_le_bytes([i, j]),
        }
    }

    /// The bytes; of the short form the first ten.
    #[inline]
    pub(crate) fn encode(self) -> [u8; HEADER_BYTES] {
        let [a, b] = self.header_length.to_le_bytes();
        let [c, d] = self.gso_size.to_le_bytes();
        let [e, f] = self.checksum_start.to_le_bytes();
        let [g, h] = self.checksum_offset.to_le_bytes();
        let [i, j] = self.buffers.to_le_bytes();
        [self.flags, self.gso_type, a, b, c, d, e, f, g, h, i, j]
    }
}
