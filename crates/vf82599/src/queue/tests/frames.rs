//! Frames for the tests, and a plain look at TCP segments.

/// A frame of `length` bytes that says which one it is.
pub(super) fn plain(number: u32, length: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5];
    frame.extend(number.to_be_bytes());
    frame.extend((frame.len()..length).map(|n| (n * 13).to_le_bytes()[0]));
    frame.truncate(length);
    frame
}

/// A frame with an 802.1Q tag in its bytes.
pub(super) fn tagged(frame: &[u8], tci: u16) -> Vec<u8> {
    [&frame[..12], &[0x81, 0], &tci.to_be_bytes(), &frame[12..]].concat()
}

/// An IPv4 packet of protocol `protocol` with `l4` behind its header, checksums not made; 10.0.0.1 to 10.0.0.2.
pub(super) fn ipv4(protocol: u8, l4: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
    frame.extend(u16::try_from(20 + l4.len()).unwrap_or(0).to_be_bytes());
    frame.extend([0, 9, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend(l4);
    frame
}

/// TCP over IPv4 with `payload` bytes, as a driver sends it for segmentation: 54 bytes of headers.
pub(super) fn tcp(payload: usize) -> Vec<u8> {
    let mut l4 = vec![0x30, 0x39, 0, 80, 0, 0, 0, 0, 0, 0, 0, 9, 0x50, 0x18, 1, 0, 0, 0, 0, 0];
    l4.extend((0..payload).map(|n| (n * 7 + n / 256).to_le_bytes()[0]));
    ipv4(6, &l4)
}

/// Sequence number and payload of a TCP segment over IPv4 whose checksums are right.
pub(super) fn segment(frame: &[u8]) -> (usize, &[u8]) {
    let word = |at: usize| usize::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
    let end = 14 + word(16);
    assert_eq!(sum(&frame[14..34]), 0xffff, "IPv4 checksum");
    let length = u16::try_from(end - 34).unwrap().to_be_bytes();
    let pseudo = [&frame[26..34], &[0, 6], &length].concat();
    assert_eq!(sum(&[&pseudo, &frame[34..end]].concat()), 0xffff, "TCP checksum");
    (word(38) << 16 | word(40), &frame[54..end])
}

pub(super) fn sum(bytes: &[u8]) -> u16 {
    let mut sum: u64 =
        bytes.chunks(2).map(|w| u64::from(w[0]) << 8 | u64::from(*w.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}
