//! Frames, and what is in them.

/// Local experimental ethertype (IEEE 802).
const EXPERIMENTAL: [u8; 2] = [0x88, 0xb5];

pub(crate) type Mac = [u8; 6];

pub(crate) const BROADCAST: Mac = [0xff; 6];

/// Address of the adapter of VM number `n`.
pub(crate) fn mac(n: usize) -> Mac {
    let [high, low] = u16::try_from(n + 1).unwrap().to_be_bytes();
    [0x02, 0, 0, 0, high, low]
}

/// A frame of `length` bytes with a number in it; all else in it follows from the number.
pub(crate) fn numbered(to: Mac, from: Mac, number: u64, length: usize) -> Vec<u8> {
    let mut frame = [&to[..], &from, &EXPERIMENTAL, &number.to_be_bytes()].concat();
    let pattern = (0..).map(|n: u64| n.wrapping_mul(31).wrapping_add(number).to_be_bytes()[7]);
    frame.extend(pattern.take(length.saturating_sub(frame.len())));
    frame
}

/// The number of a frame, each byte of which must be as it was sent.
pub(crate) fn number(frame: &[u8]) -> u64 {
    let number = u64::from_be_bytes(frame[14..22].try_into().unwrap());
    let (to, from) = (frame[..6].try_into().unwrap(), frame[6..12].try_into().unwrap());
    assert_eq!(frame, numbered(to, from, number, frame.len()), "frame {number}");
    number
}

pub(crate) const IPV4_HEADER: usize = 20;
pub(crate) const TCP_HEADER: usize = 20;
/// Bytes before the payload of [`tcp`].
pub(crate) const TCP_HEADERS: usize = 14 + IPV4_HEADER + TCP_HEADER;
const ADDRESSES: [u8; 8] = [10, 0, 0, 1, 10, 0, 0, 2];

/// A TCP segment that the device is to cut: lengths and checksums as a driver leaves them (vf-device.md, section 5).
pub(crate) fn tcp(to: Mac, from: Mac, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&to[..], &from, &[0x08, 0x00]].concat();
    let protocol = 6;
    frame.extend([0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, protocol, 0, 0]);
    frame.extend(ADDRESSES);
    frame.extend([0x10, 0x00, 0x20, 0x00]);
    frame.extend(sequence.to_be_bytes());
    // Acknowledgement; header length, PSH and ACK; window; checksum of the pseudo header without length.
    frame.extend([0, 0, 0, 1, 0x50, 0x18, 0xff, 0xff]);
    frame.extend(fold(sum(&ADDRESSES) + u32::from(protocol)).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

/// What is in a TCP segment that came: its sequence number and its payload. Its checksums must be right.
pub(crate) fn parse_tcp(frame: &[u8]) -> (u32, &[u8]) {
    let (ip, tcp) = (&frame[14..34], &frame[34..]);
    let length = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    assert_eq!(length, frame.len() - 14, "total length");
    assert_eq!(fold(sum(ip)), 0xffff, "header checksum");
    let pseudo = sum(&ip[12..20]) + 6 + u32::try_from(tcp.len()).unwrap();
    assert_eq!(fold(pseudo + sum(tcp)), 0xffff, "TCP checksum");
    (u32::from_be_bytes(tcp[4..8].try_into().unwrap()), &tcp[TCP_HEADER..])
}

fn sum(bytes: &[u8]) -> u32 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    bytes.chunks(2).map(word).sum()
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}
