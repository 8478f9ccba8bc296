//! Drivers that lie in the header of a frame: rows N of the catalogue.

use port::{Malformed, Put};
use proptest::prelude::*;

use crate::Features;
use crate::testing::frames::{Packet, TCP, plain};
use crate::testing::{Receiver, SECOND, Sender, TX_BUFFERS, Vm, forward};

const HOST: Features = Features::CSUM.union(Features::HOST_TSO4).union(Features::HOST_TSO6);

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// N01 to N06: any header in front of any packet: a frame that can be delivered, or a counted drop.
    #[test]
    fn n01_to_n06_random_headers(
        header in any::<[u8; 12]>(),
        small in any::<bool>(),
        payload in 0..3000_usize,
        v6 in any::<bool>(),
    ) {
        let (mut a, mut b) = (Vm::new(Features::all().difference(Features::RING_PACKED)), Vm::new(Features::MRG_RXBUF));
        let mut sender = Sender::new(a.ring(1, 16));
        let features = Features::MRG_RXBUF | Features::VERSION_1;
        let mut receiver = Receiver::new(b.ring(0, 1024), &[1000], features);
        receiver.fill(&b.view(), 1024);
        let mut header = header;
        if small {
            header[1] &= 0x85;
            header[5] = 0;
            header[7] = 0;
            header[9] = 0;
        }
        let frame = Packet { payload, v6, ..TCP }.build();
        prop_assert!(sender.send(&a.view(), &header, &frame, &[]));
        let end = forward(&mut a.queues, &mut b.queues);
        sender.ring.take(&a.view());
        let drops: u64 = a.malformed().iter().map(|one| one.1).sum();
        let frames = receiver.receive(&b.view()).len();
        prop_assert!(drops == 1 && frames == 0 || drops == 0 && (frames > 0 || end != Put::Done), "{end:?}");
        prop_assert_eq!(sender.ring.outstanding() == 0, !matches!(end, Put::Full { .. }));
    }
}

/// The frame with this header is dropped for this reason.
fn refused(features: Features, header: &[u8], frame: &[u8], reason: Malformed) {
    let mut vm = Vm::new(features);
    let mut sender = Sender::new(vm.ring(1, 16));
    assert!(sender.send(&vm.view(), header, frame, &[]));
    assert_eq!(vm.take().len(), 0);
    assert_eq!(vm.malformed(), vec![(reason, 1)]);
    assert_eq!(sender.ring.take(&vm.view()).len(), 1);
}

/// `TCP`'s header with a 16-bit field changed.
fn with(mut header: Vec<u8>, at: usize, value: usize) -> Vec<u8> {
    header[at..at + 2].copy_from_slice(&u16::try_from(value).unwrap().to_le_bytes());
    header
}

#[test]
fn n01_checksum_start_beyond_the_frame() {
    let frame = TCP.build();
    for start in [frame.len() + 1, frame.len(), 0xffff] {
        refused(HOST, &with(TCP.checksum_header(), 6, start), &frame, Malformed::BadChecksumOffset);
    }
    refused(HOST, &with(TCP.checksum_header(), 6, 13), &frame, Malformed::BadChecksumOffset);
}

#[test]
fn n02_checksum_field_beyond_the_frame() {
    let frame = TCP.build();
    for offset in [frame.len() - 34 - 1, frame.len() - 34, 0xffff] {
        refused(HOST, &with(TCP.checksum_header(), 8, offset), &frame, Malformed::BadChecksumOffset);
    }
    // Within the frame, but not within what can be headers.
    refused(HOST, &with(TCP.checksum_header(), 8, 1000), &frame, Malformed::HeaderTooLong);
}

#[test]
fn n03_segment_sizes_q02() {
    let big = Packet { payload: 60_000, ..TCP };
    refused(HOST, &TCP.gso_header(0), &TCP.build(), Malformed::BadSegmentation);
    refused(HOST, &big.gso_header(1), &big.build(), Malformed::BadSegmentation);
    refused(HOST, &TCP.gso_header(100), &TCP.build()[..54], Malformed::BadSegmentation);
    let mut vm = Vm::new(HOST);
    let mut sender = Sender::new(vm.ring(1, 16));
    assert!(sender.send(&vm.view(), &TCP.gso_header(0xffff), &TCP.build(), &[]));
    assert_eq!(vm.take().len(), 1, "more than the frame has: one segment");
}

#[test]
fn n05_segmentation_of_what_it_does_not_fit() {
    let all = Features::all().difference(Features::RING_PACKED);
    let tcp = TCP.build();
    let udp = Packet { tcp: false, ..TCP }.build();
    let mut fragment = tcp.clone();
    fragment[20] = 0x20;
    for (kind, frame, reason) in [
        (1, &udp, Malformed::BadSegmentation),
        (4, &tcp, Malformed::BadSegmentation),
        (5, &tcp, Malformed::BadSegmentation),
        (1, &plain(1, 500), Malformed::BadSegmentation),
        (1, &fragment, Malformed::BadSegmentation),
        (3, &udp, Malformed::Unsupported),
        (7, &tcp, Malformed::Unsupported),
        (0x80, &tcp, Malformed::Unsupported),
    ] {
        let mut header = TCP.gso_header(1000);
        header[1] = kind;
        refused(all, &header, frame, reason);
    }
}

#[test]
fn n06_offloads_that_were_not_negotiated() {
    refused(Features::CSUM, &TCP.gso_header(1000), &TCP.build(), Malformed::Unsupported);
    refused(HOST, &[0, 0x81, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], &TCP.build(), Malformed::Unsupported);
    // Without any the header says nothing.
    let mut vm = Vm::new(Features::empty());
    let mut sender = Sender::new(vm.ring(1, 16));
    let small = Packet { payload: 500, ..TCP };
    assert!(sender.send(&vm.view(), &small.gso_header(1000), &small.build(), &[]));
    let meta = vm.take()[0].1;
    assert!(meta.gso.is_none() && meta.checksum == port::Checksum::Unverified);
    // Nothing at layer 4, nothing to fill in.
    refused(HOST, &TCP.checksum_header(), &plain(1, 30), Malformed::BadChecksumOffset);
}

#[test]
fn n14_a_header_in_pieces_and_across_pages() {
    for cuts in [vec![1], vec![11, 1], vec![5, 20]] {
        let mut vm = Vm::new(HOST);
        let mut sender = Sender::new(vm.ring(1, 16));
        assert!(sender.send(&vm.view(), &TCP.gso_header(1000), &TCP.build(), &cuts));
        assert!(vm.take()[0].1.gso.is_some());
    }
    let mut vm = Vm::new(HOST);
    let mut sender = Sender::new(vm.ring(1, 16));
    for at in [0x1000 - 5, SECOND - TX_BUFFERS - 5] {
        let address = TX_BUFFERS + at;
        vm.view().write_bytes(address, &[&TCP.gso_header(1000)[..], &TCP.build()].concat()).unwrap();
        sender.ring.add(&vm.view(), &[(address, 12 + 3054)], &[]).unwrap();
        assert!(vm.take()[0].1.gso.is_some());
    }
}

#[test]
fn n14_a_received_header_in_pieces() {
    let mut vm = Vm::new(Features::empty());
    let mut receiver = Receiver::new(vm.ring(0, 64), &[1, 3, 8, 20, 100], Features::VERSION_1);
    receiver.fill(&vm.view(), 4);
    assert_eq!(crate::testing::put(&mut vm, &plain(3, 90), &port::Spec::default()), Put::Done);
    let (header, frame) = receiver.receive(&vm.view()).remove(0);
    assert_eq!((header, frame), (vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0], plain(3, 90)));
}
