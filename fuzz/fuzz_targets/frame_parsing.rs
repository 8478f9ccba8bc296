//! Frames of any bytes: what the parser names is there, a tag that is taken out can be put back, and what the
//! segmenter accepts it cuts into segments with right lengths and checksums that make up the payload again.

#![no_main]

use arbitrary::Arbitrary;
use ethernet::{
    Gso, GsoKind, Inc, L3, L4, Layout, MAX_SEGMENTS, RssTypes, Segmenter, Sum, Toeplitz, VlanTag, gso, parse,
    pop_vlan, push_vlan, rss_hash,
};
use libfuzzer_sys::fuzz_target;
use support::frames::{self, Packet, Transport};

/// Segments of one frame whose checksums are looked at.
const CHECKED: u32 = 64;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    packet: Option<Packet>,
    /// Bytes of the packet's headers to be changed.
    patches: Vec<(u8, u8)>,
    tag: Option<u16>,
    offsets: Option<[u16; 3]>,
    kind: u8,
    mss: u16,
    payload_len: u32,
    fixed_id: bool,
    rss_types: u16,
    rss_key: u8,
    raw: &'a [u8],
}

fn check_layout(header: &[u8], layout: &Layout) {
    let (l3, l4, payload) = (layout.l3_offset, layout.l4_offset, layout.payload_offset);
    if layout.l3 != L3::None {
        assert_eq!(l3, 14 + 4 * u16::from(layout.vlan_depth));
        let least = match layout.l3 {
            L3::Ipv4 { .. } => 20,
            L3::Ipv6 { .. } => 40,
            L3::None | L3::Arp | L3::Other => 0,
        };
        assert!(usize::from(l3) + least <= header.len(), "{layout:?}");
        assert!(layout.l4 == L4::None || usize::from(l4 - l3) >= least, "{layout:?}");
    }
    let least = match layout.l4 {
        L4::None => return assert_eq!((l4, payload), (0, 0)),
        L4::Tcp => 20,
        L4::Udp | L4::Icmp | L4::Icmpv6 => 8,
        L4::Sctp => 12,
        L4::Other => 0,
    };
    assert!(usize::from(l4) + least <= header.len(), "{layout:?}");
    assert!(payload == 0 || payload >= l4 && usize::from(payload) <= header.len(), "{layout:?}");
}

/// Of a frame about which nothing lies everything is known.
fn check_honest(packet: &Packet, built: &frames::Built) {
    let layout = parse(&built.bytes);
    let l3 = match packet.v6 {
        true => L3::Ipv6 { extensions: false },
        false => L3::Ipv4 { options: built.l4 - built.l3 > 20 },
    };
    let l4 = match packet.transport {
        Transport::Tcp => L4::Tcp,
        Transport::Udp => L4::Udp,
        Transport::Sctp => L4::Sctp,
    };
    let offsets = [layout.l3_offset, layout.l4_offset, layout.payload_offset].map(usize::from);
    assert_eq!((layout.l3, layout.l4, layout.fragment), (l3, l4, false));
    assert_eq!(offsets, [built.l3, built.l4, built.header]);
    assert_eq!(frames::check(&built.bytes, built.l3, built.l4, packet.transport), built.bytes.len());
}

fn check_tags(frame: &[u8], tag: Option<u16>) {
    let mut buffer = [frame, &[0xee; 8]].concat();
    let mut len = frame.len();
    let popped = pop_vlan(&mut buffer, &mut len);
    assert_eq!(popped.map(|tag| (buffer[..len].to_vec(), tag.0)), frames::untagged(frame));
    if popped.is_none() {
        assert_eq!(&buffer[..len], frame);
    }
    if let Some(tag) = tag.map(VlanTag).or(popped) {
        let before = buffer[..len].to_vec();
        if push_vlan(&mut buffer, &mut len, tag) {
            assert_eq!(buffer[..len], frames::tagged(&before, tag.0));
        } else {
            assert!(before.len() < 14 && buffer[..len] == before);
        }
    }
}

/// Segments of a super-frame that was accepted.
fn check_segments(header: &[u8], segmenter: &Segmenter<'_>, gso: Gso, [l3, l4]: [u16; 2], payload_len: u32) {
    let transport = match gso.kind {
        GsoKind::TcpV4 | GsoKind::TcpV6 => Transport::Tcp,
        GsoKind::UdpV4 | GsoKind::UdpV6 => Transport::Udp,
    };
    let byte = |at: u32| at.wrapping_mul(29).to_le_bytes()[0] ^ at.to_le_bytes()[1];
    let (l3, l4, last) = (usize::from(l3), usize::from(l4), segmenter.segments() - 1);
    assert!(last < MAX_SEGMENTS);
    let sequence =
        |bytes: &[u8]| u32::from_be_bytes([bytes[l4 + 4], bytes[l4 + 5], bytes[l4 + 6], bytes[l4 + 7]]);
    let mut next = 0;
    for index in 0..=last {
        let mut out = [0xee; gso::MAX_HEADER_LEN];
        let plan = segmenter.segment(index, &mut out);
        assert_eq!((plan.payload_offset, plan.header_len), (next, usize::from(gso.header_len)));
        assert!(plan.payload_len <= gso.mss.into() && (plan.payload_len > 0 || payload_len == 0));
        assert!(index == last || plan.payload_len == gso.mss.into());
        next += plan.payload_len;
        if index >= CHECKED && index < last {
            continue;
        }
        let payload: Vec<u8> = (plan.payload_offset..next).map(byte).collect();
        let mut sum = Sum::new();
        sum.add_bytes(&payload);
        plan.finish(&mut out, sum);
        assert!(out[plan.header_len..].iter().all(|byte| *byte == 0xee), "wrote behind the header");
        let segment = [&out[..plan.header_len], &payload].concat();
        assert_eq!(frames::check(&segment, l3, l4, transport), segment.len());
        assert_eq!(segment[..l3], header[..l3], "what stands in front is repeated");
        assert_eq!(segment[l4..l4 + 4], header[l4..l4 + 4], "ports");
        if transport == Transport::Tcp {
            assert_eq!(sequence(&segment), sequence(header).wrapping_add(plan.payload_offset));
            let (flags, before) = (segment[l4 + 13], header[l4 + 13]);
            let kept = !0x89 | if index == 0 { 0x80 } else { 0 } | if index == last { 0x09 } else { 0 };
            assert_eq!(flags, before & kept, "CWR on the first, FIN and PSH on the last");
        }
    }
    assert_eq!(next, payload_len);
}

fuzz_target!(|input: Input<'_>| {
    let Input { packet, patches, tag, offsets, kind, mss, payload_len, fixed_id, .. } = input;
    let kinds = [GsoKind::TcpV4, GsoKind::TcpV6, GsoKind::UdpV4, GsoKind::UdpV6];
    let mut kind = kinds[usize::from(kind) % 4];
    let (mut header, mut places) = (input.raw.to_vec(), [14, 34, 54]);
    let mut honest = false;
    if let Some(packet) = &packet {
        let mut built = packet.build(64);
        check_honest(packet, &built);
        if let Some(cut) = packet.segmentation(&built, mss) {
            honest = patches.is_empty() && offsets.is_none();
            (kind, places) = (cut.gso.kind, [cut.l3_offset, cut.l4_offset, cut.gso.header_len]);
        }
        for (at, value) in patches {
            if let Some(byte) = built.bytes.get_mut(usize::from(at)) {
                *byte = value;
            }
        }
        header = [&built.bytes, input.raw].concat();
    }
    let layout = parse(&header);
    check_layout(&header, &layout);
    check_tags(&header, tag);
    let toeplitz = Toeplitz::new(&[input.rss_key; 40]);
    let types = RssTypes::from_bits_truncate(input.rss_types);
    let hashed = rss_hash(&toeplitz, types, &header, &layout);
    assert!(hashed.is_none() || matches!(layout.l3, L3::Ipv4 { .. } | L3::Ipv6 { .. }));

    let [l3, l4, header_len] = offsets.unwrap_or(places);
    let gso = Gso { kind, mss, header_len };
    let payload_len = if payload_len >> 24 == 0xff { payload_len } else { payload_len % 70_000 };
    let ip_id = if fixed_id { Inc::Fixed } else { Inc::PerSegment };
    match Segmenter::new(&header, l3, l4, gso, payload_len, ip_id) {
        Ok(segmenter) => check_segments(&header, &segmenter, gso, [l3, l4], payload_len),
        Err(error) => {
            let within = mss > 0
                && payload_len <= gso::MAX_PAYLOAD_LEN
                && payload_len.div_ceil(mss.into()) <= MAX_SEGMENTS
                && usize::from(header_len) + usize::from(mss) <= 65_535;
            assert!(!(honest && within), "refused a frame about which nothing lies: {error}");
        }
    }
});
