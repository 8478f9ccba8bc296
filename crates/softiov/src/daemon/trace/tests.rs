use api::types::FrameContent;
use ethernet::MacAddr;

use super::frame::{FrameError, Stations, build};

const SOURCE: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

fn stations(destination: Option<MacAddr>) -> Stations {
    Stations { destination, source: Some(SOURCE) }
}

fn ip(source: &str, destination: &str, protocol: u8, ports: Option<(u16, u16)>) -> FrameContent {
    let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
    FrameContent::Ip { source, destination, protocol, ports }
}

#[test]
fn frames_are_what_a_parser_finds_in_them() {
    let to = Some(MacAddr([2, 0, 0, 0, 0, 2]));
    for (source, destination, protocol) in [("10.0.0.1", "10.0.0.2", 6), ("fd00::1", "fd00::2", 17)] {
        let frame = build(&ip(source, destination, protocol, Some((1000, 80))), stations(to), None).unwrap();
        let layout = ethernet::parse(&frame.bytes);
        let ports = &frame.bytes[usize::from(layout.l4_offset)..][..4];
        assert_eq!(ports, [3, 232, 0, 80], "{source}");
        assert_eq!((ethernet::source(&frame.bytes), ethernet::destination(&frame.bytes)), (Some(SOURCE), to));
    }
}

#[test]
fn kinds_of_frames_have_the_destination_that_they_have_in_life() {
    let (one, two) = ("fd00::1".parse().unwrap(), "fd00::12:3456".parse().unwrap());
    let cases = [
        (FrameContent::DhcpOffer, MacAddr::BROADCAST),
        (FrameContent::RouterAdvertisement, MacAddr([0x33, 0x33, 0, 0, 0, 1])),
        (
            FrameContent::NeighborSolicitation { source: one, destination: two },
            MacAddr([0x33, 0x33, 0xff, 0x12, 0x34, 0x56]),
        ),
    ];
    for (content, destination) in cases {
        let frame = build(&content, stations(None), None).unwrap();
        assert_eq!(ethernet::destination(&frame.bytes), Some(destination), "{content:?}");
        assert!(frame.bytes.len() >= 60);
    }
    assert_eq!(build(&FrameContent::Plain, stations(None), None), Err(FrameError::NoDestination));
}

#[test]
fn whole_frames_have_their_tag_taken_out() {
    let mut bytes = [&[2, 0, 0, 0, 0, 2][..], &SOURCE.0, &[0x81, 0, 0x60, 7, 0x88, 0xb5]].concat();
    bytes.resize(64, 0);
    let frame = build(&FrameContent::Bytes { bytes }, Stations::default(), None).unwrap();
    let tag = frame.tag.unwrap();
    assert_eq!((tag.vid(), tag.pcp(), frame.bytes.len()), (7, 3, 60));
    let short = FrameContent::Bytes { bytes: vec![0; 13] };
    assert_eq!(build(&short, Stations::default(), None), Err(FrameError::Length { length: 13 }));
}

#[test]
fn addresses_of_two_families_are_refused() {
    let mixed = ip("10.0.0.1", "fd00::1", 6, Some((1, 2)));
    let to = Some(MacAddr::BROADCAST);
    assert!(matches!(build(&mixed, stations(to), None), Err(FrameError::Families { .. })));
    assert_eq!(build(&FrameContent::Plain, stations(to), Some(4096)), Err(FrameError::Vlan { vlan: 4096 }));
}
