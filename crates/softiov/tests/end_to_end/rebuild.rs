//! `softiov datapath rebuild`: guests notice a pause, and nothing else.

use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::common::daemon::Daemon;
use crate::common::driver::{Guest, Msix, message};
use crate::common::frames::{number, numbered};
use crate::common::memory::Memory;
use crate::common::stream::Stream;
use crate::common::vmm::command;

fn rebuild(daemon: &Daemon) {
    daemon.json(&["datapath", "rebuild"]);
}

#[test]
fn l01_traffic_in_both_directions_loses_doubles_and_reorders_nothing() {
    let daemon = Daemon::with_vms(4, "", "");
    let [a, b, c, d] = [0, 1, 2, 3].map(|n| Guest::boot(&daemon.socket(n)));
    // One to a VF that is rebuilt later than its own, one to a VF that is rebuilt earlier.
    let streams = [Stream::start(a, b), Stream::start(d, c)];
    // From the first on: the adapter goes on to use the state pages by the descriptors that it has.
    rebuild(&daemon);
    let before = daemon.fds();
    for _ in 0..20 {
        rebuild(&daemon);
        streams.iter().for_each(|stream| stream.advance(100));
    }
    assert_eq!(daemon.fds(), before);
    let log = daemon.log();
    assert!(!log.contains("disconnected") && !log.contains("WARN"), "{log}");
    for stream in streams {
        let outcome = stream.stop();
        println!("{} frames, longest pause {:?}", outcome.frames, outcome.gap);
    }
    for n in 0..4 {
        assert_eq!(daemon.vport(n)["drops"].as_array().unwrap().len(), 0);
    }
}

#[test]
fn interrupts_by_message_are_not_lost() {
    interrupts_are_not_lost(Msix::Relayed, "msix = \"relayed\"");
}

#[test]
fn interrupts_by_eventfd_are_not_lost() {
    interrupts_are_not_lost(Msix::Native, "msix = \"native\"");
}

/// A guest that sleeps until its interrupt, for each frame: one lost interrupt, and it sleeps for ever.
fn interrupts_are_not_lost(msix: Msix, adapter: &str) {
    let daemon = Daemon::with_vms(2, adapter, "");
    let [mut a, mut b] = [0, 1].map(|n| Guest::try_boot(&daemon.socket(n), msix).unwrap());
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let guests = scope.spawn(|| {
            let mut next = 0;
            while !enough.load(Ordering::Relaxed) {
                a.send(&numbered(b.mac, a.mac, next, 60));
                let frame = loop {
                    b.wait_for_queue_interrupt();
                    if let Some(frame) = b.received() {
                        break frame;
                    }
                };
                assert_eq!(number(&frame), next);
                next += 1;
            }
            next
        });
        (0..20).for_each(|_| rebuild(&daemon));
        enough.store(true, Ordering::Relaxed);
        assert!(guests.join().unwrap() > 20);
    });
}

#[test]
fn a_message_that_is_half_read_is_finished_with_its_descriptor() {
    let daemon = Daemon::with_vms(1, "", "");
    let mut guest = Guest::boot(&daemon.socket(0));
    let memory = Memory::new(0x1000);
    // DMA_MAP of a page at 16 MiB: header with size, flags and error; argsz and flags; offset, address, size.
    let mut map = [0x1234_u16.to_le_bytes(), command::DMA_MAP.to_le_bytes()].concat();
    map.extend([48, 0, 0, 32, 3_u32].iter().flat_map(|word| word.to_le_bytes()));
    map.extend([0, 16 << 20, 0x1000_u64].iter().flat_map(|word| word.to_le_bytes()));
    let before = daemon.device(0)["mapped_bytes"].as_u64().unwrap();
    let (first, rest) = map.split_at(7);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [memory.file().as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    sendmsg(guest.vmm.stream(), &[IoSlice::new(first)], &mut control, SendFlags::NOSIGNAL).unwrap();
    rebuild(&daemon);
    let (second, third) = rest.split_at(20);
    guest.vmm.stream().write_all(second).unwrap();
    rebuild(&daemon);
    guest.vmm.stream().write_all(third).unwrap();
    assert_eq!(guest.vmm.reply(0x1234), Ok(Vec::new()));
    assert_eq!(daemon.device(0)["mapped_bytes"], before + 0x1000);
    // The stream is where it should be.
    assert_ne!(guest.ask(&[message::GET_QUEUES]).unwrap()[0] & message::SUCCESS, 0);
}

#[test]
fn clients_come_and_go_as_before_and_withdrawn_memory_stays_withdrawn() {
    let daemon = Daemon::with_vms(2, "", "");
    rebuild(&daemon);
    let before = daemon.fds();
    rebuild(&daemon);
    let mut a = Guest::boot(&daemon.socket(0));
    rebuild(&daemon);
    let mut b = Guest::boot(&daemon.socket(1));
    a.send(&numbered(b.mac, a.mac, 1, 60));
    assert_eq!(number(&b.receive()), 1);
    a.vmm.dma_unmap(crate::common::memory::BASE, crate::common::driver::MEMORY).unwrap();
    assert_eq!(daemon.guest_mappings(), 1);
    rebuild(&daemon);
    assert_eq!(daemon.guest_mappings(), 1);
    drop((a, b));
    crate::common::wait_until("both are gone", || daemon.guest_mappings() == 0);
    rebuild(&daemon);
    assert_eq!(daemon.fds(), before);
    assert_eq!(
        daemon.host.sockets(),
        ["control.sock", "vm0-net0.net", "vm0-net0.vf", "vm1-net0.net", "vm1-net0.vf"]
    );
}
