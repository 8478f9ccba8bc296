//! Guests on synthetic adapters.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use vhost::vhost_user::Frontend;

use crate::common::daemon::{Daemon, Host, vms};
use crate::common::driver::Guest;
use crate::common::frames::{BROADCAST, mac, number, numbered};
use crate::common::front_end::SyntheticGuest;
use crate::common::wait_until;

/// `vfs` VMs with VFs, then `synthetic` ones without VF, of which the first has a VM queue.
fn daemon(vfs: usize, synthetic: usize) -> Daemon {
    Daemon::start(
        Host::new(),
        &vms(vfs + synthetic, &format!("total_vfs = {}\npf_vports = 1", vfs.max(1)), ""),
    )
}

/// All VMs on the extensible switch.
fn all_synthetic(count: usize, lines: &str) -> Daemon {
    Daemon::start(Host::new(), &vms(count, "", &format!("iov_weight = 0\nvmq_weight = 0\n{lines}")))
}

fn socket(daemon: &Daemon, n: usize) -> PathBuf {
    daemon.host.runtime_dir().join(format!("vm{n}-net0.net"))
}

fn boot(daemon: &Daemon, n: usize) -> SyntheticGuest {
    SyntheticGuest::boot(&socket(daemon, n), mac(n))
}

/// What `show` says of the adapter of VM number `n`.
fn adapter(daemon: &Daemon, n: usize) -> serde_json::Value {
    daemon.json(&["show"])["vms"][n]["adapters"][0].clone()
}

#[test]
fn frames_pass_between_synthetic_adapters_and_vfs_and_broadcasts_come_once() {
    let daemon = daemon(1, 2);
    let mut vf = Guest::boot(&daemon.socket(0));
    let (mut queue, mut switch) = (boot(&daemon, 1), boot(&daemon, 2));
    vf.send(&numbered(queue.mac, vf.mac, 1, 60));
    assert_eq!(number(&queue.receive()), 1);
    vf.send(&numbered(switch.mac, vf.mac, 2, 60));
    assert_eq!(number(&switch.receive()), 2);
    queue.send(&numbered(switch.mac, queue.mac, 3, 60));
    assert_eq!(number(&switch.receive()), 3);
    switch.send(&numbered(queue.mac, switch.mac, 4, 60));
    assert_eq!(number(&queue.receive()), 4);
    switch.send(&numbered(vf.mac, switch.mac, 5, 60));
    assert_eq!(number(&vf.receive()), 5);
    switch.send(&numbered(BROADCAST, switch.mac, 6, 60));
    assert_eq!((number(&vf.receive()), number(&queue.receive())), (6, 6));
    vf.send(&numbered(BROADCAST, vf.mac, 7, 60));
    assert_eq!((number(&queue.receive()), number(&switch.receive())), (7, 7));
    // Whatever came twice would be there before this.
    queue.send(&numbered(vf.mac, queue.mac, 8, 60));
    queue.send(&numbered(switch.mac, queue.mac, 9, 60));
    switch.send(&numbered(queue.mac, switch.mac, 10, 60));
    assert_eq!((number(&vf.receive()), number(&switch.receive()), number(&queue.receive())), (8, 9, 10));
    // What the VF sent to the VM with a queue passed the extensible switch by.
    assert_eq!(adapter(&daemon, 1)["synthetic"]["direct"], 1, "{}", adapter(&daemon, 1));
    assert_eq!(adapter(&daemon, 2)["synthetic"]["direct"], 0);
}

#[test]
fn l01_a_stream_survives_rebuilds_without_a_frame_lost_doubled_or_reordered() {
    const FRAMES: u64 = 20_000;
    let daemon = all_synthetic(2, "");
    let (mut a, mut b) = (boot(&daemon, 0), boot(&daemon, 1));
    let (to, from) = (b.mac, a.mac);
    std::thread::scope(|scope| {
        let sender = scope.spawn(move || {
            (0..FRAMES).for_each(|n| a.send(&numbered(to, from, n, 60)));
            a
        });
        let receiver = scope.spawn(move || {
            for n in 0..FRAMES {
                assert_eq!(number(&b.receive()), n);
            }
            b
        });
        let mut rebuilds = 0;
        while !receiver.is_finished() {
            assert!(daemon.host.cli(&["datapath", "rebuild"]).status.success());
            rebuilds += 1;
        }
        let (_a, mut b) = (sender.join().unwrap(), receiver.join().unwrap());
        assert!(rebuilds >= 2, "{rebuilds}");
        assert!(b.received().is_none());
    });
}

#[test]
fn the_newest_front_end_with_rings_has_the_adapter_and_the_one_before_gets_it_back() {
    let daemon = all_synthetic(2, "");
    let (mut source, mut peer) = (boot(&daemon, 0), boot(&daemon, 1));
    peer.send(&numbered(source.mac, peer.mac, 1, 60));
    assert_eq!(number(&source.receive()), 1);
    // A destination that waits for its guest changes nothing.
    let waiting = Frontend::connect(socket(&daemon, 0), 2).unwrap();
    peer.send(&numbered(source.mac, peer.mac, 2, 60));
    assert_eq!(number(&source.receive()), 2);
    let mut destination = SyntheticGuest::with(waiting, mac(0));
    peer.send(&numbered(source.mac, peer.mac, 3, 60));
    assert_eq!(number(&destination.receive()), 3);
    destination.send(&numbered(peer.mac, destination.mac, 4, 60));
    assert_eq!(number(&peer.receive()), 4);
    assert!(source.received().is_none());
    drop(destination);
    wait_until("the source to have its adapter again", || {
        peer.send(&numbered(source.mac, peer.mac, 5, 60));
        source.received().is_some()
    });
    drop(source);
    wait_until("the NIC to be disconnected", || {
        adapter(&daemon, 0)["synthetic"]["device"]["connected"] == false
    });
}

#[test]
fn v36_a_client_comes_back_to_the_socket_of_a_vmm_again_and_again() {
    let daemon = all_synthetic(2, "vhost_user = \"client\"");
    for round in 0..3 {
        let guests = [0, 1].map(|n| {
            let path = socket(&daemon, n);
            let listener = UnixListener::bind(&path).unwrap();
            let (stream, _) = listener.accept().unwrap();
            std::fs::remove_file(path).unwrap();
            SyntheticGuest::with(Frontend::from_stream(stream, 2), mac(n))
        });
        let [mut a, mut b] = guests;
        a.send(&numbered(b.mac, a.mac, round, 60));
        assert_eq!(number(&b.receive()), round);
        wait_until("the buffer to come back", || a.has_sent_all());
    }
}

#[test]
fn q07_a_hundred_front_ends_come_and_go_and_nothing_is_left() {
    let daemon = all_synthetic(2, "");
    let mut peer = boot(&daemon, 1);
    let mut once = |n: u64| {
        let mut guest = boot(&daemon, 0);
        guest.send(&numbered(peer.mac, guest.mac, n, 60));
        assert_eq!(number(&peer.receive()), n);
        drop(guest);
        wait_until("the front end to be gone", || {
            adapter(&daemon, 0)["synthetic"]["device"]["connected"] == false
        });
        (daemon.fds(), daemon.guest_mappings())
    };
    let first = once(0);
    assert_eq!((1..100).map(&mut once).last(), Some(first));
}

#[test]
fn m02_memory_truncated_under_the_device_ends_that_session_and_no_other() {
    let daemon = all_synthetic(3, "");
    let (mut a, mut b) = (boot(&daemon, 0), boot(&daemon, 1));
    // Sealed while the device has it: so this one cannot be truncated, and one that cannot be sealed is refused.
    let victim = boot(&daemon, 2);
    assert!(victim.memory().file().set_len(0).is_err());
    drop(victim);
    for n in 0..100 {
        a.send(&numbered(mac(2), a.mac, n, 60));
        a.send(&numbered(b.mac, a.mac, n, 60));
        assert_eq!(number(&b.receive()), n);
    }
    assert!(a.received().is_none());
}
