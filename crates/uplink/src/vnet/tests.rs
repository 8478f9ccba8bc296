use ethernet::{GsoKind, L3, L4, Layout};
use port::{Checksum, Malformed};
use proptest::prelude::*;

use super::{VNET_HEADER, VnetHeader, WIRE_MIN};

const TCP: Layout = Layout {
    l3: L3::Ipv4 { options: false },
    l3_offset: 14,
    l4: L4::Tcp,
    l4_offset: 34,
    payload_offset: 66,
    fragment: false,
    vlan_depth: 0,
};

fn header(flags: u8, gso_type: u8, gso_size: u16, csum_start: u16, csum_offset: u16) -> VnetHeader {
    VnetHeader { flags, gso_type, hdr_len: 54, gso_size, csum_start, csum_offset }
}

fn unasked() -> Layout {
    panic!("the layout does not matter")
}

#[test]
fn checksum_states_are_told_apart() {
    for (flags, expected) in [
        (0, Checksum::Unverified),
        (2, Checksum::Complete),
        (1, Checksum::Partial { start: 34, offset: 16 }),
        (3, Checksum::Partial { start: 34, offset: 16 }),
    ] {
        let spec = header(flags, 0, 0, 34, 16).spec(unasked).unwrap();
        assert_eq!((spec.meta.checksum, spec.meta.gso, spec.pad_to), (expected, None, WIRE_MIN));
    }
}

#[test]
fn an_unfinished_sctp_checksum_is_a_crc() {
    let sctp = Layout { l4: L4::Sctp, ..TCP };
    let spec = header(1, 0, 0, 34, 8).spec(|| sctp).unwrap();
    assert_eq!(spec.meta.checksum, Checksum::PartialCrc32c { start: 34, offset: 8 });
    let spec = header(1, 0, 0, 34, 8).spec(|| TCP).unwrap();
    assert_eq!(spec.meta.checksum, Checksum::Partial { start: 34, offset: 8 });
}

#[test]
fn a_super_frame_is_cut_where_its_headers_end_not_where_they_are_said_to() {
    for gso_type in [1, 0x81] {
        let cut = header(1, gso_type, 1448, 34, 16).spec(|| TCP).unwrap().meta.gso.unwrap();
        assert_eq!((cut.gso.kind, cut.gso.mss, cut.gso.header_len), (GsoKind::TcpV4, 1448, 66));
        assert_eq!((cut.l3_offset, cut.l4_offset), (14, 34));
    }
}

#[test]
fn n05_segmentation_of_another_protocol_is_refused() {
    let v6 = L3::Ipv6 { extensions: false };
    for (gso_type, l3, l4, expected) in [
        (1, v6, L4::Tcp, Malformed::BadSegmentation),
        (1, TCP.l3, L4::Udp, Malformed::BadSegmentation),
        (4, TCP.l3, L4::Tcp, Malformed::BadSegmentation),
        (5, TCP.l3, L4::Tcp, Malformed::BadSegmentation),
        (5, L3::Arp, L4::None, Malformed::BadSegmentation),
        (3, TCP.l3, L4::Udp, Malformed::Unsupported),
        (7, TCP.l3, L4::Tcp, Malformed::Unsupported),
        (0x80, TCP.l3, L4::Tcp, Malformed::Unsupported),
    ] {
        let layout = Layout { l3, l4, ..TCP };
        assert_eq!(header(1, gso_type, 1000, 34, 16).spec(|| layout).unwrap_err(), expected, "{gso_type}");
    }
}

#[test]
fn n04_headers_that_do_not_end_in_what_was_read_are_refused() {
    let endless = Layout { payload_offset: 0, ..TCP };
    assert_eq!(header(1, 1, 1000, 34, 16).spec(|| endless).unwrap_err(), Malformed::HeaderTooLong);
}

proptest! {
    #[test]
    fn bytes_and_fields_agree(bytes: [u8; VNET_HEADER]) {
        prop_assert_eq!(VnetHeader::parse(bytes).bytes(), bytes);
    }

    #[test]
    fn no_header_does_harm(bytes: [u8; VNET_HEADER], head in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = VnetHeader::parse(bytes).spec(|| ethernet::parse(&head));
    }
}
