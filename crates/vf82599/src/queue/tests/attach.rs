//! Another data half over the state that one left: nothing is lost, nothing comes twice.

use port::{Port, Put};

use super::driver::{self, Context, EOP, RS, Registers, RxRing, TSE, TXSM, TxRing};
use super::frames::{plain, segment, tcp};
use super::rig::{TX_BUFFERS, Vf, forward};
use crate::registers::{CONTROL, tx};

const TCP: Context =
    Context { vlan: 0, mac_len: 14, ip_len: 20, ipv4: true, l4: 1, l4_len: 20, mss: 1000, slot: 0 };

/// Posts a TCP frame of `payload` bytes to be cut into segments of 1,000.
fn post_tso(vf: &mut Vf, ring: &mut TxRing, payload: usize) {
    let (view, bytes) = (vf.view(), tcp(payload));
    view.write_bytes(TX_BUFFERS, &bytes).unwrap();
    ring.post(&view, TCP.words());
    ring.post(&view, driver::data(TX_BUFFERS, bytes.len(), EOP | RS | TSE, TXSM));
    ring.ring_doorbell(&mut vf.state);
}

fn drain(vf: &Vf, ring: &mut RxRing) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| ring.receive(&vf.view())).map(|frame| frame.bytes).collect()
}

#[test]
fn frames_that_wait_in_the_rings_are_delivered_by_the_next_data_path() {
    let (mut from, mut to) = (Vf::new(), Vf::new());
    let (mut sent, mut received) = (from.tx(0, 64), to.rx(0, 16, 2, 0));
    let mut arrived = vec![];
    for n in 0..60 {
        from.send(&mut sent, &plain(n, 60));
    }
    while from.queues.has_work() {
        forward(&mut from.queues, &mut to.queues);
        from.reattach();
        to.reattach();
        arrived.extend(drain(&to, &mut received));
        received.fill(&to.view(), &mut to.state);
    }
    assert_eq!(arrived, (0..60).map(|n| plain(n, 60)).collect::<Vec<_>>());
    assert!(sent.is_done(&from.view(), 59));
}

#[test]
fn a_segmented_frame_goes_on_at_the_segment_where_it_was_held() {
    let (mut from, mut to) = (Vf::new(), Vf::new());
    let (mut sent, mut received) = (from.tx(0, 64), to.rx(0, 8, 2, 0));
    post_tso(&mut from, &mut sent, 30_500);
    let mut payload: Vec<u8> = vec![];
    for round in 0..5 {
        let put = forward(&mut from.queues, &mut to.queues);
        let expected = if round < 4 { Put::Full { next: 7 * (round + 1) } } else { Put::Done };
        assert_eq!(put, expected);
        assert_eq!(from.tx_head(0), if round < 4 { 0 } else { 2 });
        from.reattach();
        for frame in drain(&to, &mut received) {
            let (sequence, data) = segment(&frame);
            assert_eq!(sequence, payload.len());
            payload.extend(data);
        }
        received.fill(&to.view(), &mut to.state);
    }
    assert_eq!(payload, tcp(30_500)[54..]);
}

#[test]
fn what_was_delivered_of_a_frame_is_void_when_the_driver_starts_the_ring_over() {
    for reattach_first in [false, true] {
        let (mut from, mut to) = (Vf::new(), Vf::new());
        let (mut sent, mut received) = (from.tx(0, 64), to.rx(0, 8, 2, 0));
        post_tso(&mut from, &mut sent, 30_500);
        assert_eq!(forward(&mut from.queues, &mut to.queues), Put::Full { next: 7 });
        drain(&to, &mut received);
        received.fill(&to.view(), &mut to.state);
        if reattach_first {
            from.reattach();
        }
        let mut sent = from.tx(0, 64);
        // The data path that comes after the driver has started over sees nothing of that happening.
        from.reattach();
        post_tso(&mut from, &mut sent, 3000);
        assert_eq!(forward(&mut from.queues, &mut to.queues), Put::Done);
        let frames = drain(&to, &mut received);
        assert_eq!(frames.iter().map(|f| segment(f).0).collect::<Vec<_>>(), [0, 1000, 2000]);
    }
}

#[test]
fn a_ring_disabled_in_the_middle_of_a_held_frame_forgets_it() {
    let (mut from, mut to) = (Vf::new(), Vf::new());
    let (mut sent, mut received) = (from.tx(0, 64), to.rx(0, 8, 2, 0));
    post_tso(&mut from, &mut sent, 30_500);
    assert_eq!(forward(&mut from.queues, &mut to.queues), Put::Full { next: 7 });
    from.state.write(tx(0, CONTROL), 0);
    assert_eq!(from.take().len(), 0);
    assert_eq!(drain(&to, &mut received).len(), 7);
    received.fill(&to.view(), &mut to.state);
    let mut sent = from.tx(0, 64);
    from.send(&mut sent, &plain(1, 60));
    assert_eq!(forward(&mut from.queues, &mut to.queues), Put::Done);
    assert_eq!(drain(&to, &mut received), [plain(1, 60)]);
}
