//! What a well-behaved client is told.

use rustix::fs::fstat;
use zerocopy::FromBytes;

use super::support::*;
use crate::protocol::{self, Command, Header};
use crate::{DmaRange, DmaUnmap, DmaWriteError, Errno, IrqAction, OUTPUT_BOUND, Reason};

fn get_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

#[test]
fn version_is_answered_with_the_lower_minor_and_our_capabilities() {
    for (minor, answered) in [(0_u8, 0_u8), (1, 1), (200, 1)] {
        let mut bench = Bench::fresh();
        let reply = bench.ask(&command(Command::Version, &[0, 0, minor, 0]));
        assert_eq!(reply.errno(), None);
        assert_eq!(reply.payload[..4], [0, 0, answered, 0]);
        let json = reply.payload[4..].strip_suffix(&[0]).unwrap();
        let offer: serde_json::Value = serde_json::from_slice(json).unwrap();
        let wanted = serde_json::json!({"capabilities": {"max_msg_fds": 16, "max_data_xfer_size": 1_048_576,
            "max_dma_maps": 4096, "pgsizes": 4096, "write_multiple": true}});
        assert_eq!(offer, wanted);
    }
}

#[test]
fn device_info_is_complete() {
    let mut bench = Bench::new();
    for argsz in [16, 32] {
        let reply = bench.ask(&command(Command::DeviceGetInfo, &words(&[argsz, 0, 0, 0])));
        assert_eq!(reply.payload, words(&[16, 3, 9, 5]));
    }
}

#[test]
fn region_without_mapping_has_no_capabilities() {
    let mut bench = Bench::new();
    for (index, size, flags) in [(BAR0, 0x4000, 3), (1, 0, 3), (ROM_READ_ONLY, 4096, 1), (CONFIG, 4096, 3)] {
        let reply = bench.ask(&region_info(32, index));
        assert_eq!(reply.payload, words(&[32, flags, index, 0, size, 0, 0, 0]));
        assert!(reply.fd.is_none());
    }
}

#[test]
fn short_region_info_says_how_much_is_needed_and_where_and_brings_no_fd() {
    let mut bench = Bench::new();
    for argsz in [32, 79] {
        let reply = bench.ask(&region_info(argsz, BAR2_MAPPED));
        // 32 bytes of information, 16 of capability, 2 areas of 16 bytes.
        assert_eq!(reply.payload, words(&[80, 0xf, BAR2_MAPPED, 32, 0x4000, 0, 0x8000, 0]));
        assert!(reply.fd.is_none());
    }
}

#[test]
fn full_region_info_has_the_areas_and_the_file() {
    let mut bench = Bench::new();
    for argsz in [80, u32::MAX] {
        let reply = bench.ask(&region_info(argsz, BAR2_MAPPED));
        let (info, capability) = reply.payload.split_at(32);
        assert_eq!(info, words(&[80, 0xf, BAR2_MAPPED, 32, 0x4000, 0, 0x8000, 0]));
        // Id 1 version 1, no next, two areas.
        assert_eq!(capability[..16], words(&[0x1_0001, 0, 2, 0]));
        assert_eq!(capability[16..], words(&[0x1000, 0, 0x1000, 0, 0x3000, 0, 0x1000, 0]));
        let file = fstat(reply.fd.unwrap()).unwrap();
        assert_eq!(file.st_ino, fstat(&bench.device.file).unwrap().st_ino);
    }
}

#[test]
fn irq_info_tells_flags_and_count() {
    let mut bench = Bench::new();
    for (index, flags, count) in [(INTX, 7, 1), (1, 0, 0), (MSIX, 3, 2048), (ERR, 1, 1), (4, 0, 0)] {
        let reply = bench.ask(&command(Command::DeviceGetIrqInfo, &words(&[16, 0, index, 0])));
        assert_eq!(reply.payload, words(&[16, flags, index, count]));
    }
}

#[test]
fn region_reads_return_the_data() {
    let mut bench = Bench::new();
    for (offset, count) in [(0, 1), (5, 3), (0x3ff8, 8), (0, 0x4000)] {
        let reply = bench.ask(&region_read(BAR0, offset, count));
        assert_eq!(reply.payload[..16], access(BAR0, offset, count, &[]));
        let from = offset as usize;
        assert_eq!(reply.payload[16..], bench.device.memory[0][from..from + count as usize]);
    }
    assert_eq!(bench.device.take_calls().len(), 4);
}

#[test]
fn empty_accesses_succeed_without_the_device() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask(&region_read(BAR0, 0x4000, 0)).payload, access(BAR0, 0x4000, 0, &[]));
    assert_eq!(bench.ask(&region_write(BAR0, 0, &[])).payload, access(BAR0, 0, 0, &[]));
    assert_eq!(bench.device.take_calls(), []);
}

#[test]
fn region_writes_reach_the_device_posted_or_not() {
    let mut bench = Bench::new();
    let reply = bench.ask(&region_write(BAR0, 0x18, &[1, 2, 3, 4]));
    assert_eq!(reply.payload, access(BAR0, 0x18, 4, &[]));
    let payload = access(BAR0, 0x20, 2, &[5, 6]);
    assert!(bench.send(&posted(Command::RegionWrite, &payload), vec![]).is_empty());
    let wanted = [
        Call::Write { region: BAR0, offset: 0x18, data: vec![1, 2, 3, 4] },
        Call::Write { region: BAR0, offset: 0x20, data: vec![5, 6] },
    ];
    assert_eq!(bench.device.take_calls(), wanted);
}

fn multi(count: u64, writes: &[(u32, u64, u32, [u8; 8])]) -> Vec<u8> {
    let mut payload = count.to_le_bytes().to_vec();
    for (region, offset, length, data) in writes {
        payload.extend(access(*region, *offset, *length, data));
    }
    payload
}

#[test]
fn write_multi_does_all_writes_in_order() {
    let mut bench = Bench::new();
    let data = [1, 2, 3, 4, 5, 6, 7, 8];
    let payload = multi(3, &[(BAR0, 8, 4, data), (CONFIG, 0, 8, data), (BAR0, 8, 0, data)]);
    assert_eq!(bench.ask(&command(Command::RegionWriteMulti, &payload)).payload, 3_u64.to_le_bytes());
    let wanted = [
        Call::Write { region: BAR0, offset: 8, data: vec![1, 2, 3, 4] },
        Call::Write { region: CONFIG, offset: 0, data: data.to_vec() },
    ];
    assert_eq!(bench.device.take_calls(), wanted);
    assert!(bench.send(&posted(Command::RegionWriteMulti, &payload), vec![]).is_empty());
    assert_eq!(bench.device.take_calls(), wanted);
}

#[test]
fn u08_write_multi_that_lies_does_nothing() {
    let mut bench = Bench::new();
    let good = (BAR0, 0, 4, [0; 8]);
    let mut cases = vec![
        (multi(0, &[good]), Reason::PayloadLength),
        (multi(2, &[good]), Reason::PayloadLength),
        (multi(u64::MAX, &[good]), Reason::PayloadLength),
        // 2^61 times 24 is 0 in 64 bits.
        (multi(1 << 61, &[]), Reason::PayloadLength),
        (multi(1, &[(BAR0, 0, 9, [0; 8])]), Reason::TransferSize),
        (multi(1, &[(BAR0, 0, u32::MAX, [0; 8])]), Reason::TransferSize),
        (multi(257, &[good; 257]), Reason::TransferSize),
        (multi(2, &[good, (BAR0, 0x3ffd, 4, [0; 8])]), Reason::RegionBounds),
        (multi(2, &[good, (BAR0, u64::MAX, 4, [0; 8])]), Reason::RegionBounds),
        (multi(2, &[good, (9, 0, 4, [0; 8])]), Reason::RegionIndex),
        (multi(2, &[good, (ROM_READ_ONLY, 0, 4, [0; 8])]), Reason::RegionDirection),
    ];
    let mut cut = multi(1, &[good]);
    cut.pop();
    cases.push((cut, Reason::PayloadLength));
    for (payload, reason) in cases {
        bench.refused(&command(Command::RegionWriteMulti, &payload), vec![], reason);
    }
}

#[test]
fn dma_maps_reach_the_device_with_and_without_memory() {
    let mut bench = Bench::new();
    assert!(bench.ask_with(&dma_map(3, 0x10_0000, 0x10_0000, 0x2000), vec![memfd(4096)]).payload.is_empty());
    assert!(bench.ask(&dma_map(1, 0, 0xfffc_0000, 0x4_0000)).payload.is_empty());
    assert_eq!(bench.session.dma_maps(), 2);
    let map =
        |iova, size, offset, writable, fd| Call::Map { iova, size, offset, readable: true, writable, fd };
    let wanted = [map(0x10_0000, 0x2000, 0x10_0000, true, true), map(0xfffc_0000, 0x4_0000, 0, false, false)];
    assert_eq!(bench.device.take_calls(), wanted);

    let request = dma_unmap(0, 0x10_0000, 0x2000);
    assert_eq!(bench.ask(&request).payload, request[16..]);
    assert_eq!(bench.ask(&dma_unmap(protocol::DMA_UNMAP_ALL, 0, 0)).errno(), None);
    let range = DmaUnmap::Range(DmaRange::new(0x10_0000, 0x2000).unwrap());
    assert_eq!(bench.device.take_calls(), [Call::Unmap(range), Call::Unmap(DmaUnmap::All)]);
    assert_eq!(bench.session.dma_maps(), 0);
}

#[test]
fn what_the_device_refuses_has_not_happened() {
    let mut bench = Bench::new();
    bench.device.fail = Some(Errno::NOMEM);
    assert_eq!(bench.ask(&dma_map(3, 0, 0, 0x1000)).errno(), Some(Errno::NOMEM));
    assert_eq!(bench.session.dma_maps(), 0);
    assert_eq!(bench.ask(&dma_map(3, 0, 0, 0x1000)).errno(), None);
    bench.device.fail = Some(Errno::BUSY);
    assert_eq!(bench.ask(&dma_unmap(0, 0, 0x1000)).errno(), Some(Errno::BUSY));
    assert_eq!(bench.session.dma_maps(), 1);
    bench.device.fail = Some(Errno::IO);
    assert_eq!(bench.ask(&region_read(BAR0, 0, 4)).errno(), Some(Errno::IO));
    assert_eq!(bench.session.counters().get(Reason::Device), 3);
}

#[test]
fn irqs_every_legal_combination_reaches_the_device() {
    use protocol::{
        IRQ_SET_ACTION_MASK, IRQ_SET_ACTION_TRIGGER, IRQ_SET_ACTION_UNMASK, IRQ_SET_DATA_BOOL,
        IRQ_SET_DATA_EVENTFD, IRQ_SET_DATA_NONE,
    };
    let mut bench = Bench::new();
    let actions = [
        (IRQ_SET_ACTION_MASK, IrqAction::Mask),
        (IRQ_SET_ACTION_UNMASK, IrqAction::Unmask),
        (IRQ_SET_ACTION_TRIGGER, IrqAction::Trigger),
    ];
    for (bits, action) in actions {
        let cases = [
            (IRQ_SET_DATA_NONE, &[][..], 0, Data::None),
            (IRQ_SET_DATA_BOOL, &[0, 1, 255], 0, Data::Bool(vec![0, 1, 255])),
            (IRQ_SET_DATA_EVENTFD, &[], 3, Data::EventFds(3)),
            (IRQ_SET_DATA_EVENTFD, &[], 0, Data::EventFds(0)),
        ];
        for (kind, bytes, fds, data) in cases {
            let fds = (0..fds).map(|_| eventfd()).collect();
            let reply = bench.ask_with(&set_irqs(bits | kind, MSIX, 2045, 3, bytes), fds);
            assert_eq!(reply.errno(), None, "{action:?} {data:?}");
            assert!(reply.payload.is_empty());
            let wanted = Call::Irqs { index: MSIX, start: 2045, count: 3, action, data };
            assert_eq!(bench.device.take_calls(), [wanted]);
        }
    }
}

#[test]
fn irqs_count_0_disables_the_whole_type() {
    let mut bench = Bench::new();
    let flags = protocol::IRQ_SET_DATA_NONE | protocol::IRQ_SET_ACTION_TRIGGER;
    for index in 0..5 {
        assert_eq!(bench.ask(&set_irqs(flags, index, 0, 0, &[])).errno(), None);
        let wanted = Call::Irqs { index, start: 0, count: 0, action: IrqAction::Trigger, data: Data::None };
        assert_eq!(bench.device.take_calls(), [wanted]);
    }
}

#[test]
fn irqs_eventfds_keep_their_order() {
    let mut bench = Bench::new();
    let fds: Vec<_> = (0..16).map(|_| eventfd()).collect();
    let copies: Vec<_> = fds.iter().map(|fd| fd.try_clone().unwrap()).collect();
    assert_eq!(bench.ask_with(&set_irqs(0x24, MSIX, 0, 16, &[]), copies).errno(), None);
    bench.device.eventfds[11].signal();
    let signalled = |fd: &std::os::fd::OwnedFd| {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut polled = [PollFd::new(fd, PollFlags::IN)];
        poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    };
    let signalled: Vec<_> = fds.iter().map(signalled).collect();
    assert_eq!(signalled.iter().position(|s| *s), Some(11));
    assert_eq!(signalled.iter().filter(|s| **s).count(), 1);
}

#[test]
fn reset_is_done_and_answered() {
    let mut bench = Bench::new();
    assert!(bench.ask(&command(Command::DeviceReset, &[])).payload.is_empty());
    assert!(bench.send(&posted(Command::DeviceReset, &[]), vec![]).is_empty());
    assert_eq!(bench.device.take_calls(), [Call::Reset, Call::Reset]);
}

#[test]
fn dma_write_is_a_command_without_reply_and_with_ids_of_its_own() {
    let mut bench = Bench::new();
    bench.session.dma_write(0xfee0_1000, &[0x25, 0, 0, 0]).unwrap();
    bench.session.dma_write(u64::MAX, &[1]).unwrap();
    let frames = bench.session.output_mut().take_frames();
    for (id, (bytes, fd)) in frames.iter().enumerate() {
        let header = Header::read_from_prefix(bytes).unwrap().0;
        assert_eq!((header.id.get() as usize, header.command.get(), header.flags.get()), (id, 12, 0x10));
        assert_eq!(header.size.get() as usize, bytes.len());
        assert!(fd.is_none());
    }
    assert_eq!(frames[0].0[16..], [&words(&[0xfee0_1000, 0, 4, 0])[..], &[0x25, 0, 0, 0]].concat());
    assert_eq!(get_u32(&frames[1].0, 24), 1);
}

#[test]
fn dma_write_is_refused_when_it_cannot_arrive() {
    let mut bench = Bench::fresh();
    assert_eq!(bench.session.dma_write(0, &[0]), Err(DmaWriteError::NotNegotiated));
    bench.ask(&version(r#"{"capabilities": {"max_data_xfer_size": 8}}"#));
    assert_eq!(bench.session.dma_write(0, &[0; 9]), Err(DmaWriteError::TooLong { length: 9, limit: 8 }));
    let wraps = DmaWriteError::Wraps { address: u64::MAX, length: 2 };
    assert_eq!(bench.session.dma_write(u64::MAX, &[0; 2]), Err(wraps));
    let mut sent = 0;
    let refused = loop {
        match bench.session.dma_write(0xfee0_0000, &[0; 4]) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    let pending = bench.session.output().pending();
    assert_eq!(refused, DmaWriteError::Full { pending });
    assert_eq!(pending, sent * 36);
    assert!((OUTPUT_BOUND..OUTPUT_BOUND + 36).contains(&pending));
}
