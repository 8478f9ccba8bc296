use std::os::fd::AsFd;

use ethernet::{Gso, GsoKind, VlanTag};
use guest_memory::{Access, DmaDomain, Limits, MapRequest};
use port::{Burst, Checksum, Frame, HEADER_MAX, Pieces, Segmentation, Spec, Whole};
use proptest::prelude::*;
use rustix::fs::MemfdFlags;

use super::{passes_whole, write_piece, write_whole};
use crate::vnet::{VNET_HEADER, VnetHeader};

const OUT: u64 = 0x10_0000;
const SCRATCH: u64 = 0x20_0000;
const SIZE: u64 = 0x30_0000;

fn memory() -> DmaDomain {
    let domain = DmaDomain::new(Limits::default());
    let fd = rustix::fs::memfd_create("guest", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&fd, SIZE).unwrap();
    let request =
        MapRequest { iova: 0, size: SIZE, offset: 0, writable: true, readable: true, fd: fd.as_fd() };
    domain.map(request).unwrap();
    domain
}

/// A frame to be cut, whose sender left lengths and checksums to the adapter.
#[derive(Clone, Debug)]
struct Sample {
    bytes: Vec<u8>,
    spec: Spec,
}

fn sample(v6: bool, udp: bool, options: usize, mss: u16, payload: usize) -> Sample {
    let mut bytes = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    let protocol = if udp { 17 } else { 6 };
    if v6 {
        bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, protocol, 64]);
        bytes.extend((0..32).map(|n| n * 5));
    } else {
        bytes
            .extend([8, 0, 0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    }
    let l4 = bytes.len();
    if udp {
        bytes.extend([0, 7, 0, 9, 0, 0, 0, 0]);
    } else {
        let words = u8::try_from(5 + options).unwrap();
        bytes.extend([0, 7, 0, 9, 1, 2, 3, 4, 0, 0, 0, 0, words << 4, 0x19, 1, 0, 0, 0, 0, 0]);
        bytes.extend(vec![1; 4 * options]);
    }
    let to_u16 = |n: usize| u16::try_from(n).unwrap();
    let kind = match (v6, udp) {
        (false, false) => GsoKind::TcpV4,
        (true, false) => GsoKind::TcpV6,
        (false, true) => GsoKind::UdpV4,
        (true, true) => GsoKind::UdpV6,
    };
    let gso = Gso { kind, mss, header_len: to_u16(bytes.len()) };
    bytes.extend((0..payload).map(|n| (n * 7 / 3).to_le_bytes()[0]));
    let mut spec = Spec { pad_to: 60, ..Spec::default() };
    spec.meta.gso = Some(Segmentation { gso, l3_offset: 14, l4_offset: to_u16(l4) });
    Sample { bytes, spec }
}

fn in_burst(domain: &DmaDomain, at: u64, length: usize, spec: &Spec) -> Burst {
    let mut burst = Burst::new();
    burst.begin(domain.view());
    burst.gather(at, length).unwrap();
    burst.commit(spec).unwrap();
    burst
}

/// All pieces of a frame as a receiver without offloads gets them.
fn pieces(domain: &DmaDomain, frame: &Frame<'_>) -> Vec<Vec<u8>> {
    let pieces = Pieces::new(frame).unwrap();
    let written = (0..pieces.count()).map(|index| {
        let mut scratch = [0; HEADER_MAX + 4];
        let piece = pieces.get(index, None, &mut scratch);
        let view = domain.view();
        piece.write(&[view.slice(SCRATCH, piece.len(), Access::Write).unwrap()]).unwrap();
        let mut bytes = vec![0; piece.len()];
        view.read_bytes(SCRATCH, &mut bytes).unwrap();
        bytes
    });
    written.collect()
}

/// Takes up what was written at [`OUT`] as if the kernel had sent it.
fn taken_up(domain: &DmaDomain, length: usize) -> Burst {
    let view = domain.view();
    let mut all = vec![0; length];
    view.read_bytes(OUT, &mut all).unwrap();
    let (header, frame) = all.split_first_chunk::<VNET_HEADER>().unwrap();
    let spec = VnetHeader::parse(*header).spec(|| ethernet::parse(frame)).unwrap();
    in_burst(domain, OUT + VNET_HEADER as u64, frame.len(), &spec)
}

fn round_trip(sample: &Sample, tag: Option<VlanTag>) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let domain = memory();
    domain.view().write_bytes(0x1000, &sample.bytes).unwrap();
    let burst = in_burst(&domain, 0x1000, sample.bytes.len(), &sample.spec);
    let frame = burst.frame(0);
    let expected = pieces(&domain, &frame);
    let plan = Pieces::new(&frame).unwrap();
    let view = domain.view();
    let mut scratch = [0; HEADER_MAX + 4];
    let length = match Whole::new(&frame, tag, &mut scratch).filter(|_| passes_whole(&frame)) {
        Some(whole) => write_whole(&view, OUT, &whole).unwrap(),
        None => write_piece(&view, OUT, &plan, 0, tag).unwrap(),
    };
    let again = taken_up(&domain, length);
    let frame = again.frame(0);
    assert_eq!(frame.meta().tag, tag);
    (expected, pieces(&domain, &frame))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_super_frame_is_cut_by_the_kernel_as_it_would_have_been_here(
        v6: bool,
        udp: bool,
        options in 0..=10_usize,
        mss in 40..3000_u16,
        payload in 1..60_000_usize,
        tag in prop::option::of(any::<u16>().prop_map(VlanTag)),
    ) {
        let sample = sample(v6, udp, options, mss, payload);
        let (expected, found) = round_trip(&sample, tag);
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn an_unfinished_checksum_comes_out_right(
        v6: bool,
        udp: bool,
        payload in 1..3000_usize,
        tag in prop::option::of(any::<u16>().prop_map(VlanTag)),
    ) {
        let mut sample = sample(v6, udp, 0, 1000, payload);
        let cut = sample.spec.meta.gso.take().unwrap();
        sample.spec.meta.checksum = Checksum::Partial { start: cut.l4_offset, offset: if udp { 6 } else { 16 } };
        let (expected, found) = round_trip(&sample, tag);
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn n02_an_unfinished_checksum_elsewhere_is_finished_here() {
    let mut sample = sample(false, false, 0, 1000, 200);
    sample.spec.meta.gso = None;
    for (start, offset) in [(34, 18), (35, 16), (20, 0), (34, 50)] {
        sample.spec.meta.checksum = Checksum::Partial { start, offset };
        let domain = memory();
        domain.view().write_bytes(0x1000, &sample.bytes).unwrap();
        let burst = in_burst(&domain, 0x1000, sample.bytes.len(), &sample.spec);
        let frame = burst.frame(0);
        let length = write_piece(&domain.view(), OUT, &Pieces::new(&frame).unwrap(), 0, None).unwrap();
        let again = taken_up(&domain, length);
        assert_eq!(again.frame(0).meta().checksum, Checksum::Unverified, "{start} {offset}");
        assert_eq!(pieces(&domain, &again.frame(0)), pieces(&domain, &frame));
    }
}

#[test]
fn what_the_kernel_cannot_be_told_of_is_not_passed_whole() {
    let whole = |sample: &Sample| {
        let domain = memory();
        domain.view().write_bytes(0x1000, &sample.bytes).unwrap();
        let burst = in_burst(&domain, 0x1000, sample.bytes.len(), &sample.spec);
        let frame = burst.frame(0);
        passes_whole(&frame) && Whole::new(&frame, None, &mut [0; HEADER_MAX + 4]).is_some()
    };
    assert!(whole(&sample(false, false, 0, 1448, 65_495)));
    assert!(!whole(&sample(false, false, 0, 1448, 65_496)), "longer than IP's length field");
    // The same packet, in a tunnel: another Ethernet, IPv4 and GRE header in front.
    let mut tunnelled = sample(false, false, 0, 1448, 5000);
    let mut outer = tunnelled.bytes[..34].to_vec();
    outer[23] = 47;
    outer.extend([0, 0, 8, 0]);
    outer.extend(&tunnelled.bytes[14..]);
    tunnelled.bytes = outer;
    let cut = tunnelled.spec.meta.gso.as_mut().unwrap();
    for offset in [&mut cut.gso.header_len, &mut cut.l3_offset, &mut cut.l4_offset] {
        *offset += 24;
    }
    assert!(!whole(&tunnelled), "encapsulated");
}
