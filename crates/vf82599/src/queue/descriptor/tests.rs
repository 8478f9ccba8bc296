use super::{Context, L4Type, Transmit, WriteBack};

#[test]
fn a_context_of_ixgbevf_is_read_as_written() {
    // TCP over IPv4 behind 14 + 20 bytes, tag 5, 20 bytes of TCP, segments of 1,448, context 1.
    let words = [0x0005_1c14, 1448 << 48 | 20 << 40 | 1 << 36 | 1 << 29 | 2 << 20 | 1 << 11 | 1 << 10];
    let Transmit::Context(context) = Transmit::decode(words) else { panic!("a context") };
    assert_eq!((context.ip_length(), context.mac_length(), context.vlan()), (20, 14, 5));
    assert_eq!((context.is_ipv4(), context.l4_type()), (true, L4Type::Tcp));
    assert_eq!((context.slot(), context.l4_length(), context.mss()), (1, 20, 1448));
    let all = Context([u64::MAX; 2]);
    assert_eq!((all.ip_length(), all.mac_length(), all.l4_length()), (511, 127, 255));
    assert_eq!((all.l4_type(), all.slot()), (L4Type::Reserved, 1));
}

#[test]
fn a_data_descriptor_of_ixgbevf_is_read_as_written() {
    let words = [0x1234_5678_9abc, 0x1_0310 << 32 | 0xeb30_05dc];
    let Transmit::Data(data) = Transmit::decode(words) else { panic!("data") };
    assert_eq!((data.address, data.length()), (0x1234_5678_9abc, 1500));
    assert!(data.ends_frame() && data.reports() && data.inserts_vlan() && data.segments());
    assert!(data.fills_ip_checksum() && data.fills_l4_checksum() && !data.encrypts());
    assert_eq!(data.context(), 1);
}

#[test]
fn only_advanced_context_and_data_descriptors_are_known() {
    for kind in 0..16 {
        let (advanced, legacy) = (1 << 29 | kind << 20, kind << 20);
        let known = match Transmit::decode([0, advanced]) {
            Transmit::Context(_) => 2,
            Transmit::Data(_) => 3,
            Transmit::Unknown(_) => kind,
        };
        assert_eq!(known, kind);
        assert!(matches!(Transmit::decode([0, legacy]), Transmit::Unknown(_)));
    }
}

#[test]
fn a_write_back_has_its_fields_where_drivers_look() {
    let words = WriteBack {
        rss_type: 9,
        packet_type: WriteBack::IPV4 | WriteBack::SCTP,
        hash: 0x1234_5678,
        status: WriteBack::DD | WriteBack::EOP | WriteBack::VP,
        length: 1500,
        vlan: 0x2005,
    };
    assert_eq!(words.encode(), [0x1234_5678_0000_0419, 0x2005_05dc_0000_000b]);
}
