//! VMMs and guests that lie. Names begin with the row of the catalogue of hostile inputs.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::MemfdFlags;

use crate::common::daemon::Daemon;
use crate::common::driver::{Guest, MEMORY, MISC_VECTOR, Msix, QUEUE_VECTOR, message};
use crate::common::frames::{BROADCAST, mac, numbered};
use crate::common::memory::{BASE, Memory};
use crate::common::stream::Stream;
use crate::common::vmm::{Failure, Vmm, region};
use crate::common::{wait_for, wait_until};

const EINVAL: u32 = 22;
const EEXIST: u32 = 17;

/// A daemon with three VFs, two of which exchange frames all the time.
fn with_victims() -> (Daemon, Stream) {
    let daemon = Daemon::with_vms(3, "", "");
    let stream = Stream::start(Guest::boot(&daemon.socket(0)), Guest::boot(&daemon.socket(1)));
    (daemon, stream)
}

/// A guest at the third VF works.
fn third_vf_works(daemon: &Daemon) {
    let mut guest =
        wait_for("the VF takes a client", || Guest::try_boot(&daemon.socket(2), Msix::Relayed).ok());
    guest.send(&numbered(mac(0), guest.mac, 1, 60));
    wait_until("the frame is sent", || daemon.vport(2)["sent"]["frames"] != 0);
}

#[test]
fn m02_memory_truncated_under_the_device_ends_that_session_and_no_other() {
    let (daemon, stream) = with_victims();
    for _ in 0..3 {
        let mut guest = Guest::boot_in(&daemon.socket(2), Memory::unsealable(MEMORY));
        guest.send(&numbered(mac(0), guest.mac, 1, 60));
        guest.memory.file().set_len(0).unwrap();
        // The device looks at the ring, which is gone.
        guest.ring_transmit_doorbell(5);
        assert!(guest.vmm.is_closed());
        stream.advance(100);
        third_vf_works(&daemon);
    }
    daemon.wait_for_log(&["WARN", "VF 2", "truncated"]);
    stream.stop();
}

#[test]
fn m05_memory_in_files_that_can_stall_or_vanish_is_refused() {
    let (daemon, stream) = with_victims();
    let mut vmm = Vmm::connect(&daemon.socket(2)).unwrap();
    let fds = daemon.fds();
    let (pipe, _writer) = rustix::pipe::pipe().unwrap();
    let unfit: [OwnedFd; 4] = [
        File::open("/proc/self/exe").unwrap().into(),
        File::options().read(true).write(true).open("/dev/null").unwrap().into(),
        File::open("/").unwrap().into(),
        pipe,
    ];
    for fd in &unfit {
        assert_eq!(vmm.dma_map(BASE, 0x1000, 0, fd.as_fd()), Err(Failure::Refused(EINVAL)), "{fd:?}");
    }
    assert_eq!(daemon.fds(), fds, "what is refused is closed");
    daemon.wait_for_log(&["WARN", "VF 2", "memory-backend-memfd"]);
    drop(vmm);
    third_vf_works(&daemon);
    stream.stop();
}

#[test]
fn u04_impossible_dma_maps_are_refused_and_the_session_goes_on() {
    let (daemon, stream) = with_victims();
    let mut guest = Guest::boot(&daemon.socket(2));
    let memory = Memory::new(0x4000);
    let fds = daemon.fds();
    let above = BASE + MEMORY;
    for (address, size, offset, errno) in [
        (above, 0, 0, EINVAL),
        (u64::MAX - 0xfff, 0x2000, 0, EINVAL),
        (above + 1, 0x1000, 0, EINVAL),
        (above, 0x1001, 0, EINVAL),
        (above, 0x1000, 0x10, EINVAL),
        // Beyond the end of the file.
        (above, 0x1000, 0x4000, EINVAL),
        (above, 0x5000, 0, EINVAL),
        (above, 0x1000, u64::MAX - 0xfff, EINVAL),
        // Over the guest's own memory, whole and in part.
        (BASE, 0x1000, 0, EEXIST),
        (BASE - 0x1000, 0x2000, 0, EEXIST),
    ] {
        let mapped = guest.vmm.dma_map(address, size, offset, memory.file().as_fd());
        assert_eq!(
            mapped,
            Err(Failure::Refused(errno)),
            "{size:#x} bytes at {address:#x}, offset {offset:#x}"
        );
    }
    assert_eq!((daemon.fds(), daemon.guest_mappings()), (fds, 3));
    guest.send(&numbered(mac(0), guest.mac, 1, 60));
    wait_until("the session goes on", || daemon.vport(2)["sent"]["frames"] == 1);
    let rejections = daemon.device(2)["rejections"].to_string();
    assert!(rejections.contains(r#"{"count":2,"reason":"vfio_user_dma_overlap"}"#), "{rejections}");
    stream.stop();
}

#[test]
fn u19_a_client_that_maps_without_end_is_stopped_and_takes_nothing_from_others() {
    let (daemon, stream) = with_victims();
    let mut vmm = Vmm::connect(&daemon.socket(2)).unwrap();
    let before = (daemon.fds(), daemon.guest_mappings());
    let memory = Memory::new(0x1000);
    let mut mapped = 0;
    while vmm.dma_map(BASE + mapped * 0x1000, 0x1000, 0, memory.file().as_fd()).is_ok() {
        mapped += 1;
        assert!(mapped <= 4096, "there is a bound");
    }
    assert!(mapped >= 32, "{mapped}");
    stream.advance(100);
    drop(vmm);
    wait_until("the maps are gone", || daemon.guest_mappings() == before.1);
    wait_until("the client is gone", || daemon.fds() < before.0);
    third_vf_works(&daemon);
    stream.stop();
}

#[test]
fn u01_bytes_that_are_no_protocol_end_that_session_and_no_other() {
    let (daemon, stream) = with_victims();
    let fds = daemon.fds();
    for garbage in [&[0xff; 64][..], &[0; 16], b"GET / HTTP/1.1\r\nHost: softiov\r\n\r\n", &[1, 0, 1]] {
        let mut socket = UnixStream::connect(daemon.socket(2)).unwrap();
        socket.write_all(garbage).unwrap();
        drop(socket);
        wait_until("the client is gone", || daemon.device(2)["connected"] == false);
        stream.advance(10);
    }
    assert_eq!(daemon.fds(), fds);
    third_vf_works(&daemon);
    stream.stop();
}

#[test]
fn q05_a_flood_of_register_reads_does_not_stall_the_others() {
    let (daemon, stream) = with_victims();
    let mut flooder = Vmm::connect(&daemon.socket(2)).unwrap();
    flooder.write(region::CONFIG, 4, &2_u16.to_le_bytes()).unwrap();
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut accesses = 0_u64;
            while !enough.load(Ordering::Relaxed) {
                // Posted, so that the daemon always finds more to do; and one to be answered.
                for _ in 0..100 {
                    flooder.post_write(region::BAR0, 0x0104, &1_u32.to_le_bytes()).unwrap();
                }
                flooder.read(region::BAR0, 0x0008, 4).unwrap();
                accesses += 101;
            }
            accesses
        });
        let began = Instant::now();
        stream.advance(20_000);
        let elapsed = began.elapsed();
        // Whoever wants to know what is going on is answered, too.
        assert_eq!(daemon.device(2)["connected"], true);
        enough.store(true, Ordering::Relaxed);
        println!("{} accesses beside 20,000 frames in {elapsed:?}", flood.join().unwrap());
    });
    stream.stop();
}

#[test]
fn q05_a_guest_that_changes_its_receive_mode_without_end_does_not_burn_the_bus() {
    let daemon = Daemon::with_vms(256, "total_vfs = 256", "");
    let stream = Stream::start(Guest::boot(&daemon.socket(0)), Guest::boot(&daemon.socket(1)));
    let mut flooder = Guest::boot(&daemon.socket(2));
    let mut sender = Guest::boot(&daemon.socket(3));
    let requests = 10_000;
    let began = Instant::now();
    for n in 0..requests {
        // None, multicast, none ... each changes the forwarding state of the adapter. Nothing is waited for.
        flooder.post_request(&[message::UPDATE_XCAST, n & 1]);
    }
    flooder.ask(&[message::UPDATE_XCAST, 1]).unwrap();
    println!("{:?} for each of {requests} requests", began.elapsed() / requests);
    stream.advance(1000);
    // The last change is in force in the end: multicast, so that broadcasts are heard.
    wait_until("the last request is in force", || {
        sender.send(&numbered(BROADCAST, sender.mac, 1, 60));
        flooder.received().is_some()
    });
    flooder.ask(&[message::UPDATE_XCAST, 0]).unwrap();
    wait_until("the broadcasts end", || {
        while flooder.received().is_some() {}
        sender.send(&numbered(BROADCAST, sender.mac, 2, 60));
        flooder.drain(&mut sender).is_empty()
    });
    stream.stop();
}

#[test]
fn q06_q07_a_storm_of_connections_is_bounded_in_descriptors_and_log_lines() {
    let (daemon, stream) = with_victims();
    let fds = daemon.fds();
    let began = Instant::now();
    for _ in 0..1_000 {
        // One to the VF that is free, one to the one that is taken.
        drop(Vmm::connect(&daemon.socket(2)));
        drop(UnixStream::connect(daemon.socket(0)));
    }
    let seconds = began.elapsed().as_secs() + 1;
    wait_until("the last client is gone", || daemon.device(2)["connected"] == false);
    wait_until("the descriptors are back", || daemon.fds() == fds);
    let lines = daemon.log().lines().count() as u64;
    // Ten a second for each VF.
    assert!(lines <= 10 * 3 * (seconds + 1), "{lines} lines in {seconds} s");
    stream.stop();
    third_vf_works(&daemon);
}

#[test]
fn c05_bus_mastering_off_in_mid_burst_ends_all_access_to_memory() {
    let (daemon, stream) = with_victims();
    let mut guest = Guest::boot(&daemon.socket(2));
    for number in 0..100 {
        guest.send(&numbered(mac(0), guest.mac, number, 1000));
    }
    guest.vmm.write(region::CONFIG, 4, &2_u16.to_le_bytes()).unwrap();
    // The write is answered: from now on nothing in the rings changes.
    let mut before = vec![0; 0x2000];
    guest.memory.read(BASE, &mut before);
    stream.advance(500);
    let mut after = vec![0; 0x2000];
    guest.memory.read(BASE, &mut after);
    assert!(before == after);
    stream.stop();
}

#[test]
fn j02_a_control_client_that_says_half_a_request_keeps_nobody_waiting() {
    let daemon = Daemon::with_vms(1, "", "");
    let control = daemon.host.runtime_dir().join("control.sock");
    let mut silent: Vec<UnixStream> = (0..15).map(|_| UnixStream::connect(&control).unwrap()).collect();
    for socket in &mut silent {
        socket.write_all(b"POST /v1/oid HTTP/1.1\r\nhost: softiov\r\ncontent-length: 1000\r\n\r\n{").unwrap();
    }
    assert_eq!(daemon.json(&["show"])["vfs"].as_array().unwrap().len(), 1);
    // Nor does it keep the daemon from ending.
    let (host, _) = daemon.end();
    assert!(host.sockets().is_empty());
}

#[test]
fn j01_the_control_socket_is_the_users_own() {
    use std::os::unix::fs::PermissionsExt;
    let daemon = Daemon::with_vms(1, "", "");
    for socket in [daemon.host.runtime_dir().join("control.sock"), daemon.socket(0)] {
        assert_eq!(std::fs::metadata(socket).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn u10_what_is_no_eventfd_is_refused_as_one() {
    let (daemon, stream) = with_victims();
    let mut vmm = Vmm::connect(&daemon.socket(2)).unwrap();
    let fds = daemon.fds();
    let memfd = rustix::fs::memfd_create("guest", MemfdFlags::CLOEXEC).unwrap();
    let (_reader, pipe) = rustix::pipe::pipe().unwrap();
    for fd in [memfd.as_fd(), pipe.as_fd(), vmm.stream().try_clone().unwrap().as_fd()] {
        assert_eq!(vmm.connect_vectors(0, &[fd]), Err(Failure::Refused(EINVAL)));
    }
    assert_eq!(daemon.fds(), fds);
    stream.stop();
}

#[test]
fn q08_an_interrupt_for_a_vmm_that_does_not_read_comes_when_it_reads() {
    let daemon = Daemon::with_vms(2, "msix = \"relayed\"", "");
    let [mut a, mut b] = [0, 1].map(|n| Guest::boot(&daemon.socket(n)));
    b.allow_interrupts_without_end();
    b.vmm.stream().set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    // Until the daemon takes nothing more from a client that takes nothing.
    while b.try_raise(MISC_VECTOR).is_ok() {}
    a.send(&numbered(b.mac, a.mac, 1, 60));
    b.receive();
    // The bus has passed by the interrupt of this frame.
    assert_eq!(daemon.device(1)["connected"], true);
    assert_eq!(daemon.device(1)["connected"], true);
    let vectors = b.take_interrupts(Duration::from_millis(500));
    assert!(vectors.len() > 100 && vectors.contains(&QUEUE_VECTOR), "{} interrupts", vectors.len());
    assert_eq!(daemon.device(0)["connected"], true);
}

#[test]
fn q07_without_descriptors_clients_wait_and_are_served_when_there_are_some() {
    let (daemon, stream) = with_victims();
    let limit = daemon.limit_fds(1);
    let client = UnixStream::connect(daemon.socket(2)).unwrap();
    daemon.wait_for_log(&["WARN", "VF 2", "cannot accept a client"]);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        stream.advance(100);
    }
    daemon.limit_fds(limit);
    wait_until("the client is accepted", || daemon.device(2)["connected"] == true);
    let lines = daemon.log().lines().filter(|line| line.contains("cannot accept")).count() as u64;
    // One look a second, not one after the other.
    assert!(lines <= 2 + began.elapsed().as_secs(), "{lines} lines");
    drop(client);
    third_vf_works(&daemon);
    stream.stop();
}
