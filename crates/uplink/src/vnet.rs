//! The header that the kernel puts in front of a frame (`struct virtio_net_hdr`, virtio 1.2 section 5.1.6), in the form
//! that tap and packet sockets share: 10 bytes in the order of the machine.

#[cfg(test)]
mod tests;

use ethernet::{Gso, GsoKind, L3, L4, Layout};
use port::{Checksum, FrameMeta, Malformed, Segmentation, Spec};

/// Length of the header in bytes.
pub(crate) const VNET_HEADER: usize = 10;
/// Least length of a frame on a wire, without its check sequence; the kernel hands over shorter ones.
pub(crate) const WIRE_MIN: usize = 60;
/// Place of the checksum in a TCP header.
pub(crate) const TCP_CHECK: u16 = 16;
/// Place of the checksum in a UDP header.
pub(crate) const UDP_CHECK: u16 = 6;
/// Place of the checksum in an SCTP header.
const SCTP_CHECK: u16 = 8;

const F_NEEDS_CSUM: u8 = 1;
const F_DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
/// The first segment says that the window was reduced: all segmentation of this workspace does as this bit asks.
const GSO_ECN: u8 = 0x80;

/// The header's fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct VnetHeader {
    flags: u8,
    gso_type: u8,
    hdr_len: u16,
    gso_size: u16,
    csum_start: u16,
    csum_offset: u16,
}

impl VnetHeader {
    pub(crate) fn parse(bytes: [u8; VNET_HEADER]) -> Self {
        let [flags, gso_type, h0, h1, g0, g1, s0, s1, o0, o1] = bytes;
        Self {
            flags,
            gso_type,
            hdr_len: u16::from_ne_bytes([h0, h1]),
            gso_size: u16::from_ne_bytes([g0, g1]),
            csum_start: u16::from_ne_bytes([s0, s1]),
            csum_offset: u16::from_ne_bytes([o0, o1]),
        }
    }

    pub(crate) fn bytes(self) -> [u8; VNET_HEADER] {
        let [h0, h1] = self.hdr_len.to_ne_bytes();
        let [g0, g1] = self.gso_size.to_ne_bytes();
        let [s0, s1] = self.csum_start.to_ne_bytes();
        let [o0, o1] = self.csum_offset.to_ne_bytes();
        [self.flags, self.gso_type, h0, h1, g0, g1, s0, s1, o0, o1]
    }

    /// What the header says of the frame behind it, whose parts `layout` finds; it is asked only when they matter.
    ///
    /// The header's own length field is not used: for the kernel it is a hint only.
    pub(crate) fn spec(self, layout: impl FnOnce() -> Layout) -> Result<Spec, Malformed> {
        let mut meta = FrameMeta { checksum: self.checksum(), ..FrameMeta::default() };
        let sctp = meta.checksum == Checksum::Partial { start: self.csum_start, offset: SCTP_CHECK };
        if sctp || self.gso_type != GSO_NONE {
            let layout = layout();
            if sctp && layout.l4 == L4::Sctp {
                meta.checksum = Checksum::PartialCrc32c { start: self.csum_start, offset: SCTP_CHECK };
            }
            if self.gso_type != GSO_NONE {
                meta.gso = Some(self.segmentation(layout)?);
            }
        }
        Ok(Spec { meta, pad_to: WIRE_MIN, ipv4_checksum_at: None })
    }

    fn checksum(self) -> Checksum {
        if self.flags & F_NEEDS_CSUM != 0 {
            Checksum::Partial { start: self.csum_start, offset: self.csum_offset }
        } else if self.flags & F_DATA_VALID != 0 {
            Checksum::Complete
        } else {
            Checksum::Unverified
        }
    }

    fn segmentation(self, layout: Layout) -> Result<Segmentation, Malformed> {
        let kind = match (self.gso_type & !GSO_ECN, layout.l3, layout.l4) {
            (GSO_TCPV4, L3::Ipv4 { .. }, L4::Tcp) => GsoKind::TcpV4,
            (GSO_TCPV6, L3::Ipv6 { .. }, L4::Tcp) => GsoKind::TcpV6,
            (GSO_UDP_L4, L3::Ipv4 { .. }, L4::Udp) => GsoKind::UdpV4,
            (GSO_UDP_L4, L3::Ipv6 { .. }, L4::Udp) => GsoKind::UdpV6,
            (GSO_TCPV4 | GSO_TCPV6 | GSO_UDP_L4, ..) => return Err(Malformed::BadSegmentation),
            _ => return Err(Malformed::Unsupported),
        };
        if layout.payload_offset == 0 {
            return Err(Malformed::HeaderTooLong);
        }
        Ok(Segmentation {
            gso: Gso { kind, mss: self.gso_size, header_len: layout.payload_offset },
            l3_offset: layout.l3_offset,
            l4_offset: layout.l4_offset,
        })
    }

    /// Accounts for `by` bytes put in front of all that it names.
    pub(crate) fn shift(&mut self, by: usize) {
        self.csum_start = self.csum_start.saturating_add(u16::try_from(by).unwrap_or(0));
    }

    /// Of a frame whose checksum the kernel is to finish.
    pub(crate) fn unfinished(start: u16, offset: u16) -> Self {
        Self { flags: F_NEEDS_CSUM, csum_start: start, csum_offset: offset, ..Self::default() }
    }

    /// Of a frame that the kernel is to cut, if need be.
    pub(crate) fn super_frame(cut: &Segmentation) -> Self {
        let (gso_type, offset) = match cut.gso.kind {
            GsoKind::TcpV4 => (GSO_TCPV4, TCP_CHECK),
            GsoKind::TcpV6 => (GSO_TCPV6, TCP_CHECK),
            GsoKind::UdpV4 | GsoKind::UdpV6 => (GSO_UDP_L4, UDP_CHECK),
        };
        let Gso { mss, header_len, .. } = cut.gso;
        Self { gso_type, hdr_len: header_len, gso_size: mss, ..Self::unfinished(cut.l4_offset, offset) }
    }
}
