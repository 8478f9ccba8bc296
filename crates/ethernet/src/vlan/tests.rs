use proptest::prelude::*;

use super::*;
use crate::parse::{L3, parse};
use crate::test_frames::{Frame, Ip, Transport, ethernet};

proptest! {
    #[test]
    fn fields_of_the_tci(tci: u16, vid in 0..4096u16) {
        let tag = VlanTag(tci);
        prop_assert_eq!(VlanTag::new(tag.vid(), tag.pcp(), tag.dei()), tag);
        prop_assert_eq!(tci, u16::from(tag.pcp()) << 13 | u16::from(tag.dei()) << 12 | tag.vid());
        let moved = tag.with_vid(vid);
        prop_assert_eq!((moved.vid(), moved.pcp(), moved.dei()), (vid, tag.pcp(), tag.dei()));
    }

    #[test]
    fn pop_undoes_push(frame in prop::collection::vec(any::<u8>(), 14..100), tci: u16, room in 4..20usize) {
        let mut buffer = [frame.clone(), vec![0; room]].concat();
        let mut len = frame.len();
        prop_assert!(push_vlan(&mut buffer, &mut len, VlanTag(tci)));
        prop_assert_eq!(len, frame.len() + 4);
        let tag = [0x8100u16.to_be_bytes(), tci.to_be_bytes()].concat();
        prop_assert_eq!(&buffer[..len], &[&frame[..12], &tag, &frame[12..]].concat());
        prop_assert_eq!(pop_vlan(&mut buffer, &mut len), Some(VlanTag(tci)));
        prop_assert_eq!(&buffer[..len], &frame);
    }

    /// Lengths and contents of any kind: nothing changes unless a tag is moved.
    #[test]
    fn refusal_changes_nothing(
        bytes in prop::collection::vec(any::<u8>(), 0..24),
        len in 0..28usize,
        huge in prop::bool::weighted(0.1),
    ) {
        let mut buffer = bytes.clone();
        let len = if huge { usize::MAX - len } else { len };
        let mut popped_len = len;
        if pop_vlan(&mut buffer, &mut popped_len).is_none() {
            prop_assert_eq!((popped_len, &buffer), (len, &bytes));
        }
        let mut buffer = bytes.clone();
        let mut pushed_len = len;
        let pushed = push_vlan(&mut buffer, &mut pushed_len, VlanTag(1));
        prop_assert_eq!(pushed, len >= 14 && len.checked_add(4).is_some_and(|tagged| tagged <= bytes.len()));
        if !pushed {
            prop_assert_eq!((pushed_len, &buffer), (len, &bytes));
        }
    }
}

#[test]
fn push_needs_a_whole_ethernet_header_and_room() {
    for (len, room, pushed) in
        [(13, 32, false), (14, 32, true), (14, 18, true), (14, 17, false), (0, 32, false)]
    {
        let mut frame_len = len;
        assert_eq!(
            push_vlan(&mut vec![0; room], &mut frame_len, VlanTag(1)),
            pushed,
            "{len} bytes in {room}"
        );
        assert_eq!(frame_len, if pushed { len + VLAN_TAG_LEN } else { len });
    }
}

fn tagged(tags: &[(u16, u16)]) -> Vec<u8> {
    let mut frame = Frame::new(Ip::v4(), Transport::udp(), vec![1, 2, 3]);
    frame.front = ethernet(tags, ethertype::IPV4);
    frame.build()
}

/// S02: priority tag, reserved VID: both are tags like others here, and reported as they stand.
#[test]
fn s02_vid_0_and_4095_are_popped_with_their_priority() {
    for tci in [0xe000, 0x0fff, 0xffff] {
        let mut frame = tagged(&[(0x8100, tci)]);
        let mut len = frame.len();
        assert_eq!(pop_vlan(&mut frame, &mut len), Some(VlanTag(tci)));
        assert_eq!(frame[..len], tagged(&[]));
    }
}

/// S02, the VLAN hop: popping the outer tag leaves the inner one in sight.
#[test]
fn s02_double_tag_is_popped_once_at_a_time() {
    let mut frame = tagged(&[(0x8100, 5), (0x8100, 6)]);
    let mut len = frame.len();
    assert_eq!(pop_vlan(&mut frame, &mut len), Some(VlanTag(5)));
    assert_eq!(frame[..len], tagged(&[(0x8100, 6)]));
    assert_eq!(parse(&frame[..len]).vlan_depth, 1);
}

#[test]
fn s02_service_tag_is_not_popped() {
    let mut frame = tagged(&[(0x88a8, 5), (0x8100, 6)]);
    let mut len = frame.len();
    assert_eq!(pop_vlan(&mut frame, &mut len), None);
    assert_eq!(frame, tagged(&[(0x88a8, 5), (0x8100, 6)]));
}

#[test]
fn s02_tag_cut_at_the_frame_end_is_no_tag() {
    let whole = tagged(&[(0x8100, 5)]);
    for cut in 0..18 {
        let mut frame = whole.clone();
        let mut len = cut;
        assert_eq!(pop_vlan(&mut frame, &mut len), None, "cut at {cut}");
        assert_eq!(parse(&whole[..cut]).l3, L3::None, "cut at {cut}");
    }
}

#[test]
fn s02_sixteen_tags_are_neither_skipped_nor_endless() {
    let frame = tagged(&[(0x8100, 9); 16]);
    let layout = parse(&frame);
    assert_eq!((layout.vlan_depth, layout.l3, layout.l3_offset), (2, L3::Other, 22));
    let mut len = frame.len();
    let mut popped = frame;
    let mut count = 0;
    while pop_vlan(&mut popped, &mut len).is_some() {
        count += 1;
    }
    assert_eq!(count, 16);
    assert_eq!(popped[..len], tagged(&[]));
}
