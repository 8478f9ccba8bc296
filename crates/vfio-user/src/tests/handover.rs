//! A successor takes the connection over, at any byte.

use std::os::fd::AsFd;

use super::support::*;
use crate::protocol::Command;
use crate::{Connection, Progress, RestoreError, SessionState};

impl Wire {
    /// Replaces the server by its successor, as a restart does: the state goes through serialisation.
    fn hand_over(self) -> Self {
        let (stream, state, fds) = self.server.into_parts();
        let saved = serde_json::to_string(&state).unwrap();
        let state: SessionState = serde_json::from_str(&saved).unwrap();
        let server = Connection::from_parts(stream, state, fds).unwrap();
        Self { server, ..self }
    }
}

fn session() -> Vec<Vec<u8>> {
    vec![
        version(QEMU_VERSION),
        command(Command::DeviceGetInfo, &words(&[16, 0, 0, 0])),
        dma_map(3, 0, 0, 0x1000),
        region_info(80, BAR2_MAPPED),
        set_irqs(0x24, MSIX, 0, 1, &[]),
        posted(Command::RegionWrite, &access(BAR0, 0, 4, &[1, 2, 3, 4])),
        region_read(BAR0, 0, 8),
        dma_unmap(0, 0, 0x1000),
        command(Command::DeviceReset, &[]),
    ]
}

/// Plays the session; at the byte `cut` the server changes.
fn play(cut: Option<usize>) -> (Vec<Call>, Vec<(Vec<u8>, bool)>) {
    let mut wire = Wire::fresh();
    let mut replies = Vec::new();
    let mut at = 0;
    for (number, message) in session().into_iter().enumerate() {
        let fd = match number {
            2 => Some(memfd(0x1000)),
            4 => Some(eventfd()),
            _ => None,
        };
        let fds: Vec<_> = fd.iter().map(AsFd::as_fd).collect();
        match cut.map(|cut| cut.wrapping_sub(at)) {
            Some(cut) if cut < message.len() => {
                if cut > 0 {
                    wire.send(&message[..cut], &fds);
                }
                assert_eq!(wire.server.on_readable(&mut wire.device).unwrap(), Progress::Idle);
                wire = wire.hand_over();
                wire.send(&message[cut..], if cut == 0 { &fds } else { &[] });
            }
            _ => wire.send(&message, &fds),
        }
        wire.serve().unwrap();
        if number != 5 {
            let reply = wire.receive();
            assert_eq!(reply.errno(), None, "message {number}, cut {cut:?}");
            replies.push((reply.payload, reply.fd.is_some()));
        }
        assert!(wire.is_quiet());
        at += message.len();
    }
    assert_eq!(wire.server.session().dma_maps(), 0);
    (wire.device.take_calls(), replies)
}

#[test]
fn handover_at_every_byte_of_a_session_changes_nothing() {
    let wanted = play(None);
    assert_eq!(wanted.0.len(), 6);
    for cut in 0..session().concat().len() {
        assert_eq!(play(Some(cut)), wanted, "cut at byte {cut}");
    }
}

#[test]
fn unsent_output_and_its_fds_go_over() {
    let mut wire = Wire::new();
    // Fill the socket towards the client, so that replies wait in the server, some of them begun.
    let mut filler = 0_usize;
    while wire.server.dma_write(0x1000, &[7; 3000]).is_ok() {
        filler += 1;
    }
    while wire.server.session().output().is_full() {
        assert_eq!(wire.receive().payload.len(), 3016);
        filler -= 1;
        wire.server.on_writable().unwrap();
    }
    wire.send(&[region_info(80, BAR2_MAPPED), region_read(BAR0, 0, 4)].concat(), &[]);
    wire.server.on_readable(&mut wire.device).unwrap();
    assert!(wire.server.wants_write());

    let mut wire = wire.hand_over();
    wire.server.on_writable().unwrap();
    for _ in 0..filler {
        assert_eq!(wire.receive().payload.len(), 3016);
        wire.server.on_writable().unwrap();
    }
    wire.serve().unwrap();
    let (info, data) = (wire.receive(), wire.receive());
    assert_eq!((info.payload.len(), info.fd.is_some()), (80, true));
    assert_eq!((data.payload.len(), data.fd.is_some()), (20, false));
    assert!(wire.is_quiet());
}

#[test]
fn message_that_is_sent_in_part_goes_on_where_it_stopped() {
    let mut wire = Wire::new();
    let data: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
    wire.server.dma_write(0, &data).unwrap();
    let pending = wire.server.session().output().pending();
    assert!(0 < pending && pending < data.len(), "{pending} bytes wait");
    let mut wire = wire.hand_over();
    assert_eq!(wire.server.session().output().pending(), pending);
    let client = wire.client.try_clone().unwrap();
    let reader = std::thread::spawn(move || receive(&client));
    while wire.server.wants_write() {
        wire.server.on_writable().unwrap();
        std::thread::yield_now();
    }
    assert!(reader.join().unwrap().payload[16..] == data);
}

#[test]
fn message_ids_and_dma_maps_go_on() {
    let mut wire = Wire::new();
    wire.server.dma_write(0, &[1]).unwrap();
    assert_eq!(wire.receive().header.id.get(), 0);
    assert_eq!(wire.ask(&dma_map(3, 0, 0, 0x1000), &[]).errno(), None);
    let mut wire = wire.hand_over();
    wire.server.dma_write(0, &[1]).unwrap();
    assert_eq!(wire.receive().header.id.get(), 1);
    assert_eq!(wire.ask(&dma_map(3, 0, 0, 0x1000), &[]).errno(), Some(crate::Errno::EXIST));
    assert_eq!(wire.ask(&dma_unmap(0, 0, 0x1000), &[]).errno(), None);
}

#[test]
fn state_that_cannot_be_is_refused() {
    let restore = |change: &dyn Fn(&mut SessionState), fds: usize| {
        let (stream, mut state, kept) = Wire::new().server.into_parts();
        assert!(kept.is_empty());
        change(&mut state);
        Connection::from_parts(stream, state, (0..fds).map(|_| eventfd()).collect()).map(|_| ())
    };
    assert_eq!(restore(&|_| {}, 0), Ok(()));
    assert_eq!(restore(&|_| {}, 1), Err(RestoreError::FdCount { expected: 0, found: 1 }));
    assert_eq!(
        restore(&|state| state.input_fds = 1, 0),
        Err(RestoreError::FdCount { expected: 1, found: 0 })
    );
    assert_eq!(
        restore(&|state| state.input_fds = 17, 17),
        Err(RestoreError::FdCount { expected: 17, found: 17 })
    );
    assert!(restore(&|state| state.input_fds = usize::MAX, 0).is_err());
    assert_eq!(restore(&|state| state.input_fds = 1, 1), Err(RestoreError::Input { length: 0 }));
    assert_eq!(restore(&|state| state.surplus_fds = true, 0), Err(RestoreError::Input { length: 0 }));
    let reset = command(Command::DeviceReset, &[]);
    assert_eq!(restore(&|state| state.input = reset.clone(), 0), Err(RestoreError::Input { length: 16 }));
    assert_eq!(restore(&|state| state.input = vec![0; 17], 0), Err(RestoreError::Input { length: 17 }));
    assert_eq!(restore(&|state| state.input = reset[..15].to_vec(), 0), Ok(()));
    let wraps = RestoreError::DmaMap { iova: 0x1000, size: u64::MAX };
    assert_eq!(restore(&|state| state.dma_maps = vec![(0x1000, u64::MAX)], 0), Err(wraps));
    let twice = RestoreError::DmaMap { iova: 0, size: 0x1000 };
    assert_eq!(restore(&|state| state.dma_maps = vec![(0, 0x1000), (0, 0x1000)], 0), Err(twice));
    let empty = crate::handover::OutputState { bytes: Vec::new(), fd: false };
    assert_eq!(restore(&|state| state.output.push(empty.clone()), 0), Err(RestoreError::Output));
}
