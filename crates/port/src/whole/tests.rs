use ethernet::VlanTag;
use guest_memory::{DmaDomain, MemoryView};
use proptest::prelude::*;

use super::Whole;
use crate::testing::{FIRST, Field, Proto, SECOND, Sample, buffers, cuts, memory, read, sample, scatter};
use crate::{Burst, Checksum, Frame, FrameMeta, HEADER_MAX, Pieces, Spec};

/// Where the first receiver has its buffers, and the second.
const INTO: u64 = FIRST + 0x123;
const AT_LAST: u64 = FIRST + 0x1_8000;
const FROM: u64 = SECOND - 777;

fn burst(domain: &DmaDomain, at: u64, bytes: &[u8], from: &[usize], meta: FrameMeta) -> Burst {
    let mut burst = Burst::new();
    burst.begin(domain.view());
    scatter(&domain.view(), &mut burst, at, bytes, from);
    burst.commit(&Spec { meta, pad_to: 60, ipv4_checksum_at: None }).unwrap();
    burst
}

/// All pieces of a frame as they arrive at a receiver that takes nothing unfinished.
fn pieces(view: &MemoryView, frame: &Frame<'_>) -> Vec<Vec<u8>> {
    let pieces = Pieces::new(frame).unwrap();
    let deliver = |index| {
        let mut scratch = [0; HEADER_MAX + 4];
        let piece = pieces.get(index, None, &mut scratch);
        piece.write(&buffers(view, AT_LAST, piece.len(), &[4096])).unwrap();
        read(view, AT_LAST, piece.len())
    };
    (0..pieces.count()).map(deliver).collect()
}

/// The metadata of a whole frame, for whoever sends it on.
fn described(whole: &Whole<'_>) -> FrameMeta {
    let partial = whole.checksum.filter(|_| whole.gso.is_none());
    let checksum = partial
        .map_or(Checksum::Unverified, |left| Checksum::Partial { start: left.start, offset: left.offset });
    FrameMeta { tag: None, checksum, gso: whole.gso }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A guest that forwards what it got uncut, as a router does, sends the same segments as the sender would have.
    #[test]
    fn what_is_left_to_the_receiver_can_be_made_there(
        mut sample in sample(9000), from in cuts(4000), into in cuts(2000), tag in any::<Option<u16>>(),
        mss in prop::option::of(8..3000u16),
    ) {
        if sample.proto == Proto::Sctp {
            sample.proto = Proto::Udp;
        }
        if sample.payload.is_empty() {
            sample.payload.push(1);
        }
        if tag.is_none() {
            // An inner tag would be the outer one when it is sent on.
            sample.tags.truncate(1);
        }
        let domain = memory();
        let view = domain.view();
        let meta = match mss {
            Some(mss) => FrameMeta { gso: Some(sample.segmentation(mss)), ..FrameMeta::default() },
            None => {
                let start = u16::try_from(sample.l4()).unwrap();
                let checksum = Checksum::Partial { start, offset: u16::try_from(sample.field()).unwrap() };
                FrameMeta { checksum, ..FrameMeta::default() }
            }
        };
        let sent = burst(&domain, FROM, &sample.build(Field::PseudoHeader), &from, meta);
        let frame = sent.frame(0);
        let wanted = pieces(&view, &frame);
        let mut scratch = [0xee; HEADER_MAX + 4];
        let Some(whole) = Whole::new(&frame, tag.map(VlanTag), &mut scratch) else {
            // Only a third tag, or two on a header that is full, finds no place.
            prop_assert!(tag.is_some());
            return Ok(());
        };
        let length = whole.piece().len();
        prop_assert_eq!(length, frame.len() + if tag.is_some() { 4 } else { 0 });
        whole.piece().write(&buffers(&view, INTO, length, &into)).unwrap();
        let arrived = read(&view, INTO, length);
        if !sample.v6 {
            let l3 = length - (frame.len() - usize::from(frame.layout().l3_offset));
            let total = u16::from_be_bytes([arrived[l3 + 2], arrived[l3 + 3]]);
            prop_assert!(mss.is_none() || usize::from(total) == length - l3);
        }
        let again = burst(&domain, FROM, &arrived, &from, described(&whole));
        prop_assert_eq!(again.frame(0).meta().tag.map(|tag| tag.0), tag);
        prop_assert_eq!(pieces(&view, &again.frame(0)), wanted);
    }
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
fn what_a_receiver_would_misread_is_not_left_to_it() {
    let domain = memory();
    let is_whole = |sample: &Sample, meta: FrameMeta| {
        let burst = burst(&domain, FROM, &sample.build(Field::PseudoHeader), &[9000], meta);
        Whole::new(&burst.frame(0), None, &mut [0; HEADER_MAX + 4]).is_some()
    };
    let sctp = Sample { proto: Proto::Sctp, ..tcp(100) };
    let crc = Checksum::PartialCrc32c { start: u16::try_from(sctp.l4()).unwrap(), offset: 8 };
    assert!(!is_whole(&sctp, FrameMeta { checksum: crc, ..FrameMeta::default() }));
    // The longest packet that its length field can tell of, and one byte more.
    let cut = |sample: &Sample| FrameMeta { gso: Some(sample.segmentation(1448)), ..FrameMeta::default() };
    assert!(is_whole(&tcp(65_495), cut(&tcp(65_495))));
    assert!(!is_whole(&tcp(65_496), cut(&tcp(65_496))));
}
