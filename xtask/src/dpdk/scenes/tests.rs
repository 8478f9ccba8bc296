use super::super::client::RECEIVER_RING;
use super::*;

#[test]
fn every_value_occurs_with_each_kind_of_ring() {
    for packed in [false, true] {
        let some = |is: fn(&Scene) -> bool| ALL.iter().any(|scene| scene.form.packed == packed && is(scene));
        assert!(some(|scene| scene.form.mergeable) && some(|scene| !scene.form.mergeable));
        assert!(some(|scene| scene.form.in_order) && some(|scene| !scene.form.in_order));
        assert!(some(|scene| scene.form.vectorised) && some(|scene| scene.killed_before));
        assert!(some(|scene| scene.queues == 1) && some(|scene| scene.queues == 2));
        assert!(some(|scene| scene.client_listens) && some(|scene| !scene.client_listens));
    }
    for client_listens in [false, true] {
        assert!(ALL.iter().any(|scene| scene.killed_before && scene.client_listens == client_listens));
    }
}

#[test]
fn what_is_sent_at_a_time_fits_in_a_receive_ring() {
    let route = Route { from: 1, to: 2 };
    let buffers: usize =
        (0..FRAMES).map(|number| (frames::make(number, route).len() + 12).div_ceil(2048)).sum();
    assert!(buffers <= RECEIVER_RING as usize, "{buffers}");
}
