//! Group U of the hostile inputs: each row is a test of that name.

use std::os::fd::{AsFd, OwnedFd};

use zerocopy::IntoBytes;

use super::support::*;
use crate::protocol::{self, Command, HEADER_SIZE, Header, MAX_DATA_XFER_SIZE, MAX_MESSAGE_SIZE};
use crate::{Closed, Errno, Reason, Session};

/// A header that claims `size` bytes.
fn header(command: Command, size: u32, flags: u32) -> Vec<u8> {
    let header = Header {
        id: 7.into(),
        command: (command as u16).into(),
        size: size.into(),
        flags: flags.into(),
        error: 0.into(),
    };
    header.as_bytes().to_vec()
}

#[test]
fn u01_impossible_size_is_told_and_ends_the_session() {
    for size in [0, 1, 15, MAX_MESSAGE_SIZE as u32 + 1, u32::MAX] {
        let mut wire = Wire::new();
        wire.send(&header(Command::RegionRead, size, 0), &[]);
        let closed = wire.serve().unwrap_err();
        assert!(matches!(closed, Closed::BadSize(bad) if bad.header.size.get() == size), "{closed}");
        assert!(closed.to_string().contains(&size.to_string()));
        let reply = wire.receive();
        assert_eq!((reply.errno(), reply.header.id.get()), (Some(Errno::INVAL), 7));
        assert_eq!(wire.server.session().counters().get(Reason::MessageSize), 1);
    }
}

#[test]
fn u01_impossible_size_gets_no_reply_where_none_is_due() {
    for flags in [Header::NO_REPLY, Header::REPLY] {
        let mut wire = Wire::new();
        wire.send(&header(Command::RegionWrite, 15, flags), &[]);
        assert!(wire.serve().is_err());
        assert!(wire.is_quiet());
    }
}

#[test]
fn u01_size_that_lies_is_refused_and_the_stream_goes_on() {
    let mut bench = Bench::new();
    for command in 1..=18 {
        // The size is right, but no payload is as long as the command needs.
        let short = raw(1, command, 0, &[0; 3]);
        let reason = match Command::from_number(command).unwrap() {
            Command::DeviceReset => continue,
            Command::DeviceGetRegionIoFds
            | Command::DmaRead
            | Command::DmaWrite
            | Command::DirtyPages
            | Command::DeviceFeature
            | Command::MigDataRead
            | Command::MigDataWrite => Reason::UnsupportedCommand,
            _ => Reason::PayloadLength,
        };
        bench.refused(&short, vec![], reason);
    }
    assert_eq!(bench.ask(&region_read(BAR0, 0, 4)).payload.len(), 20);
}

#[test]
fn u01_header_cut_at_each_byte_closes_cleanly() {
    let message = region_write(BAR0, 0, &[1, 2, 3, 4]);
    for cut in 0..message.len() {
        let mut wire = Wire::new();
        let (canary, fd) = Canary::new();
        if cut == 0 {
            drop(fd);
        } else {
            wire.send(&message[..cut], &[fd.as_fd()]);
            drop(fd);
        }
        wire.client.shutdown(std::net::Shutdown::Write).unwrap();
        let closed = wire.serve().unwrap_err();
        let wanted = if cut == 0 { "the client closed the connection" } else { "middle of a message" };
        assert!(closed.to_string().contains(wanted), "cut at {cut}: {closed}");
        assert_eq!(wire.device.take_calls(), []);
        drop(wire);
        assert!(canary.is_closed(), "cut at {cut}");
    }
}

#[test]
fn u02_unsolicited_reply_ends_the_session() {
    for number in [1, 3, 10, 11, 13, 999] {
        let mut wire = Wire::new();
        wire.send(&raw(1, number, Header::REPLY, &[]), &[]);
        let closed = wire.serve().unwrap_err();
        assert!(matches!(closed, Closed::UnsolicitedReply(reply) if reply.command == number));
        assert!(wire.is_quiet(), "a reply is never answered");
        assert_eq!(wire.server.session().counters().get(Reason::UnsolicitedReply), 1);
    }
}

#[test]
fn u02_needless_reply_to_a_dma_write_is_ignored_whatever_its_error() {
    let mut bench = Bench::new();
    for error in [0_u32, 5, u32::MAX, 0x8000_0000] {
        let mut reply = raw(9, Command::DmaWrite as u16, Header::REPLY | Header::ERROR, &[0; 12]);
        reply[12..16].copy_from_slice(&error.to_le_bytes());
        assert!(bench.send(&reply, vec![]).is_empty());
    }
    assert_eq!(bench.session.counters().get(Reason::NeedlessReply), 4);
    assert_eq!(bench.ask(&region_read(BAR0, 0, 4)).errno(), None);
}

#[test]
fn u02_unknown_types_and_commands_are_refused() {
    let mut bench = Bench::new();
    for flags in 2..16 {
        bench.refused(&raw(1, Command::DeviceReset as u16, flags, &[]), vec![], Reason::MessageType);
    }
    for number in [0, 19, 20, 0x100, 0x10d, u16::MAX] {
        bench.refused(&raw(1, number, 0, &[0; 40]), vec![], Reason::UnknownCommand);
    }
}

#[test]
fn u02_error_number_and_reserved_flags_of_a_command_mean_nothing() {
    let mut bench = Bench::new();
    for error in [1_u32, u32::MAX] {
        let mut request = region_read(BAR0, 0, 4);
        request[8..12].copy_from_slice(&(Header::ERROR | 0xffff_ff00).to_le_bytes());
        request[12..16].copy_from_slice(&error.to_le_bytes());
        let reply = bench.ask(&request);
        assert_eq!((reply.errno(), reply.header.error.get()), (None, 0));
    }
}

fn version_payload(data: &[u8]) -> Vec<u8> {
    command(Command::Version, &[&[0, 0, 1, 0], data].concat())
}

#[test]
fn u03_version_that_is_wrong_is_refused_and_may_be_tried_again() {
    let deep = format!("{{\"capabilities\": {}1{}}}\0", "[".repeat(1000), "]".repeat(1000));
    let too_deep = format!("{{\"x\": {}{}}}\0", "[".repeat(10_000), "]".repeat(10_000));
    let capability = |json: &str| version_payload(format!("{{\"capabilities\": {{{json}}}}}\0").as_bytes());
    let cases = [
        (command(Command::Version, &[]), Reason::PayloadLength),
        (command(Command::Version, &[0, 0, 0]), Reason::PayloadLength),
        (command(Command::Version, &[0xe7, 3, 0, 0]), Reason::VersionMajor),
        (version_payload(b"{}"), Reason::VersionData),
        (version_payload(b"{\0"), Reason::VersionData),
        (version_payload(b"\"\0"), Reason::VersionData),
        (version_payload(b"\0"), Reason::VersionData),
        (version_payload(b"{}\0{}\0"), Reason::VersionData),
        (version_payload(b"{\"capabilities\": \"23\"}\0"), Reason::VersionData),
        (version_payload(&[b"{\"x\": \"", &[0xff, 0xfe][..], b"\"}\0"].concat()), Reason::VersionData),
        (version_payload(deep.as_bytes()), Reason::VersionData),
        (version_payload(too_deep.as_bytes()), Reason::VersionData),
        (version_payload(&vec![0; 1 << 20]), Reason::VersionData),
        (capability(r#""max_msg_fds": "foo""#), Reason::VersionData),
        (capability(r#""max_msg_fds": -1"#), Reason::VersionData),
        (capability(r#""max_msg_fds": 1.5"#), Reason::VersionData),
        (capability(r#""max_msg_fds": 4294967296"#), Reason::VersionData),
        (capability(r#""max_msg_fds": 2147483648"#), Reason::VersionCapability),
        (capability(r#""max_data_xfer_size": 0"#), Reason::VersionCapability),
        (capability(r#""pgsizes": 0"#), Reason::VersionCapability),
        (capability(r#""pgsizes": 3"#), Reason::VersionCapability),
        (capability(r#""migration": "23""#), Reason::VersionData),
        (capability(r#""migration": {"pgsize": "foo"}"#), Reason::VersionData),
        (capability(r#""migration": {"pgsize": 4095}"#), Reason::VersionCapability),
    ];
    let mut bench = Bench::fresh();
    for (message, reason) in cases {
        bench.refused(&message, vec![], reason);
        assert!(bench.session.negotiated().is_none());
    }
    let (canary, fd) = Canary::new();
    bench.refused(&version("{}"), vec![fd], Reason::FdCount);
    assert!(canary.is_closed());
    assert_eq!(bench.ask(&version(QEMU_VERSION)).errno(), None);
}

#[test]
fn u03_version_must_be_first() {
    let mut bench = Bench::fresh();
    let requests = [
        dma_map(3, 0, 0, 0x1000),
        dma_unmap(0, 0, 0x1000),
        command(Command::DeviceGetInfo, &words(&[16, 0, 0, 0])),
        region_info(32, 0),
        command(Command::DeviceGetIrqInfo, &words(&[16, 0, 0, 0])),
        set_irqs(0x21, MSIX, 0, 0, &[]),
        region_read(BAR0, 0, 4),
        region_write(BAR0, 0, &[0]),
        command(Command::RegionWriteMulti, &[0; 8]),
        command(Command::DeviceReset, &[]),
    ];
    for request in requests {
        bench.refused(&request, vec![], Reason::NotNegotiated);
    }
    bench.send(&posted(Command::RegionWrite, &access(BAR0, 0, 1, &[1])), vec![]);
    assert_eq!(bench.device.take_calls(), []);
}

#[test]
fn u03_version_must_come_once() {
    let mut bench = Bench::new();
    let agreed = *bench.session.negotiated().unwrap();
    bench.refused(&version("{}"), vec![], Reason::VersionTwice);
    bench.refused(&version("{"), vec![], Reason::VersionTwice);
    assert_eq!(bench.session.negotiated(), Some(&agreed));
}

#[test]
fn u04_dma_map_that_is_wrong_is_refused() {
    let mut bench = Bench::new();
    let mut short_argsz = dma_map(3, 0, 0, 0x1000);
    short_argsz[16] = 31;
    let cases = [
        (dma_map(3, 0, 0, 0), Reason::DmaRange),
        (dma_map(3, 0, 1 << 63, 1 << 63 | 0x1000), Reason::DmaRange),
        (dma_map(3, 0, u64::MAX - 0xfff, 0x2000), Reason::DmaRange),
        (dma_map(3, 0, 0x800, 0x1000), Reason::DmaRange),
        (dma_map(3, 0, 0, 0x1001), Reason::DmaRange),
        (dma_map(3, 0, 0, u64::MAX), Reason::DmaRange),
        (dma_map(3, 1, 0, 0x1000), Reason::DmaRange),
        (dma_map(3, u64::MAX - 0xfff, 0, 0x1000), Reason::DmaRange),
        (dma_map(0, 0, 0, 0x1000), Reason::DmaFlags),
        (dma_map(4, 0, 0, 0x1000), Reason::DmaFlags),
        (dma_map(u32::MAX, 0, 0, 0x1000), Reason::DmaFlags),
        (short_argsz, Reason::Argsz),
    ];
    for (message, reason) in cases {
        let (canary, fd) = Canary::new();
        bench.refused(&message, vec![fd], reason);
        assert!(canary.is_closed());
    }
}

#[test]
fn u04_dma_map_with_two_fds_closes_both() {
    let mut bench = Bench::new();
    let ((first, a), (second, b)) = (Canary::new(), Canary::new());
    bench.refused(&dma_map(3, 0, 0, 0x1000), vec![a, b], Reason::FdCount);
    assert!(first.is_closed() && second.is_closed());
}

#[test]
fn u04_dma_map_may_end_at_the_last_address() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask(&dma_map(3, 0, u64::MAX - 0xfff, 0x1000)).errno(), None);
}

#[test]
fn u04_dma_map_over_another_is_refused() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask(&dma_map(3, 0, 0x4000, 0x4000)).errno(), None);
    bench.device.take_calls();
    for (address, size) in [
        (0x4000, 0x4000),
        (0x4000, 0x1000),
        (0x7000, 0x2000),
        (0x3000, 0x2000),
        (0, 0x10000),
        (0x5000, 0x1000),
    ] {
        bench.refused(&dma_map(3, 0, address, size), vec![], Reason::DmaOverlap);
    }
    for address in [0x3000, 0x8000] {
        assert_eq!(bench.ask(&dma_map(3, 0, address, 0x1000)).errno(), None);
    }
}

#[test]
fn dma_unmap_of_what_is_not_mapped_is_refused() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask(&dma_map(3, 0, 0x4000, 0x4000)).errno(), None);
    bench.device.take_calls();
    let mut short_argsz = dma_unmap(0, 0x4000, 0x4000);
    short_argsz[16] = 23;
    let cases = [
        (dma_unmap(0, 0x4000, 0x1000), Reason::DmaNotMapped),
        (dma_unmap(0, 0x3000, 0x5000), Reason::DmaNotMapped),
        (dma_unmap(0, 0, 0), Reason::DmaRange),
        (dma_unmap(0, 0x4000, u64::MAX), Reason::DmaRange),
        (dma_unmap(1, 0x4000, 0x4000), Reason::DmaFlags),
        (dma_unmap(4, 0x4000, 0x4000), Reason::DmaFlags),
        (dma_unmap(protocol::DMA_UNMAP_ALL, 0x4000, 0x4000), Reason::DmaRange),
        (short_argsz, Reason::Argsz),
    ];
    for (message, reason) in cases {
        bench.refused(&message, vec![], reason);
    }
    assert_eq!(bench.session.dma_maps(), 1);
}

#[test]
fn u07_region_access_out_of_bounds_is_refused() {
    let mut bench = Bench::new();
    let last = BAR_SIZE as u64;
    let cases = [
        (BAR0, u64::MAX, 1, Reason::RegionBounds),
        (BAR0, u64::MAX - 3, 4, Reason::RegionBounds),
        (BAR0, last, 1, Reason::RegionBounds),
        (BAR0, last - 3, 4, Reason::RegionBounds),
        (BAR0, last + 1, 0, Reason::RegionBounds),
        (BAR0, 0, BAR_SIZE as u32 + 1, Reason::RegionBounds),
        (BAR0, 0, MAX_DATA_XFER_SIZE, Reason::RegionBounds),
        (BAR0, 0, MAX_DATA_XFER_SIZE + 1, Reason::TransferSize),
        (BAR0, 0, u32::MAX, Reason::TransferSize),
        (CONFIG, 4095, 2, Reason::RegionBounds),
        (CONFIG, 4094, 4, Reason::RegionBounds),
        (1, 0, 1, Reason::RegionBounds),
        (9, 0, 4, Reason::RegionIndex),
        (u32::MAX, 0, 4, Reason::RegionIndex),
    ];
    for (region, offset, count, reason) in cases {
        bench.refused(&region_read(region, offset, count), vec![], reason);
        let data = vec![0; count.min(MAX_DATA_XFER_SIZE) as usize];
        let write = command(Command::RegionWrite, &access(region, offset, count, &data));
        bench.refused(&write, vec![], reason);
    }
}

#[test]
fn u07_odd_sizes_reach_the_device_as_they_are() {
    let mut bench = Bench::new();
    for count in [1, 3, 5, 8, 4095] {
        assert_eq!(bench.ask(&region_read(CONFIG, 1, count)).payload.len(), 16 + count as usize);
        let wanted = Call::Read { region: CONFIG, offset: 1, length: count as usize };
        assert_eq!(bench.device.take_calls(), [wanted]);
    }
}

#[test]
fn u07_write_count_must_match_the_data() {
    let mut bench = Bench::new();
    for (count, length) in [(0, 1), (1, 0), (4, 3), (4, 5), (MAX_DATA_XFER_SIZE, 4)] {
        let message = command(Command::RegionWrite, &access(BAR0, 0, count, &vec![0; length]));
        bench.refused(&message, vec![], Reason::PayloadLength);
    }
}

#[test]
fn u07_access_against_the_direction_is_refused() {
    let mut bench = Bench::new();
    bench.refused(&region_write(ROM_READ_ONLY, 0, &[0]), vec![], Reason::RegionDirection);
    bench.refused(&region_read(BAR4_WRITE_ONLY, 0, 1), vec![], Reason::RegionDirection);
}

#[test]
fn u10_what_is_not_an_eventfd_is_refused_and_closed() {
    let full_pipe = || {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
        while rustix::io::write(&write, &[0; 4096]).is_ok() {}
        (read, write)
    };
    let (_kept_open, pipe) = full_pipe();
    let file: OwnedFd = tempfile::tempfile().unwrap().into();
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let null: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
    let mut bench = Bench::new();
    for fd in [pipe, file, socket.into(), null, memfd(4096)] {
        let message = set_irqs(0x24, MSIX, 0, 2, &[]);
        bench.refused(&message, vec![eventfd(), fd], Reason::NotAnEventFd);
    }
    let (canary, fd) = Canary::new();
    bench.refused(&set_irqs(0x24, MSIX, 0, 1, &[]), vec![fd], Reason::NotAnEventFd);
    assert!(canary.is_closed());
}

#[test]
fn set_irqs_that_is_wrong_is_refused() {
    let mut bench = Bench::new();
    let mut argsz = set_irqs(0x21, MSIX, 0, 1, &[]);
    argsz[16] = 19;
    let cases = [
        (argsz, 0, Reason::Argsz),
        (command(Command::DeviceSetIrqs, &[0; 8]), 0, Reason::PayloadLength),
        (set_irqs(0x21, 5, 0, 0, &[]), 0, Reason::IrqIndex),
        (set_irqs(0x21, u32::MAX, 0, 1, &[]), 0, Reason::IrqIndex),
        // No, two, or unknown actions.
        (set_irqs(0x01, MSIX, 0, 1, &[]), 0, Reason::IrqFlags),
        (set_irqs(0x19, MSIX, 0, 1, &[]), 0, Reason::IrqFlags),
        (set_irqs(0x39, MSIX, 0, 1, &[]), 0, Reason::IrqFlags),
        (set_irqs(0x61, MSIX, 0, 1, &[]), 0, Reason::IrqFlags),
        // No or two kinds of data.
        (set_irqs(0x20, MSIX, 0, 1, &[]), 0, Reason::IrqFlags),
        (set_irqs(0x23, MSIX, 0, 1, &[0]), 0, Reason::IrqFlags),
        (set_irqs(0x26, MSIX, 0, 1, &[0]), 0, Reason::IrqFlags),
        // Ranges.
        (set_irqs(0x21, MSIX, 2047, 2, &[]), 0, Reason::IrqRange),
        (set_irqs(0x21, MSIX, 2048, 1, &[]), 0, Reason::IrqRange),
        (set_irqs(0x21, MSIX, u32::MAX, 2, &[]), 0, Reason::IrqRange),
        (set_irqs(0x24, MSIX, 284, u32::MAX, &[]), 0, Reason::IrqRange),
        (set_irqs(0x21, ERR, 0, 2, &[]), 0, Reason::IrqRange),
        (set_irqs(0x21, 1, 0, 1, &[]), 0, Reason::IrqRange),
        // A count of 0 means "disable all" in one form only.
        (set_irqs(0x21, MSIX, 1, 0, &[]), 0, Reason::IrqRange),
        (set_irqs(0x09, MSIX, 0, 0, &[]), 0, Reason::IrqRange),
        (set_irqs(0x22, MSIX, 0, 0, &[]), 0, Reason::IrqRange),
        (set_irqs(0x24, MSIX, 0, 0, &[]), 0, Reason::IrqRange),
        // Abilities.
        (set_irqs(0x09, ERR, 0, 1, &[]), 0, Reason::IrqFlags),
        (set_irqs(0x11, ERR, 0, 1, &[]), 0, Reason::IrqFlags),
        (set_irqs(0x0c, ERR, 0, 1, &[]), 1, Reason::IrqFlags),
        // Data and descriptors against the count.
        (set_irqs(0x22, MSIX, 0, 2, &[0]), 0, Reason::PayloadLength),
        (set_irqs(0x22, MSIX, 0, 2, &[0; 3]), 0, Reason::PayloadLength),
        (set_irqs(0x22, MSIX, 0, u32::MAX, &[0; 3]), 0, Reason::PayloadLength),
        (set_irqs(0x22, MSIX, 0, 1, &[0]), 1, Reason::FdCount),
        (set_irqs(0x21, MSIX, 0, 1, &[]), 1, Reason::FdCount),
        (set_irqs(0x24, MSIX, 0, 2, &[]), 1, Reason::FdCount),
        (set_irqs(0x24, MSIX, 0, 1, &[]), 2, Reason::FdCount),
    ];
    for (message, fds, reason) in cases {
        bench.refused(&message, (0..fds).map(|_| eventfd()).collect(), reason);
    }
}

#[test]
fn u11_region_info_needs_room_for_the_structure() {
    let mut bench = Bench::new();
    for argsz in [0, 1, 31] {
        bench.refused(&region_info(argsz, BAR2_MAPPED), vec![], Reason::Argsz);
    }
    for index in [9, 10, u32::MAX] {
        bench.refused(&region_info(32, index), vec![], Reason::RegionIndex);
    }
    for argsz in [0, 15] {
        let message = command(Command::DeviceGetInfo, &words(&[argsz, 0, 0, 0]));
        bench.refused(&message, vec![], Reason::Argsz);
        let message = command(Command::DeviceGetIrqInfo, &words(&[argsz, 0, MSIX, 0]));
        bench.refused(&message, vec![], Reason::Argsz);
    }
    for index in [5, u32::MAX] {
        let message = command(Command::DeviceGetIrqInfo, &words(&[16, 0, index, 0]));
        bench.refused(&message, vec![], Reason::IrqIndex);
    }
}

#[test]
fn u12_reset_flood_is_answered_one_by_one() {
    let mut wire = Wire::new();
    let flood = command(Command::DeviceReset, &[]).repeat(1000);
    wire.send(&flood, &[]);
    wire.serve().unwrap();
    for _ in 0..1000 {
        assert_eq!(wire.receive().errno(), None);
        wire.server.on_writable().unwrap();
    }
    assert_eq!(wire.device.take_calls().len(), 1000);
    assert!(wire.is_quiet());
}

#[test]
fn u13_migration_is_not_supported() {
    let mut bench = Bench::new();
    for number in [6, 14, 16, 17, 18] {
        for payload in [&[][..], &[0xff; 8], &[0; 4096]] {
            let (canary, fd) = Canary::new();
            bench.refused(&raw(1, number, 0, payload), vec![], Reason::UnsupportedCommand);
            bench.refused(&raw(1, number, 0, payload), vec![fd], Reason::FdCount);
            assert!(canary.is_closed());
        }
    }
    assert_eq!(bench.ask(&command(Command::DeviceFeature, &[0; 8])).errno(), Some(Errno::OPNOTSUPP));
}

#[test]
fn u15_client_that_closes_before_its_reply_ends_the_session() {
    let mut wire = Wire::new();
    wire.send(&dma_map(3, 0, 0, 0x1000), &[memfd(0x1000).as_fd()]);
    wire.send(&region_read(BAR0, 0, 0x4000), &[]);
    let (other, _) = std::os::unix::net::UnixStream::pair().unwrap();
    drop(std::mem::replace(&mut wire.client, other));
    assert!(matches!(wire.serve(), Err(Closed::ByClient)));
}

#[test]
fn u16_client_that_takes_no_fds_sees_no_mapping() {
    let mut bench = Bench::fresh();
    bench.ask(&version(r#"{"capabilities": {"max_msg_fds": 0}}"#));
    let reply = bench.ask(&region_info(4096, BAR2_MAPPED));
    assert_eq!(reply.payload, words(&[32, 3, BAR2_MAPPED, 0, 0x4000, 0, 0, 0]));
    assert!(reply.fd.is_none());
}

#[test]
fn u17_fds_of_a_bad_request_are_closed() {
    let messages = [
        set_irqs(0x22, MSIX, 0, 1, &[]),
        region_read(BAR0, 0, 4),
        region_write(BAR0, 0, &[1]),
        region_info(32, 0),
        dma_unmap(0, 0, 0x1000),
        command(Command::DeviceReset, &[]),
        raw(1, 999, 0, &[]),
        raw(1, Command::DmaMap as u16, 3, &[0; 32]),
        raw(1, Command::DmaWrite as u16, Header::REPLY, &[]),
        posted(Command::RegionRead, &access(BAR0, 0, 4, &[])),
    ];
    for message in messages {
        let mut wire = Wire::new();
        let ((first, a), (second, b)) = (Canary::new(), Canary::new());
        wire.send(&message, &[a.as_fd(), b.as_fd()]);
        drop((a, b));
        wire.serve().unwrap();
        assert!(first.is_closed() && second.is_closed());
        assert_eq!(wire.server.session().counters().total(), 1);
        assert_eq!(wire.device.take_calls(), []);
    }
}

#[test]
fn u17_more_fds_than_a_message_may_have_are_closed() {
    let ((first, fd), mut wire) = (Canary::new(), Wire::new());
    let copies: Vec<OwnedFd> = (0..17).map(|_| fd.try_clone().unwrap()).collect();
    let borrowed: Vec<_> = copies.iter().map(AsFd::as_fd).collect();
    // Half of them come with the header, half with the payload, so that each read has room for its own.
    let message = set_irqs(0x24, MSIX, 0, 16, &[]);
    wire.send(&message[..HEADER_SIZE], &borrowed[..8]);
    wire.send(&message[HEADER_SIZE..], &borrowed[8..]);
    drop(copies);
    drop(fd);
    wire.serve().unwrap();
    assert_eq!(wire.receive().errno(), Some(Errno::INVAL));
    assert_eq!(wire.server.session().counters().get(Reason::FdCount), 1);
    assert!(first.is_closed());
    assert_eq!(wire.ask(&region_read(BAR0, 0, 4), &[]).errno(), None, "the next message has none of it");
}

#[test]
fn u17_fds_that_the_kernel_throws_away_end_the_session() {
    let ((canary, fd), mut wire) = (Canary::new(), Wire::new());
    let copies: Vec<OwnedFd> = (0..253).map(|_| fd.try_clone().unwrap()).collect();
    let borrowed: Vec<_> = copies.iter().map(AsFd::as_fd).collect();
    wire.send(&dma_map(3, 0, 0, 0x1000), &borrowed);
    drop(copies);
    drop(fd);
    assert!(matches!(wire.serve(), Err(Closed::LostFds)));
    drop(wire);
    assert!(canary.is_closed());
}

#[test]
fn u19_dma_maps_are_bounded() {
    const LIMIT: u32 = 10;
    let mut bench = Bench::fresh();
    bench.session = Session::new(LIMIT);
    let offer = bench.ask(&version(QEMU_VERSION)).payload;
    assert!(String::from_utf8_lossy(&offer).contains("\"max_dma_maps\":10"));
    let map = |i: u32| dma_map(3, 0, u64::from(i) << 20, 0x1000);
    for i in 0..LIMIT {
        assert_eq!(bench.ask(&map(i)).errno(), None);
    }
    bench.device.take_calls();
    for i in LIMIT..1000 {
        bench.refused(&map(i), vec![], Reason::DmaTooMany);
    }
    assert_eq!(bench.ask(&dma_unmap(0, 0, 0x1000)).errno(), None);
    assert_eq!(bench.ask(&map(LIMIT)).errno(), None);
}

#[test]
fn query_without_reply_does_nothing() {
    let mut bench = Bench::new();
    let queries = [
        posted(Command::RegionRead, &access(BAR0, 0, 4, &[])),
        posted(Command::DeviceGetInfo, &words(&[16, 0, 0, 0])),
        posted(Command::DeviceGetRegionInfo, &words(&[80, 0, 2, 0, 0, 0, 0, 0])),
        posted(Command::DeviceGetIrqInfo, &words(&[16, 0, 2, 0])),
        posted(Command::Version, &[0, 0, 0, 0]),
    ];
    for query in &queries {
        assert!(bench.send(query, vec![]).is_empty());
    }
    assert_eq!(bench.session.counters().get(Reason::NoReplyToQuery), queries.len() as u64);
    assert_eq!(bench.device.take_calls(), []);
}

#[test]
fn every_reason_has_a_name_of_its_own() {
    let names: std::collections::HashSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(names.len(), Reason::ALL.len());
}
