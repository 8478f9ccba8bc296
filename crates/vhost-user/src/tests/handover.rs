//! A successor takes the connection over, at any byte; and front ends that leave at any byte.

use super::support::*;
use crate::handover::{InflightState, LogArea, OutputState};
use crate::protocol::{RequestCode as R, features, protocol_features};
use crate::{Connection, Errno, RestoreError, SessionState};

impl Wire {
    /// Replaces the back end by its successor, as a restart does: the state goes through serialisation, and the device
    /// of the successor knows nothing.
    fn hand_over(mut self) -> Self {
        let (stream, state, fds) = self.server.into_parts(&mut self.device).unwrap();
        assert!(self.device.rings.is_empty());
        let saved = serde_json::to_string(&state).unwrap();
        let state: SessionState = serde_json::from_str(&saved).unwrap();
        let mut device = TestBackend { progress: self.device.progress, ..TestBackend::default() };
        let server = Connection::from_parts(stream, state, fds, &mut device).unwrap();
        device.check();
        Self { peer: self.peer, server, device }
    }
}

/// Everything that a session can have.
fn session() -> Vec<(Vec<u8>, Vec<std::os::fd::OwnedFd>)> {
    let inflight = [longs(&[1 << 20, 0]), words(&[2 | 256 << 16, 0])].concat();
    let used = places(0)[2] - USER + GUEST;
    let mut messages = vec![
        (message(R::SetProtocolFeatures, &longs(&[protocol_features::OFFERED])), vec![]),
        (acked(R::SetVringEnable, &words(&[0, 1])), vec![]),
        (message(R::NetSetMtu, &longs(&[9000])), vec![]),
        (message(R::SetFeatures, &longs(&[SPLIT])), vec![]),
        (message(R::SetMemTable, &table(&[REGION, [0, SIZE, 0, 0]])), vec![memfd(SIZE), memfd(SIZE)]),
        (message(R::GetInflightFd, &inflight), vec![]),
        (message(R::SetInflightFd, &inflight), vec![memfd(1 << 20)]),
        (message(R::SetVringErr, &longs(&[0])), vec![eventfd()]),
    ];
    messages.extend(ring(0, 5));
    messages.extend(ring(1, 6));
    messages.extend([
        (message(R::SetStatus, &longs(&[15])), vec![]),
        (message(R::SetLogBase, &longs(&[LOG_SIZE, 0])), vec![memfd(LOG_SIZE)]),
        (acked(R::SetFeatures, &longs(&[SPLIT | features::LOG_ALL])), vec![]),
        (message(R::SetVringAddr, &addresses(0, 1, places(0), used)), vec![]),
        (message(R::GetVringBase, &words(&[1, 0])), vec![]),
        (message(R::GetFeatures, &[]), vec![]),
    ]);
    messages
}

/// What is left of a session at its end: rings, memory, log, replies.
type End = (Vec<String>, usize, Option<u64>, Vec<(u32, Vec<u8>, bool)>);

/// Plays the session; at the byte `cut` the back end changes.
fn play(cut: Option<usize>) -> End {
    let mut wire = Wire::fresh();
    let mut replies = Vec::new();
    let mut at = 0;
    for (message, fds) in session() {
        let fds = borrowed(&fds);
        match cut.map(|cut| cut.wrapping_sub(at)) {
            Some(cut) if cut < message.len() => {
                if cut > 0 {
                    wire.send(&message[..cut], &fds);
                }
                wire.serve().unwrap();
                wire = wire.hand_over();
                wire.send(&message[cut..], if cut == 0 { &fds } else { &[] });
            }
            _ => wire.send(&message, &fds),
        }
        wire.serve().unwrap();
        let answers = wire.replies().into_iter();
        replies.extend(answers.map(|reply| (reply.request, reply.payload, reply.fd.is_some())));
        at += message.len();
    }
    assert_eq!(wire.server.session().counters().total(), 0, "cut {cut:?}");
    let rings = wire.device.rings.iter().map(|(index, ring)| {
        let events = [&ring.kick, &ring.call, &ring.err].map(Option::is_some);
        let (addresses, place) = ([ring.descriptors, ring.driver, ring.device], ring.position);
        format!(
            "{index} {} {addresses:x?} {place:?} {} {events:?} {:?}",
            ring.size, ring.enabled, ring.device_log
        )
    });
    (rings.collect(), wire.device.memory.len(), wire.device.log, replies)
}

#[test]
fn handover_at_every_byte_of_a_session_changes_nothing() {
    let wanted = play(None);
    assert_eq!((wanted.0.len(), wanted.1, wanted.2), (1, 2, Some(LOG_SIZE)));
    assert_eq!(wanted.3.iter().map(|reply| reply.0).collect::<Vec<_>>(), [18, 31, 6, 2, 11, 1]);
    for cut in 0..session().iter().map(|(message, _)| message.len()).sum() {
        assert_eq!(play(Some(cut)), wanted, "cut at byte {cut}");
    }
}

#[test]
fn v33_front_end_that_leaves_at_any_byte_leaves_nothing_behind() {
    let length: usize = session().iter().map(|(message, _)| message.len()).sum();
    for cut in 0..length {
        let mut wire = Wire::fresh();
        let (canary, pipe) = Canary::new();
        let mut left = cut;
        for (message, mut fds) in session() {
            let part = left.min(message.len());
            left -= part;
            if part == 0 {
                break;
            }
            // Where the session has a file, it is one whose end can be seen.
            if message[0] == R::SetMemTable as u8 || message[0] == R::SetLogBase as u8 {
                fds = fds.iter().map(|_| pipe.try_clone().unwrap()).collect();
            }
            wire.send(&message[..part], &borrowed(&fds));
            wire.serve().unwrap();
        }
        drop(pipe);
        wire.peer.shutdown(std::net::Shutdown::Both).unwrap();
        assert!(wire.serve().is_err());
        wire.server.close(&mut wire.device);
        assert!(canary.is_closed(), "cut at byte {cut}");
        assert!(wire.device.rings.is_empty() && wire.device.memory.is_empty() && wire.device.log.is_none());
    }
}

#[test]
fn positions_at_the_time_of_the_handover_go_over() {
    let mut wire = Wire::fresh();
    for (message, fds) in session().into_iter().take(18) {
        wire.send(&message, &borrowed(&fds));
    }
    wire.serve().unwrap();
    assert_eq!(wire.replies().len(), 2);
    wire.device.progress = 100;
    let wire = wire.hand_over();
    let positions: Vec<_> = wire.device.rings.values().map(|ring| ring.position.to_wire()).collect();
    assert_eq!(positions, [105, 106]);
    let calls = &wire.device.calls;
    assert!(matches!(calls[..3], [Call::Features(_), Call::Replace(_), Call::SetInflight(_)]), "{calls:?}");
    assert!(calls.contains(&Call::Mtu(9000)));
}

#[test]
fn replies_that_wait_go_over() {
    let mut wire = Wire::fresh();
    let (request, mut sent) = (message(R::GetFeatures, &[]).repeat(100), 0);
    while !wire.server.session().output().is_full() {
        while let Ok(count) =
            rustix::net::send(&wire.peer, &request[sent % 12..], rustix::net::SendFlags::DONTWAIT)
        {
            sent += count;
        }
        wire.server.on_readable(&mut wire.device).unwrap();
    }
    let mut wire = wire.hand_over();
    assert!(wire.server.session().output().is_full());
    for _ in 0..sent / 12 {
        assert_eq!(wire.receive().payload.len(), 8);
        wire.server.on_writable().unwrap();
        while wire.server.on_readable(&mut wire.device).unwrap() == crate::Progress::More {}
    }
    assert!(wire.is_quiet());
}

#[test]
fn state_that_cannot_be_is_refused() {
    let restore = |change: &dyn Fn(&mut SessionState), fds: usize| {
        let mut wire = Wire::fresh();
        let (stream, mut state, kept) = wire.server.into_parts(&mut wire.device).unwrap();
        assert!(kept.is_empty());
        change(&mut state);
        let fds = (0..fds).map(|_| memfd(SIZE)).collect();
        Connection::from_parts(stream, state, fds, &mut wire.device).map(|_| ())
    };
    let region = crate::MemoryRegion::new(0, 0x1000, 0, 0).unwrap();
    assert_eq!(restore(&|_| {}, 0), Ok(()));
    assert_eq!(restore(&|_| {}, 1), Err(RestoreError::FdCount { expected: 0, found: 1 }));
    assert!(restore(&|state| state.input_fds = usize::MAX, 0).is_err());
    assert!(restore(&|state| state.input_fds = 9, 9).is_err());
    assert_eq!(restore(&|state| state.input_fds = 1, 1), Err(RestoreError::Input { length: 0 }));
    assert_eq!(restore(&|state| state.surplus_fds = true, 0), Err(RestoreError::Input { length: 0 }));
    let whole = message(R::GetFeatures, &[]);
    assert_eq!(restore(&|state| state.input = whole.clone(), 0), Err(RestoreError::Input { length: 12 }));
    assert_eq!(restore(&|state| state.input = whole[..11].to_vec(), 0), Ok(()));
    assert_eq!(restore(&|state| state.memory = vec![region; 2], 2), Err(RestoreError::Memory));
    assert_eq!(restore(&|state| state.rings.truncate(1), 0), Err(RestoreError::Rings));
    assert_eq!(restore(&|state| state.rings[0].size = Some(1025), 0), Err(RestoreError::Rings));
    assert_eq!(restore(&|state| state.rings[0].call = true, 1), Err(RestoreError::NotAnEventFd));
    let foreign = RestoreError::Features { missing: 1 << 50 };
    assert_eq!(restore(&|state| state.features = Some(SPLIT | 1 << 50), 0), Err(foreign));
    let log = |size| Some(LogArea { offset: 0, size });
    assert_eq!(restore(&|state| state.log = log(0), 1), Err(RestoreError::Area));
    assert_eq!(restore(&|state| state.log = log(1), 1), Ok(()));
    let area = |queues, size| {
        let shape = crate::InflightShape { queues, queue_size: 256, packed: false };
        Some(InflightState { shape, offset: 0, size })
    };
    assert_eq!(restore(&|state| state.inflight = area(5, 1 << 20), 1), Err(RestoreError::Area));
    assert_eq!(restore(&|state| state.inflight = area(1, 4159), 1), Err(RestoreError::Area));
    assert_eq!(restore(&|state| state.inflight = area(1, 4160), 1), Ok(()));
    let reply = |length| OutputState { bytes: vec![0; length], fd: false };
    for bad in [vec![reply(0)], vec![reply(37)], vec![reply(12); 65]] {
        assert_eq!(restore(&|state| state.output.clone_from(&bad), 0), Err(RestoreError::Output));
    }
    let saved = serde_json::to_string(&region).unwrap().replace("4096", "4095");
    assert!(serde_json::from_str::<crate::MemoryRegion>(&saved).is_err());
}

#[test]
fn device_that_does_not_take_the_memory_ends_the_handover() {
    let mut wire = Wire::fresh();
    wire.send(&message(R::SetMemTable, &table(&[REGION])), &borrowed(&[memfd(SIZE)]));
    wire.serve().unwrap();
    let (stream, state, fds) = wire.server.into_parts(&mut wire.device).unwrap();
    let mut device = TestBackend { fail: Some(Errno::NOMEM), ..TestBackend::default() };
    let restored = Connection::from_parts(stream, state, fds, &mut device);
    assert_eq!(restored.unwrap_err(), RestoreError::Backend(Errno::NOMEM));
}
