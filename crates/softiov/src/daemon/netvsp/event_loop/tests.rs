use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::mpsc::channel;

use dataplane::Place;
use rustix::fs::MemfdFlags;
use vhost::vhost_user::message::VhostUserProtocolFeatures;
use vhost::vhost_user::{Frontend, VhostUserFrontend};
use vhost::{VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};
use vmm_sys_util::eventfd::EventFd;

use super::*;
use crate::daemon::data_path::synthetic;
use crate::daemon::tests::Bench;

/// `VIRTIO_F_VERSION_1`, `VHOST_USER_F_PROTOCOL_FEATURES`.
const FEATURES: u64 = 1 << 32 | 1 << 30;
const BYTES: u64 = 0x1_0000;

/// A front end whose receive and transmit rings, empty ones, run.
fn boot(socket: &Path) -> Frontend {
    let mut front = Frontend::connect(socket, 2).unwrap();
    front.set_owner().unwrap();
    front.get_features().unwrap();
    let protocol = front.get_protocol_features().unwrap();
    front.set_protocol_features(protocol & VhostUserProtocolFeatures::MQ).unwrap();
    front.set_features(FEATURES).unwrap();
    let memory = rustix::fs::memfd_create("guest", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&memory, BYTES).unwrap();
    let region = VhostUserMemoryRegionInfo {
        guest_phys_addr: 0,
        memory_size: BYTES,
        userspace_addr: 0,
        mmap_offset: 0,
        mmap_handle: memory.as_raw_fd(),
    };
    front.set_mem_table(&[region]).unwrap();
    for (ring, base) in [(0, 0), (1, 0x8000)] {
        front.set_vring_num(ring, 64).unwrap();
        front.set_vring_base(ring, 0).unwrap();
        let addresses = VringConfigData {
            queue_max_size: 64,
            queue_size: 64,
            flags: 0,
            desc_table_addr: base,
            avail_ring_addr: base + 0x1000,
            used_ring_addr: base + 0x2000,
            log_addr: None,
        };
        front.set_vring_addr(ring, &addresses).unwrap();
        let event = EventFd::new(i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap()).unwrap();
        front.set_vring_call(ring, &event).unwrap();
        front.set_vring_kick(ring, &event).unwrap();
        front.set_vring_enable(ring, true).unwrap();
    }
    // An answer says that all of it was heard.
    front.get_features().unwrap();
    front
}

/// Does what a front end does, which waits for answers.
fn serving<T: Send>(netvsp: &mut EventLoop, action: impl FnOnce() -> T + Send) -> T {
    let mut events = Vec::with_capacity(EVENTS);
    std::thread::scope(|scope| {
        let front_end = scope.spawn(action);
        while !front_end.is_finished() {
            assert_eq!(netvsp.turn(&mut events), None);
        }
        front_end.join().unwrap()
    })
}

#[test]
fn v35_a_handler_that_panics_costs_nobody_but_its_front_end() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::start(folder.path(), "iov_weight = 0");
    let (_orders, inbox) = channel();
    let mut netvsp = EventLoop::new(bench.around.clone(), inbox).unwrap();
    for (id, member) in &bench.daemon.lock().members {
        netvsp.add(&synthetic(&bench.daemon.config, &bench.daemon.parts, id.0, member)).unwrap();
    }
    let sockets = [1, 2].map(|n| folder.path().join(format!("vm{n}-net0.net")));
    let (victim, other) = serving(&mut netvsp, || (boot(&sockets[0]), boot(&sockets[1])));
    let ready = |netvsp: &EventLoop| [0, 1].map(|nic| netvsp.stations[&nic].view().driver_ready);
    assert_eq!(ready(&netvsp), [true, true]);

    let serial = netvsp.stations[&0].clients[0].serial;
    netvsp.serve(0, serial, |_, _| panic!("a bug"));

    assert_eq!(ready(&netvsp), [false, true]);
    let view = netvsp.stations[&0].view();
    assert_eq!((view.connected, view.mapped_bytes), (false, 0));
    assert_eq!(view.rejections, [("vhost_user_handler_panicked".to_owned(), 1).into()]);
    assert!(bench.worker.handle().take(Place::Nic(0)).is_none(), "the worker has let go of its rings");
    assert!(serving(&mut netvsp, || victim.get_features()).is_err(), "its connection is closed");
    assert!(serving(&mut netvsp, || other.get_features()).is_ok());
    // Its adapter serves the next.
    let _next = serving(&mut netvsp, || boot(&sockets[0]));
    assert_eq!(ready(&netvsp), [true, true]);
}
