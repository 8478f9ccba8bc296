use ethernet::VlanTag;
use guest_memory::{Access, DmaDomain, MemoryView};
use proptest::prelude::*;

use super::Pieces;
use crate::testing::{
    FIRST, Field, HOLE, Proto, READ_ONLY, SECOND, Sample, buffers, check, cuts, memory, read, sample, scatter,
};
use crate::{Burst, Checksum, Frame, FrameMeta, HEADER_MAX, Refusal, Spec};

/// Where the tests receive; sends come from the end of the first region on, so that they cross into the second.
const INTO: u64 = FIRST + 0x123;
const FROM: u64 = SECOND - 777;

/// A burst with one frame, which lies in the memory in pieces of the lengths `from`.
fn burst(domain: &DmaDomain, bytes: &[u8], from: &[usize], meta: FrameMeta) -> Burst {
    let mut burst = Burst::new();
    burst.begin(domain.view());
    scatter(&domain.view(), &mut burst, FROM, bytes, from);
    burst.commit(&Spec { meta, pad_to: 60, ipv4_checksum_at: None }).unwrap();
    burst
}

/// The bytes of piece `index` as a receiver with buffers of the lengths `into` gets them.
fn deliver(
    view: &MemoryView,
    frame: &Frame<'_>,
    index: u32,
    tag: Option<VlanTag>,
    into: &[usize],
) -> Vec<u8> {
    let pieces = Pieces::new(frame).unwrap();
    let mut scratch = [0xee; HEADER_MAX + 4];
    let piece = pieces.get(index, tag, &mut scratch);
    let longest = pieces.longest().max(60) + if tag.is_some() { 4 } else { 0 };
    assert!(piece.len() <= longest, "{} bytes, the longest should have {longest}", piece.len());
    piece.write(&buffers(view, INTO, piece.len(), into)).unwrap();
    read(view, INTO, piece.len())
}

/// The checksum offload of a whole frame.
fn partial(sample: &Sample) -> FrameMeta {
    let start = u16::try_from(sample.l4()).unwrap();
    let offset = u16::try_from(sample.field()).unwrap();
    let checksum = match sample.proto {
        Proto::Sctp => Checksum::PartialCrc32c { start, offset },
        Proto::Tcp | Proto::Udp => Checksum::Partial { start, offset },
    };
    FrameMeta { checksum, ..FrameMeta::default() }
}

/// What should arrive of a frame: its outer tag replaced, zeros up to the shortest frame.
fn expected(frame: &[u8], outer_tag: bool, tag: Option<u16>) -> Vec<u8> {
    let rest = if outer_tag { 16 } else { 12 };
    let mut body = frame[rest..].to_vec();
    body.resize(body.len().max(60 - 12), 0);
    let tag = tag.map_or(vec![], |tci| [[0x81, 0], tci.to_be_bytes()].concat());
    [&frame[..12], &tag, &body].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_whole_frame_arrives_with_its_checksum_filled_in(
        sample in sample(3000), from in cuts(2000), into in cuts(2000), tag in any::<Option<u16>>(), offload: bool,
    ) {
        let domain = memory();
        let (field, meta) = match offload {
            true => (Field::PseudoHeader, partial(&sample)),
            false => (Field::Right, FrameMeta::default()),
        };
        let burst = burst(&domain, &sample.build(field), &from, meta);
        let frame = burst.frame(0);
        prop_assert_eq!(frame.meta().tag.map(|t| t.0), sample.tags.first().copied());
        let arrived = deliver(&domain.view(), &frame, 0, tag.map(VlanTag), &into);
        prop_assert_eq!(arrived, expected(&sample.build(Field::Right), !sample.tags.is_empty(), tag));
    }

    #[test]
    fn segments_are_right_one_by_one_and_add_up(
        mut sample in sample(9000), from in cuts(4000), into in cuts(2000), tag in any::<Option<u16>>(),
        mss in 8..3000u16, last_first: bool,
    ) {
        if sample.proto == Proto::Sctp {
            sample.proto = Proto::Tcp;
        }
        if sample.payload.is_empty() {
            sample.payload.push(1);
        }
        let domain = memory();
        let meta = FrameMeta { gso: Some(sample.segmentation(mss)), ..FrameMeta::default() };
        let burst = burst(&domain, &sample.build(Field::PseudoHeader), &from, meta);
        let count = Pieces::new(&burst.frame(0)).unwrap().count();
        prop_assert_eq!(count as usize, sample.payload.len().div_ceil(usize::from(mss)));
        // A resumed delivery makes any piece without those before it.
        let order: Vec<u32> = if last_first { (0..count).rev().collect() } else { (0..count).collect() };
        let mut joined = vec![0; sample.payload.len()];
        for index in order {
            let arrived = deliver(&domain.view(), &burst.frame(0), index, tag.map(VlanTag), &into);
            prop_assert!(arrived.len() >= 60);
            let found = check(&arrived);
            prop_assert_eq!(found.tag, tag.or_else(|| sample.tags.get(1).copied()));
            prop_assert!(found.padding == 0 || arrived.len() <= 64);
            let start = index as usize * usize::from(mss);
            joined[start..start + found.payload.len()].copy_from_slice(&found.payload);
            if !sample.v6 {
                prop_assert_eq!(found.ip_id, 0x1234_u16.wrapping_add(u16::try_from(index).unwrap()));
            }
            if sample.proto == Proto::Tcp {
                prop_assert_eq!(found.sequence, 0xffff_f000_u32.wrapping_add(u32::try_from(start).unwrap()));
                let (first, last) = (index == 0, index == count - 1);
                let hidden = if first { 0 } else { 0x80 } | if last { 0 } else { 0x09 };
                prop_assert_eq!(found.flags, sample.tcp_flags & !hidden);
            }
        }
        prop_assert_eq!(joined, sample.payload);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_frame_that_was_kept_is_the_same_again(
        mut sample in sample(6000), from in cuts(2000), at in cuts(2000), again in cuts(2000),
        mss in prop::option::of(8..3000u16),
    ) {
        if mss.is_some() {
            sample.proto = Proto::Tcp;
            sample.payload.push(1);
        }
        let domain = memory();
        let cut = mss.map(|mss| sample.segmentation(mss));
        let meta = FrameMeta { gso: cut, ..if cut.is_some() { FrameMeta::default() } else { partial(&sample) } };
        let burst = burst(&domain, &sample.build(Field::PseudoHeader), &from, meta);
        let frame = burst.frame(0);
        let (view, store) = (domain.view(), memory());
        let kept = frame.keep(&buffers(&store.view(), FIRST, frame.len(), &at)).unwrap();
        let stored = read(&store.view(), FIRST, frame.len());
        let mut second = Burst::new();
        second.begin(store.view());
        scatter(&store.view(), &mut second, SECOND, &stored, &again);
        second.restore(&kept).unwrap();
        let restored = second.frame(0);
        prop_assert_eq!((restored.header(), restored.len()), (frame.header(), frame.len()));
        prop_assert_eq!(format!("{:?}", restored.layout()), format!("{:?}", frame.layout()));
        for n in 0..Pieces::new(&frame).unwrap().count() {
            let tag = frame.meta().tag;
            prop_assert_eq!(deliver(&view, &restored, n, tag, &[2048]), deliver(&view, &frame, n, tag, &[2048]));
        }
    }
}

#[test]
fn only_what_was_kept_is_restored() {
    let (domain, sample) = (memory(), tcp(1000));
    let burst = burst(&domain, &sample.build(Field::Right), &[5000], FrameMeta::default());
    let (frame, view) = (burst.frame(0), domain.view());
    let short = view.slice(FIRST, frame.len() - 1, Access::Write).unwrap();
    assert!(frame.keep(&[short]).is_err());
    let kept = frame.keep(&[view.slice(SECOND, frame.len(), Access::Write).unwrap()]).unwrap();
    let mut second = Burst::new();
    second.begin(domain.view());
    second.gather(SECOND, 50).unwrap();
    assert!(second.restore(&kept).is_err(), "less than its headers");
    assert_eq!(second.len(), 0);
}

fn tcp(payload: usize) -> Sample {
    let payload = (0..payload).map(|n| n.to_le_bytes()[0]).collect();
    Sample {
        tags: vec![],
        v6: false,
        ip_options: 0,
        proto: Proto::Tcp,
        tcp_options: 0,
        tcp_flags: 0x18,
        payload,
    }
}

#[test]
fn the_payload_of_64_kib_is_cut_and_checked() {
    let (domain, sample) = (memory(), tcp(65_000));
    let meta = FrameMeta { gso: Some(sample.segmentation(1448)), ..FrameMeta::default() };
    let burst = burst(&domain, &sample.build(Field::PseudoHeader), &[16_384], meta);
    let frame = burst.frame(0);
    let pieces = Pieces::new(&frame).unwrap();
    let joined: Vec<u8> = (0..pieces.count())
        .flat_map(|n| check(&deliver(&domain.view(), &burst.frame(0), n, None, &[2048])).payload)
        .collect();
    assert_eq!(joined, sample.payload);
}

#[test]
fn buffers_too_small_or_not_to_be_written_refuse_the_piece() {
    let (domain, sample) = (memory(), tcp(1000));
    let burst = burst(&domain, &sample.build(Field::Right), &[5000], FrameMeta::default());
    let frame = burst.frame(0);
    let pieces = Pieces::new(&frame).unwrap();
    let mut scratch = [0; HEADER_MAX + 4];
    let piece = pieces.get(0, None, &mut scratch);
    let view = domain.view();
    for (address, length, access) in [
        (FIRST, piece.len() - 1, Access::Write),
        (FIRST, 0, Access::Write),
        (READ_ONLY, piece.len(), Access::Read),
    ] {
        let slice = view.slice(address, length, access).unwrap();
        assert_eq!(piece.write(&[slice]), Err(Refusal::DmaFault), "{length} bytes at {address:#x}");
    }
    let empty = view.slice(HOLE, 0, Access::Write).unwrap();
    let room = view.slice(FIRST, piece.len(), Access::Write).unwrap();
    assert_eq!(piece.write(&[empty, room, empty]), Ok(()), "buffers of no bytes are passed over");
}

#[test]
fn a_udp_checksum_of_zero_is_sent_as_its_other_form() {
    let mut sample = Sample { proto: Proto::Udp, ..tcp(2) };
    // Two bytes bring any sum to where its complement is 0.
    let found = (0..=u16::MAX).find(|n| {
        sample.payload = n.to_be_bytes().to_vec();
        let frame = sample.build(Field::Right);
        frame[40..42] == [0xff, 0xff]
    });
    assert!(found.is_some());
    let domain = memory();
    let burst = burst(&domain, &sample.build(Field::PseudoHeader), &[100], partial(&sample));
    let arrived = deliver(&domain.view(), &burst.frame(0), 0, None, &[100]);
    assert_eq!(arrived[40..42], [0xff, 0xff]);
    check(&arrived);
}
