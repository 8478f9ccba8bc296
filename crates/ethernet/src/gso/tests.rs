use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::test_frames::{Frame, Ip, Transport, any_ip, any_transport, slow_sum};

fn kind_of(frame: &Frame) -> GsoKind {
    match (&frame.ip, &frame.transport) {
        (Ip::V4 { .. }, Transport::Tcp { .. }) => GsoKind::TcpV4,
        (Ip::V4 { .. }, Transport::Udp { .. }) => GsoKind::UdpV4,
        (Ip::V6 { .. }, Transport::Tcp { .. }) => GsoKind::TcpV6,
        (Ip::V6 { .. }, Transport::Udp { .. }) => GsoKind::UdpV6,
    }
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect()
}

fn tcp_v4(payload_len: usize) -> Frame {
    Frame::new(Ip::v4(), Transport::tcp(), payload(payload_len))
}

/// The header of a frame, with what must not be trusted overwritten by `junk`.
fn header_with_junk(frame: &Frame, junk: [u8; 6]) -> Vec<u8> {
    let mut header = Frame { payload: vec![], ..frame.clone() }.build();
    let (l3, l4) = (usize::from(frame.l3_offset()), usize::from(frame.l4_offset()));
    match frame.ip {
        Ip::V4 { .. } => {
            header[l3 + 2..l3 + 4].copy_from_slice(&junk[..2]);
            header[l3 + 10..l3 + 12].copy_from_slice(&junk[2..4]);
        }
        Ip::V6 { .. } => header[l3 + 4..l3 + 6].copy_from_slice(&junk[..2]),
    }
    match frame.transport {
        Transport::Tcp { .. } => header[l4 + 16..l4 + 18].copy_from_slice(&junk[4..]),
        Transport::Udp { .. } => header[l4 + 4..l4 + 8].copy_from_slice(&junk[2..]),
    }
    header
}

fn new_segmenter<'h>(frame: &Frame, header: &'h [u8], mss: u16) -> Result<Segmenter<'h>, GsoError> {
    let gso = Gso { kind: kind_of(frame), mss, header_len: frame.header_len() };
    let payload_len = u32::try_from(frame.payload.len()).unwrap();
    Segmenter::new(header, frame.l3_offset(), frame.l4_offset(), gso, payload_len, Inc::PerSegment)
}

/// Segment `i` of the frame, in a buffer whose old content must not matter.
fn make_segment(segmenter: &Segmenter<'_>, i: u32, payload: &[u8], old: u8) -> Vec<u8> {
    let mut out = [old; MAX_HEADER_LEN];
    let plan = segmenter.segment(i, &mut out);
    let payload = &payload[plan.payload_offset as usize..][..plan.payload_len as usize];
    let mut sum = Sum::new();
    sum.add_bytes(payload);
    plan.finish(&mut out, sum);
    assert!(out[plan.header_len..].iter().all(|&byte| byte == old), "wrote behind the header");
    [&out[..plan.header_len], payload].concat()
}

/// The reference: segment `i` built from scratch as a frame of its own.
fn reference_segment(frame: &Frame, i: usize, mss: usize, ip_id: Inc) -> Vec<u8> {
    let start = i * mss;
    let end = frame.payload.len().min(start + mss);
    let mut segment = Frame { payload: frame.payload[start..end].to_vec(), ..frame.clone() };
    if let (Ip::V4 { id, .. }, Inc::PerSegment) = (&mut segment.ip, ip_id) {
        *id = id.wrapping_add(u16::try_from(i).unwrap());
    }
    if let Transport::Tcp { sequence, flags, .. } = &mut segment.transport {
        *sequence = sequence.wrapping_add(u32::try_from(start).unwrap());
        if i > 0 {
            *flags &= 0x7f;
        }
        if end < frame.payload.len() {
            *flags &= !0x09;
        }
    }
    segment.build()
}

/// Checks lengths and checksums of a segment by the bytes on the wire alone.
fn check_on_the_wire(frame: &Frame, segment: &[u8]) {
    let packet = &segment[usize::from(frame.l3_offset())..];
    let l4 = &segment[usize::from(frame.l4_offset())..];
    let l4_len = u16::try_from(l4.len()).unwrap().to_be_bytes();
    let read = |at: usize| usize::from(u16::from_be_bytes([packet[at], packet[at + 1]]));
    let protocol = if kind_of(frame).is_tcp() { 6 } else { 17 };
    let pseudo = if kind_of(frame).is_ipv4() {
        assert_eq!(read(2), packet.len());
        let ip_header_len = usize::from(packet[0] & 0xf) * 4;
        assert_eq!(slow_sum(&packet[..ip_header_len]), 0xffff);
        [&packet[12..20], &[0, protocol], &l4_len].concat()
    } else {
        assert_eq!(read(4), packet.len() - 40);
        [&packet[8..40], &[0, protocol], &l4_len].concat()
    };
    assert_eq!(slow_sum(&[&pseudo, l4].concat()), 0xffff);
    if protocol == 17 {
        assert_eq!(l4[4..6], l4_len);
        assert_ne!(l4[6..8], [0, 0]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn segments_are_those_of_the_reference(
        ip in any_ip(),
        transport in any_transport(),
        front in vec(any::<u8>(), 14..141),
        payload in vec(any::<u8>(), 0..3000),
        mss in prop_oneof![1..40u16, 1..1500u16, any::<u16>().prop_map(|mss| mss.max(1))],
        junk: [u8; 6],
        old: u8,
    ) {
        let frame = Frame { front, ip, transport, payload };
        prop_assume!(frame.payload.len().div_ceil(usize::from(mss)) <= MAX_SEGMENTS as usize);
        let header = header_with_junk(&frame, junk);
        let segmenter = new_segmenter(&frame, &header, mss).unwrap();
        prop_assert_eq!(segmenter.segments() as usize, frame.payload.len().div_ceil(usize::from(mss)).max(1));

        let mut joined = vec![];
        // Backwards: no segment may depend on one made before it.
        for i in (0..segmenter.segments()).rev() {
            let segment = make_segment(&segmenter, i, &frame.payload, old);
            check_on_the_wire(&frame, &segment);
            let reference = reference_segment(&frame, i as usize, usize::from(mss), Inc::PerSegment);
            prop_assert_eq!(&segment, &reference);
            joined.splice(..0, segment[usize::from(frame.header_len())..].iter().copied());
        }
        prop_assert_eq!(joined, frame.payload);
    }

    /// Any metadata over any header: refused with a reason, or segmented within the limits.
    #[test]
    fn n04_lying_metadata_is_refused_or_harmless(
        ip in any_ip(),
        transport in any_transport(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        offsets in prop_oneof![3 => Just(None), 1 => any::<[u8; 3]>().prop_map(Some)],
        kind in prop::sample::select(vec![GsoKind::TcpV4, GsoKind::TcpV6, GsoKind::UdpV4, GsoKind::UdpV6]),
        mss: u16,
        payload_len in prop_oneof![0..70_000u32, any::<u32>()],
        spare in 0..20usize,
    ) {
        let frame = Frame::new(ip, transport, vec![]);
        let mut header = frame.build();
        header.resize(header.len() + spare, 0xee);
        for (at, value) in changes {
            *at.get_mut(&mut header) = value;
        }
        let [l3_offset, l4_offset, header_len] = match offsets {
            Some(lies) => lies.map(u16::from),
            None => [frame.l3_offset(), frame.l4_offset(), frame.header_len()],
        };
        let gso = Gso { kind, mss, header_len };
        let made = Segmenter::new(&header, l3_offset, l4_offset, gso, payload_len, Inc::PerSegment);
        if let Ok(segmenter) = made {
            prop_assert!(segmenter.segments() <= MAX_SEGMENTS && payload_len <= MAX_PAYLOAD_LEN);
            let mut total = 0;
            for i in 0..segmenter.segments() {
                let mut out = [0; MAX_HEADER_LEN];
                let plan = segmenter.segment(i, &mut out);
                plan.finish(&mut out, Sum::new());
                prop_assert_eq!(plan.header_len, usize::from(header_len));
                prop_assert_eq!(plan.payload_offset, total);
                prop_assert!(plan.payload_len <= u32::from(mss));
                total += plan.payload_len;
            }
            prop_assert_eq!(total, payload_len);
        } else {
            // A frame about which nothing lies is never refused.
            let honest = header.starts_with(&frame.build()) && offsets.is_none() && kind == kind_of(&frame);
            let limits = mss > 0
                && payload_len <= MAX_PAYLOAD_LEN
                && payload_len.div_ceil(u32::from(mss)) <= MAX_SEGMENTS
                && usize::from(header_len) + usize::from(mss) <= 65_535;
            prop_assert!(!(honest && limits));
        }
    }
}

#[test]
fn tcp_flags_cwr_on_the_first_fin_and_psh_on_the_last() {
    let mut frame = tcp_v4(300);
    let Transport::Tcp { flags, .. } = &mut frame.transport else { unreachable!() };
    *flags = 0xff;
    let header = header_with_junk(&frame, [0; 6]);
    let segmenter = new_segmenter(&frame, &header, 100).unwrap();
    let flags = [0, 1, 2].map(|i| make_segment(&segmenter, i, &frame.payload, 0)[14 + 20 + 13]);
    assert_eq!(flags, [0xf6, 0x76, 0x7f]);
}

#[test]
fn ip_identification_wraps_or_is_fixed() {
    let mut frame = tcp_v4(300);
    let Ip::V4 { id, .. } = &mut frame.ip else { unreachable!() };
    *id = 0xffff;
    let header = header_with_junk(&frame, [0; 6]);
    let gso = Gso { kind: GsoKind::TcpV4, mss: 100, header_len: 54 };
    for (ip_id, ids) in [(Inc::PerSegment, [0xffff, 0x0000, 0x0001]), (Inc::Fixed, [0xffff; 3])] {
        let segmenter = Segmenter::new(&header, 14, 34, gso, 300, ip_id).unwrap();
        for (i, id) in (0..).zip(ids) {
            let segment = make_segment(&segmenter, i, &frame.payload, 0);
            assert_eq!(u16::from_be_bytes([segment[18], segment[19]]), id);
            assert_eq!(segment, reference_segment(&frame, i as usize, 100, ip_id));
        }
    }
}

#[test]
fn udp_checksum_0_is_sent_as_ffff() {
    let mut frame = Frame::new(Ip::v4(), Transport::udp(), vec![0; 2]);
    let built = frame.build();
    // The payload that the checksum lacks to be 0.
    frame.payload = built[40..42].to_vec();
    let header = header_with_junk(&frame, [0; 6]);
    let segment = make_segment(&new_segmenter(&frame, &header, 100).unwrap(), 0, &frame.payload, 0);
    assert_eq!(segment[40..42], [0xff, 0xff]);
    check_on_the_wire(&frame, &segment);
}

#[test]
fn n03_segment_size_0_is_refused() {
    let frame = tcp_v4(100);
    let header = frame.build();
    assert_eq!(new_segmenter(&frame, &header, 0).unwrap_err(), GsoError::ZeroMss);
}

#[test]
fn n03_segment_size_1_on_64_kib_is_refused() {
    let frame = tcp_v4(65_000);
    let header = header_with_junk(&frame, [0; 6]);
    let refused = |mss| new_segmenter(&frame, &header, mss).unwrap_err();
    assert_eq!(refused(1), GsoError::TooManySegments { segments: 65_000 });
    assert_eq!(refused(31), GsoError::TooManySegments { segments: 2097 });
    assert_eq!(new_segmenter(&frame, &header, 32).unwrap().segments(), 2032);
}

#[test]
fn n03_segment_size_beyond_the_frame_makes_one_segment() {
    let frame = tcp_v4(100);
    let header = header_with_junk(&frame, [0; 6]);
    let segmenter = new_segmenter(&frame, &header, u16::MAX).unwrap();
    assert_eq!(segmenter.segments(), 1);
    assert_eq!(make_segment(&segmenter, 0, &frame.payload, 0), frame.build());
}

#[test]
fn n03_frame_without_payload_makes_one_segment() {
    let frame = tcp_v4(0);
    let header = header_with_junk(&frame, [0xff; 6]);
    let segmenter = new_segmenter(&frame, &header, 1448).unwrap();
    assert_eq!(segmenter.segments(), 1);
    assert_eq!(make_segment(&segmenter, 0, &[], 0), frame.build());
}

#[test]
fn n03_payload_is_bounded() {
    let frame = tcp_v4(0);
    let header = frame.build();
    let new = |payload_len, mss| {
        let gso = Gso { kind: GsoKind::TcpV4, mss, header_len: 54 };
        Segmenter::new(&header, 14, 34, gso, payload_len, Inc::PerSegment)
            .map(|segmenter| segmenter.segments())
    };
    assert_eq!(new(262_143, 1448), Ok(182));
    assert_eq!(new(262_144, 1448), Err(GsoError::PayloadTooLong { len: 262_144 }));
    assert_eq!(new(u32::MAX, 1448), Err(GsoError::PayloadTooLong { len: u32::MAX }));
    // The IPv4 total length of a segment holds 65,535 bytes: 40 of headers and the rest.
    assert_eq!(new(200_000, 65_495), Ok(4));
    assert_eq!(new(200_000, 65_496), Err(GsoError::SegmentTooLong { len: 65_536 }));
}

#[test]
fn n04_header_lengths_that_lie_are_refused() {
    let frame = tcp_v4(100);
    let header = frame.build();
    let header = &header[..100];
    let new = |header: &[u8], l3_offset, l4_offset, header_len| {
        let gso = Gso { kind: GsoKind::TcpV4, mss: 10, header_len };
        Segmenter::new(header, l3_offset, l4_offset, gso, 100, Inc::PerSegment).map(|_| ())
    };
    assert_eq!(new(header, 14, 34, 54), Ok(()));
    let kind = GsoKind::TcpV4;
    let disorder = |l3_offset, l4_offset, header_len| {
        Err(GsoError::OffsetsOutOfOrder { l3_offset, l4_offset, header_len })
    };
    for (name, result, error) in [
        (
            "beyond the bytes",
            new(header, 14, 34, 101),
            Err(GsoError::HeaderTruncated { header_len: 101, available: 100 }),
        ),
        ("beyond any buffer", new(&[0; 600], 14, 34, 513), Err(GsoError::HeaderTooLong { header_len: 513 })),
        (
            "largest",
            new(header, u16::MAX, u16::MAX, u16::MAX),
            Err(GsoError::HeaderTooLong { header_len: u16::MAX }),
        ),
        ("zero", new(header, 14, 34, 0), disorder(14, 34, 0)),
        ("no L4 header", new(header, 14, 34, 34), disorder(14, 34, 34)),
        ("IP inside the Ethernet header", new(header, 13, 34, 54), disorder(13, 34, 54)),
        ("IP behind L4", new(header, 34, 14, 54), disorder(34, 14, 54)),
        ("offsets beyond the header", new(header, 14, 0xfff0, 54), disorder(14, 0xfff0, 54)),
        ("shorter than TCP", new(header, 14, 34, 53), Err(GsoError::L4Header { kind, len: 19 })),
        ("longer than TCP", new(header, 14, 34, 58), Err(GsoError::L4Header { kind, len: 24 })),
        ("L4 within IP", new(header, 14, 30, 54), Err(GsoError::IpHeader { kind, len: 16 })),
        ("L4 behind a gap", new(header, 14, 38, 58), Err(GsoError::IpHeader { kind, len: 24 })),
    ] {
        assert_eq!(result, error, "{name}");
    }
    let mut lying = header.to_vec();
    lying[46] = 0x40;
    assert_eq!(new(&lying, 14, 34, 50), Err(GsoError::L4Header { kind, len: 16 }));
    assert_eq!(new(&lying, 14, 34, 54), Err(GsoError::L4Header { kind, len: 20 }));
}

/// Bytes between the last extension header and the L4 header belong to neither.
#[test]
fn n04_gap_behind_the_ipv6_header_is_refused() {
    let frame = Frame::new(Ip::v6(vec![]), Transport::tcp(), payload(100));
    let mut header = frame.build();
    header.splice(54..54, [0; 8]);
    let gso = Gso { kind: GsoKind::TcpV6, mss: 10, header_len: 82 };
    let result = Segmenter::new(&header, 14, 62, gso, 100, Inc::PerSegment).map(|_| ());
    assert_eq!(result, Err(GsoError::IpHeader { kind: GsoKind::TcpV6, len: 48 }));
}

#[test]
fn n05_kinds_that_the_packet_is_not_are_refused() {
    use GsoKind::{TcpV4, TcpV6, UdpV4, UdpV6};
    let frames = [
        tcp_v4(100),
        Frame::new(Ip::v4(), Transport::udp(), payload(100)),
        Frame::new(Ip::v6(vec![]), Transport::tcp(), payload(100)),
        Frame::new(Ip::v6(vec![]), Transport::udp(), payload(100)),
    ];
    for frame in &frames {
        for kind in [TcpV4, TcpV6, UdpV4, UdpV6] {
            let gso = Gso { kind, mss: 10, header_len: frame.header_len() };
            let header = frame.build();
            let result =
                Segmenter::new(&header, frame.l3_offset(), frame.l4_offset(), gso, 100, Inc::PerSegment)
                    .map(|_| ());
            let len = usize::from(frame.l4_offset() - frame.l3_offset());
            let expected = if kind == kind_of(frame) {
                Ok(())
            } else if kind.is_ipv4() != kind_of(frame).is_ipv4() {
                Err(GsoError::IpHeader { kind, len })
            } else {
                Err(GsoError::Protocol { kind, protocol: kind_of(frame).protocol() })
            };
            assert_eq!(result, expected, "{kind:?} on {:?}", kind_of(frame));
        }
    }
}

#[test]
fn n05_arp_is_refused() {
    let mut arp = crate::test_frames::ethernet(&[], crate::ethertype::ARP);
    arp.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    arp.resize(60, 0);
    let gso = Gso { kind: GsoKind::TcpV4, mss: 10, header_len: 54 };
    let result = Segmenter::new(&arp, 14, 34, gso, 100, Inc::PerSegment).map(|_| ());
    assert_eq!(result, Err(GsoError::IpHeader { kind: GsoKind::TcpV4, len: 20 }));
}

#[test]
fn n05_ip_fragments_are_refused() {
    let frame = tcp_v4(100);
    for flags_and_offset in [0x2000u16, 0x0001, 0x2001] {
        let mut header = frame.build();
        header[20..22].copy_from_slice(&flags_and_offset.to_be_bytes());
        assert_eq!(new_segmenter(&frame, &header, 10).unwrap_err(), GsoError::Fragment);
    }
    for offset_and_more in [0x01, 0x08, 0x09] {
        let fragment = (44, vec![0, 0, offset_and_more, 0, 0, 0, 1]);
        let frame = Frame::new(Ip::v6(vec![fragment]), Transport::tcp(), payload(100));
        assert_eq!(new_segmenter(&frame, &frame.build(), 10).unwrap_err(), GsoError::Fragment);
    }
}

#[test]
fn n05_ipv6_extensions_that_segments_cannot_repeat_are_refused() {
    let segments_left = (43, vec![0, 0, 1, 0, 0, 0, 0]);
    let authentication = (51, vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for (extension, kind) in [(segments_left, 43), (authentication, 51)] {
        let frame = Frame::new(Ip::v6(vec![extension]), Transport::tcp(), payload(100));
        assert_eq!(new_segmenter(&frame, &frame.build(), 10).unwrap_err(), GsoError::Extension { kind });
    }
}

/// N14: whatever a page boundary leaves of the header, it is whole or the frame is refused.
#[test]
fn n14_header_cut_anywhere_is_refused() {
    let frame = tcp_v4(100);
    let header = frame.build();
    for available in 0..54 {
        let error = new_segmenter(&frame, &header[..available], 10).unwrap_err();
        assert_eq!(error, GsoError::HeaderTruncated { header_len: 54, available });
    }
}
