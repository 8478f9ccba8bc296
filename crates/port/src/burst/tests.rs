use std::sync::atomic::{AtomicBool, Ordering};

use ethernet::{Gso, GsoKind, VlanTag};
use guest_memory::DmaDomain;

use super::{BURST, Burst, MAX_SLICES, Spec};
use crate::testing::{
    FIRST, Field, HOLE, PAGE, Proto, READ_ONLY, SECOND, Sample, buffers, check, memory, read, scatter, sum,
};
use crate::{Checksum, FrameMeta, HEADER_MAX, Malformed, Pieces, Refusal, Segmentation};

fn udp(payload: usize) -> Sample {
    let payload = vec![0x5a; payload];
    Sample {
        tags: vec![],
        v6: false,
        ip_options: 0,
        proto: Proto::Udp,
        tcp_options: 0,
        tcp_flags: 0,
        payload,
    }
}

/// What a commit says of `bytes`, which lie in one piece at `address`.
fn commit_at(domain: &DmaDomain, address: u64, bytes: &[u8], spec: &Spec) -> Result<Burst, Malformed> {
    let mut burst = Burst::new();
    burst.begin(domain.view());
    domain.view().write_bytes(address, bytes).unwrap();
    burst.gather(address, bytes.len())?;
    burst.commit(spec).map(|()| burst)
}

fn commit(bytes: &[u8], spec: &Spec) -> Result<Burst, Malformed> {
    commit_at(&memory(), FIRST, bytes, spec)
}

fn checksum(start: u16, offset: u16) -> Spec {
    let checksum = Checksum::Partial { start, offset };
    Spec { meta: FrameMeta { checksum, ..FrameMeta::default() }, ..Spec::default() }
}

fn gso(kind: GsoKind, mss: u16, offsets: [u16; 3]) -> Spec {
    let [l3_offset, l4_offset, header_len] = offsets;
    let cut = Segmentation { gso: Gso { kind, mss, header_len }, l3_offset, l4_offset };
    Spec { meta: FrameMeta { gso: Some(cut), ..FrameMeta::default() }, ..Spec::default() }
}

fn error(result: Result<Burst, Malformed>) -> Option<Malformed> {
    result.err()
}

#[test]
fn what_was_decided_on_is_what_is_delivered() {
    let domain = memory();
    let bytes = udp(1000).build(Field::Right);
    let burst = commit_at(&domain, FIRST, &bytes, &Spec::default()).unwrap();
    domain.view().write_bytes(FIRST, &[0xff; 64]).unwrap();
    assert_eq!(burst.frame(0).header(), &bytes[..128]);
    let view = domain.view();
    let frame = burst.frame(0);
    let pieces = Pieces::new(&frame).unwrap();
    let mut scratch = [0; HEADER_MAX + 4];
    pieces.get(0, None, &mut scratch).write(&buffers(&view, SECOND, bytes.len(), &[bytes.len()])).unwrap();
    assert_eq!(read(&view, SECOND, bytes.len()), bytes);
}

#[test]
fn r15_a_racing_writer_cannot_change_what_was_decided_on() {
    let domain = memory();
    let view = domain.view();
    let (ours, theirs) = (udp(200).build(Field::Right), vec![0xff; 14]);
    view.write_bytes(FIRST, &ours).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let view = domain.view();
            while !stop.load(Ordering::Relaxed) {
                view.write_bytes(FIRST, &theirs).unwrap();
                view.write_bytes(FIRST, &ours[..14]).unwrap();
            }
        });
        let mut burst = Burst::new();
        for round in 0..2000 {
            burst.begin(domain.view());
            burst.gather(FIRST, ours.len()).unwrap();
            burst.commit(&Spec { pad_to: 60, ..Spec::default() }).unwrap();
            let decided = burst.frame(0).header().to_vec();
            let mut scratch = [0; HEADER_MAX + 4];
            let frame = burst.frame(0);
            let pieces = Pieces::new(&frame).unwrap();
            let piece = pieces.get(0, None, &mut scratch);
            piece.write(&buffers(&view, SECOND, piece.len(), &[64])).unwrap();
            assert_eq!(read(&view, SECOND, decided.len()), decided, "round {round}");
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_tag_moves_into_the_metadata_and_the_offsets_with_it() {
    let sample = Sample { tags: vec![0xa123, 5], proto: Proto::Tcp, ..udp(3000) };
    let bytes = sample.build(Field::PseudoHeader);
    let burst = commit(&bytes, &checksum(42, 16)).unwrap();
    let frame = burst.frame(0);
    assert_eq!(frame.meta().tag, Some(VlanTag(0xa123)));
    assert_eq!(frame.meta().checksum, Checksum::Partial { start: 38, offset: 16 });
    assert_eq!(frame.ethertype(), 0x8100, "the inner tag stays in the bytes");
    assert_eq!(frame.len(), bytes.len() - 4);

    let cut = Spec {
        meta: FrameMeta { gso: Some(sample.segmentation(1000)), ..FrameMeta::default() },
        ..Spec::default()
    };
    let burst = commit(&bytes, &cut).unwrap();
    let moved = burst.frame(0).meta().gso.unwrap();
    assert_eq!((moved.l3_offset, moved.l4_offset, moved.gso.header_len), (18, 38, 58));

    let told = Spec { meta: FrameMeta { tag: Some(VlanTag(7)), ..FrameMeta::default() }, ..Spec::default() };
    let burst = commit(&bytes, &told).unwrap();
    assert_eq!((burst.frame(0).meta().tag, burst.frame(0).len()), (Some(VlanTag(7)), bytes.len()));
}

#[test]
fn short_frames_are_padded_with_zeros() {
    let domain = memory();
    let mut burst = Burst::new();
    burst.begin(domain.view());
    for round in 0..2 {
        // In the second round the slots hold bytes of the first.
        for (slot, length) in (14..=61).step_by(2).enumerate() {
            let bytes = vec![0xff; length];
            scatter(&domain.view(), &mut burst, FIRST, &bytes, &[7]);
            burst.commit(&Spec { pad_to: 60, ..Spec::default() }).unwrap();
            let header = burst.frame(slot).header();
            assert_eq!(&header[..length], &bytes, "round {round}");
            assert!(header.len() >= 60 && header[length..].iter().all(|b| *b == 0), "{length} bytes");
        }
        burst.begin(domain.view());
    }
}

#[test]
fn a_short_sctp_packet_is_summed_without_its_padding() {
    let sample = Sample { proto: Proto::Sctp, ..udp(4) };
    let meta =
        FrameMeta { checksum: Checksum::PartialCrc32c { start: 34, offset: 8 }, ..FrameMeta::default() };
    let spec = Spec { meta, pad_to: 60, ..Spec::default() };
    let burst = commit(&sample.build(Field::PseudoHeader), &spec).unwrap();
    assert_eq!(check(burst.frame(0).header()).padding, 10);
    assert_eq!(burst.frame(0).meta().checksum, Checksum::Complete);
}

#[test]
fn the_checksum_of_an_ipv4_header_is_filled_in() {
    for (front, options) in [(0, 0), (0, 10), (100, 10)] {
        let sample = Sample { ip_options: options, ..udp(500) };
        let mut bytes = vec![0x22; front];
        bytes.extend(sample.build(Field::Right));
        let at = front + 14;
        bytes[at + 10..at + 12].fill(0xab);
        let spec = Spec { ipv4_checksum_at: Some(u16::try_from(at).unwrap()), ..Spec::default() };
        let burst = commit(&bytes, &spec).unwrap();
        let header = burst.frame(0).header();
        assert_eq!(
            sum(&header[at..at + 20 + 4 * options]),
            0xffff,
            "at {at} with {options} words of options"
        );
    }
}

#[test]
fn an_ipv4_checksum_goes_nowhere_but_into_an_ipv4_header() {
    let good = udp(300).build(Field::Right);
    let mut v6 = good.clone();
    v6[14] = 0x65;
    let mut stump = good.clone();
    stump[14] = 0x44;
    let cut = &good[..14 + 19];
    for (bytes, at) in
        [(&v6[..], 14), (&stump, 14), (cut, 14), (&good, 4), (&good, 0), (&good, 299), (&good, u16::MAX)]
    {
        let spec = Spec { ipv4_checksum_at: Some(at), ..Spec::default() };
        assert_eq!(
            error(commit(bytes, &spec)),
            Some(Malformed::BadChecksumOffset),
            "{} at {at}",
            bytes.len()
        );
    }
}

#[test]
fn n01_n02_checksum_places_outside_of_the_frame() {
    let bytes = udp(200).build(Field::Right);
    let end = u16::try_from(bytes.len()).unwrap();
    let bad = Some(Malformed::BadChecksumOffset);
    for (start, offset, expected) in [
        (end, 0, bad),
        (end - 1, 0, bad),
        (end - 2, 0, None),
        (34, end - 34 - 2, None),
        (34, end - 34 - 1, bad),
        (u16::MAX, u16::MAX, bad),
        (0, 0, bad),
        (13, 20, bad),
        (14, 0, None),
        (15, 1, None),
    ] {
        assert_eq!(error(commit(&bytes, &checksum(start, offset))), expected, "{start} + {offset}");
    }
    let long = udp(2000).build(Field::Right);
    assert_eq!(error(commit(&long, &checksum(34, 512))), Some(Malformed::HeaderTooLong));
}

#[test]
fn n02_a_checksum_is_not_written_over_addresses_when_the_tag_is_gone() {
    let bytes = Sample { tags: vec![5], ..udp(200) }.build(Field::Right);
    for (start, expected) in
        [(14, Some(Malformed::BadChecksumOffset)), (17, Some(Malformed::BadChecksumOffset)), (18, None)]
    {
        assert_eq!(error(commit(&bytes, &checksum(start, 0))), expected, "start {start}");
    }
}

#[test]
fn n03_n04_n05_segmentation_that_makes_no_sense() {
    use GsoKind::{TcpV4, TcpV6, UdpV4};
    let sample = Sample { proto: Proto::Tcp, ..udp(60_000) };
    let bytes = sample.build(Field::PseudoHeader);
    let bad = Some(Malformed::BadSegmentation);
    for (kind, mss, offsets, expected) in [
        (TcpV4, 1448, [14, 34, 54], None),
        (TcpV4, 0, [14, 34, 54], bad),
        (TcpV4, 1, [14, 34, 54], bad),
        (TcpV4, 29, [14, 34, 54], bad),
        (TcpV4, 30, [14, 34, 54], None),
        (TcpV4, u16::MAX, [14, 34, 54], None),
        (TcpV4, 1448, [14, 34, 53], bad),
        (TcpV4, 1448, [14, 34, 34], bad),
        (TcpV4, 1448, [0, 34, 54], bad),
        (TcpV4, 1448, [34, 14, 54], bad),
        (TcpV4, 1448, [14, 34, 13], bad),
        (TcpV4, 1448, [14, 34, 0], bad),
        (TcpV4, 1448, [14, 34, u16::MAX], bad),
        (TcpV4, 1448, [u16::MAX, u16::MAX, 60_000], Some(Malformed::HeaderTooLong)),
        (TcpV6, 1448, [14, 34, 54], bad),
        (UdpV4, 1448, [14, 34, 42], bad),
    ] {
        assert_eq!(error(commit(&bytes, &gso(kind, mss, offsets))), expected, "{kind:?} {mss} {offsets:?}");
    }
    let mut fragment = bytes;
    fragment[20] = 0x20;
    assert_eq!(error(commit(&fragment, &gso(TcpV4, 1448, [14, 34, 54]))), bad, "a fragment");
}

#[test]
fn n06_offloads_on_a_frame_without_layer_4_stay_inside_of_it() {
    let mut arp = vec![0xff; 12];
    arp.extend([8, 6]);
    arp.resize(42, 1);
    let burst = commit(&arp, &Spec { pad_to: 60, ..checksum(20, 6) }).unwrap();
    assert_eq!(burst.frame(0).len(), 60);
    assert_eq!(error(commit(&arp, &gso(GsoKind::TcpV4, 8, [14, 34, 40]))), Some(Malformed::BadSegmentation));
}

#[test]
fn n08_frames_shorter_than_an_ethernet_header() {
    for length in [0, 1, 12, 13] {
        assert_eq!(
            error(commit(&vec![0; length], &Spec::default())),
            Some(Malformed::TooShort),
            "{length} bytes"
        );
    }
    for length in [14, 17, 59] {
        let burst = commit(&vec![0x81; length], &Spec { pad_to: 60, ..Spec::default() }).unwrap();
        assert_eq!(burst.frame(0).len(), 60, "{length} bytes");
    }
    // A tag that is cut stays in the bytes.
    let mut cut = vec![2; 12];
    cut.extend([0x81, 0, 0, 5]);
    let burst = commit(&cut, &Spec::default()).unwrap();
    assert_eq!((burst.frame(0).meta().tag, burst.frame(0).len()), (None, 16));
}

#[test]
fn n14_headers_may_cross_pages_and_regions() {
    let domain = memory();
    let bytes = udp(700).build(Field::Right);
    for address in [FIRST + PAGE - 9, SECOND - 9, SECOND - 1] {
        let burst = commit_at(&domain, address, &bytes, &Spec::default()).unwrap();
        assert_eq!(burst.frame(0).header(), &bytes[..128]);
    }
}

#[test]
fn r06_a_frame_of_many_small_pieces_uses_up_the_burst_and_no_more() {
    let domain = memory();
    let mut burst = Burst::new();
    burst.begin(domain.view());
    let bytes = udp(1024 - 42).build(Field::Right);
    scatter(&domain.view(), &mut burst, FIRST, &bytes, &[1]);
    burst.commit(&Spec::default()).unwrap();
    assert_eq!(burst.frame(0).header(), &bytes[..128]);
    for _ in 1024..MAX_SLICES {
        burst.gather(FIRST, 1).unwrap();
    }
    assert_eq!(burst.gather(FIRST, 1), Err(Malformed::TooManyBuffers));
    assert_eq!(burst.gathered(), 0, "the frame is forgotten");
    assert_eq!(burst.len(), 1);
    assert_eq!(burst.frame(0).len(), 1024, "the frame before is not");
}

#[test]
fn r07_buffers_of_no_bytes_are_passed_over_wherever_they_are() {
    let mut burst = Burst::new();
    burst.begin(memory().view());
    for address in [0, HOLE, u64::MAX] {
        assert_eq!(burst.gather(address, 0), Ok(()));
    }
    assert_eq!(burst.commit(&Spec::default()), Err(Malformed::TooShort));
}

#[test]
fn r09_buffers_outside_of_the_memory() {
    for (address, length, expected) in [
        (HOLE, 1, Some(Malformed::DmaFault)),
        (HOLE - 50, 51, Some(Malformed::DmaFault)),
        (HOLE - 50, 50, None),
        (SECOND - 50, 100, None),
        (FIRST - 1, 60, Some(Malformed::DmaFault)),
        (READ_ONLY, 60, None),
        (u64::MAX, 2, Some(Malformed::DmaFault)),
        (u64::MAX - 10, 60, Some(Malformed::DmaFault)),
    ] {
        let mut burst = Burst::new();
        burst.begin(memory().view());
        assert_eq!(burst.gather(address, length).err(), expected, "{length} bytes at {address:#x}");
        assert_eq!(burst.gathered(), if expected.is_none() { length } else { 0 });
    }
}

#[test]
fn a_burst_takes_32_frames() {
    let domain = memory();
    let mut burst = Burst::new();
    burst.begin(domain.view());
    for n in 0..BURST {
        assert!(!burst.is_full());
        burst.gather(FIRST, 60 + n).unwrap();
        burst.commit(&Spec::default()).unwrap();
    }
    assert!(burst.is_full());
    burst.gather(FIRST, 60).unwrap();
    assert_eq!(burst.commit(&Spec::default()), Err(Malformed::TooManyBuffers));
    assert_eq!(burst.frame(BURST - 1).len(), 60 + BURST - 1);
    burst.clear();
    assert!(burst.is_empty());
    assert_eq!(burst.gather(FIRST, 60), Err(Malformed::DmaFault), "no memory is held any more");
}

#[test]
fn a_looker_on_reads_any_part_of_a_frame_and_nothing_beyond() {
    let domain = memory();
    let mut bytes = udp(1000).build(Field::Right);
    bytes.splice(12..12, [0x81, 0, 0, 7]);
    let burst = commit_at(&domain, FIRST, &bytes, &Spec::default()).unwrap();
    bytes.drain(12..16);
    let frame = burst.frame(0);
    for (from, length) in [(0, 14), (0, bytes.len()), (100, 60), (500, 1), (bytes.len(), 0)] {
        let mut found = vec![0; length];
        frame.read(from, &mut found).unwrap();
        assert_eq!(found, bytes[from..from + length], "{length} from {from}");
    }
    for (from, length) in [(0, bytes.len() + 1), (bytes.len(), 1), (usize::MAX - 600, 1)] {
        assert_eq!(frame.read(from, &mut vec![0; length]), Err(Refusal::DmaFault), "{length} from {from}");
    }
}

#[test]
fn a_frame_of_softiovs_own() {
    let mut burst = Burst::new();
    let bytes: Vec<u8> = (0..60).collect();
    burst.insert(&bytes).unwrap();
    assert_eq!((burst.len(), burst.frame(0).header(), burst.frame(0).len()), (1, &bytes[..], 60));
    assert_eq!(burst.insert(&bytes[..13]), Err(Malformed::TooShort));
    while !burst.is_full() {
        burst.insert(&bytes).unwrap();
    }
    assert_eq!(burst.insert(&bytes), Err(Malformed::TooManyBuffers));
}
