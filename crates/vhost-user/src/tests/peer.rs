//! A front end that others wrote, on a real socket path, in both roles of connecting.

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use vhost::vhost_user::message::{VhostUserHeaderFlag, VhostUserInflight, VhostUserProtocolFeatures};
use vhost::vhost_user::{Frontend, VhostUserFrontend};
use vhost::{VhostBackend, VhostUserDirtyLogRegion, VhostUserMemoryRegionInfo, VringConfigData};
use vmm_sys_util::eventfd::EventFd;

use super::support::*;
use sys::Listener;

use crate::protocol::{features, protocol_features};
use crate::{Closed, Connection, Connector, Step, connect};

/// The smallest event loop that an owner can have; ends when the front end leaves.
fn serve(stream: std::os::unix::net::UnixStream) -> (Vec<Call>, Closed, u64) {
    let mut device = TestBackend { progress: 5, ..TestBackend::default() };
    let mut connection = Connection::new(stream, LIMITS);
    let closed = loop {
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, connection.wants_read());
        events.set(PollFlags::OUT, connection.wants_write());
        wait(&connection, events);
        let done = connection.on_writable().and_then(|()| connection.on_readable(&mut device));
        if let Err(closed) = done {
            break closed;
        }
    };
    let refused = connection.session().counters().total();
    connection.close(&mut device);
    (device.calls, closed, refused)
}

fn wait(fd: &impl AsFd, events: PollFlags) {
    poll(&mut [PollFd::new(fd, events)], None).unwrap();
}

/// Everything that the independent front end can ask of a network device.
fn drive(mut front: Frontend) {
    let offered = front.get_features().unwrap();
    assert_ne!(offered & features::PROTOCOL_FEATURES, 0);
    let protocol = front.get_protocol_features().unwrap();
    assert_eq!(protocol.bits(), protocol_features::OFFERED);
    front.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
    front.set_protocol_features(VhostUserProtocolFeatures::from_bits_truncate(protocol.bits())).unwrap();
    front.set_owner().unwrap();
    assert_eq!(front.get_queue_num().unwrap(), 2);
    assert_eq!(front.get_max_mem_slots().unwrap(), 12);
    front.set_features(SPLIT).unwrap();

    let memory = memfd(SIZE);
    let info = VhostUserMemoryRegionInfo {
        guest_phys_addr: GUEST,
        memory_size: SIZE,
        userspace_addr: USER,
        mmap_offset: 0,
        mmap_handle: memory.as_raw_fd(),
    };
    front.set_mem_table(std::slice::from_ref(&info)).unwrap();
    front.remove_mem_region(&info).unwrap();
    front.add_mem_region(&info).unwrap();

    let inflight = VhostUserInflight::new(0, 0, 2, 256);
    let (inflight, file) = front.get_inflight_fd(&inflight).unwrap();
    assert_eq!(inflight.mmap_size, 2 * 4160);
    front.set_inflight_fd(&inflight, file.as_raw_fd()).unwrap();

    let (kick, call, err) = (EventFd::new(0).unwrap(), EventFd::new(0).unwrap(), EventFd::new(0).unwrap());
    let ring = |flags, log| VringConfigData {
        queue_max_size: 256,
        queue_size: 256,
        flags,
        desc_table_addr: USER,
        avail_ring_addr: USER + 0x4000,
        used_ring_addr: USER + 0x8000,
        log_addr: log,
    };
    front.set_vring_num(0, 256).unwrap();
    front.set_vring_base(0, 7).unwrap();
    front.set_vring_addr(0, &ring(0, None)).unwrap();
    front.set_vring_err(0, &err).unwrap();
    front.set_vring_call(0, &call).unwrap();
    front.set_vring_kick(0, &kick).unwrap();
    front.set_vring_enable(0, true).unwrap();
    assert!(front.set_vring_num(0, 128).is_err(), "the ring runs");

    let log = memfd(LOG_SIZE);
    let area = VhostUserDirtyLogRegion { mmap_size: LOG_SIZE, mmap_offset: 0, mmap_handle: log.as_raw_fd() };
    front.set_log_base(0, Some(area)).unwrap();
    front.set_features(SPLIT | features::LOG_ALL).unwrap();
    front.set_vring_addr(0, &ring(1, Some(GUEST + 0x8000))).unwrap();
    front.set_features(SPLIT).unwrap();

    assert_eq!(front.get_vring_base(0).unwrap(), 12);
    front.reset_device().unwrap();
}

fn check((calls, closed, refused): (Vec<Call>, Closed, u64)) {
    assert!(matches!(closed, Closed::ByPeer), "{closed}");
    assert_eq!(refused, 1);
    let kinds: Vec<_> =
        calls.iter().map(|call| format!("{call:?}").split(['(', ' ']).next().unwrap().to_owned()).collect();
    let wanted = [
        "Features",
        "Replace",
        "Remove",
        "Add",
        "CreateInflight",
        "SetInflight",
        "Start",
        "Enabled",
        "Log",
        "DeviceLog",
        "Log",
        "Stop",
        "Reset",
        "Reset",
        "Replace",
    ];
    assert_eq!(kinds, wanted);
}

fn path(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("vhu0.sock")
}

#[test]
fn independent_front_end_that_connects_does_everything_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    let listener = Listener::bind(&path).unwrap();
    let (done, result) = mpsc::channel();
    let server = thread::spawn(move || {
        wait(&listener, PollFlags::IN);
        done.send(serve(listener.accept().unwrap().unwrap())).unwrap();
    });
    drive(Frontend::connect(&path, 2).unwrap());
    check(result.recv().unwrap());
    server.join().unwrap();
    assert!(!path.exists());
}

#[test]
fn independent_front_end_that_listens_does_everything_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    let listener = UnixListener::bind(&path).unwrap();
    let front = thread::spawn(move || drive(Frontend::from_stream(listener.accept().unwrap().0, 2)));
    let connector = Connector::new(path);
    assert_eq!(connector.step(Instant::now()), Step::Connect);
    check(serve(connect(connector.path()).unwrap()));
    front.join().unwrap();
}
