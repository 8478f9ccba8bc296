use super::*;

#[test]
fn what_needs_the_control_queue_is_offered_with_it_only() {
    let needs = Features::CTRL_VQ | Features::NEEDS_CONTROL_QUEUE;
    let without = Features::offered(Offer { multiqueue: true, control_queue: false });
    assert!(!without.intersects(needs));
    assert!(without.contains(Features::MQ), "vhost-user enables rings by itself");
    assert_eq!(Features::offered(Offer { multiqueue: true, control_queue: true }), Features::all());
    let single = Features::offered(Offer { multiqueue: false, control_queue: true });
    assert!(!single.intersects(Features::MQ | Features::RSS));
}

#[test]
fn features_without_their_needs_do_not_count() {
    for (chosen, effective) in [
        (Features::GUEST_TSO4, Features::empty()),
        (Features::GUEST_TSO4 | Features::GUEST_ECN, Features::empty()),
        (Features::GUEST_CSUM | Features::GUEST_ECN, Features::GUEST_CSUM),
        (Features::HOST_USO | Features::HOST_ECN, Features::empty()),
        (Features::CTRL_RX, Features::empty()),
        (Features::RING_PACKED, Features::empty()),
        (Features::all(), Features::all()),
    ] {
        assert_eq!(chosen.effective(), effective, "{chosen:?}");
    }
}

#[test]
fn header_lengths() {
    assert_eq!(Features::empty().header_len(), 10);
    assert_eq!(Features::MRG_RXBUF.header_len(), 12);
    assert_eq!(Features::VERSION_1.header_len(), 12);
}
