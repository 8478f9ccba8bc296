//! The stream may be cut anywhere: what comes out is the same.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use proptest::prelude::*;

use super::support::*;
use crate::{Connection, DEFAULT_MAX_DMA_MAPS, Decoder, Errno};

fn message() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..64),
        1 => (60_000_usize..150_000).prop_map(|length| vec![7; length]),
    ];
    (any::<u16>(), any::<u16>(), any::<u32>(), payload)
        .prop_map(|(id, number, flags, payload)| raw(id, number, flags, &payload))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_gives_the_same_messages(
        messages in prop::collection::vec(message(), 1..8),
        cuts in prop::collection::vec(1_usize..5000, 1..32),
    ) {
        let stream = messages.concat();
        let mut decoder = Decoder::default();
        let mut found = Vec::new();
        let (mut at, mut cuts) = (0, cuts.into_iter().cycle());
        while at < stream.len() {
            let end = (at + cuts.next().unwrap()).min(stream.len());
            let mut chunk = &stream[at..end];
            while !chunk.is_empty() {
                let taken = decoder.push(chunk);
                prop_assert!(taken > 0);
                chunk = &chunk[taken..];
                if let Some(message) = decoder.message().unwrap() {
                    found.push([zerocopy::IntoBytes::as_bytes(&message.header), message.payload].concat());
                }
                prop_assert!(decoder.message().unwrap().is_none(), "each message is given out once");
            }
            at = end;
        }
        prop_assert!(!decoder.is_mid_message());
        prop_assert_eq!(found, messages);
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let mut bench = Bench::new();
        let mut decoder = Decoder::default();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            rest = &rest[decoder.push(rest)..];
            let Ok(message) = decoder.message() else { break };
            if message.is_some_and(|message| bench.session.handle(message, &mut bench.device).is_err()) {
                break;
            }
        }
    }

    #[test]
    fn any_payload_gets_one_reply_at_most(
        number in 0_u16..20,
        flags in prop_oneof![4 => Just(0_u32), 1 => Just(0x10)],
        payload in prop::collection::vec(prop_oneof![3 => Just(0_u8), 1 => any::<u8>()], 0..64),
    ) {
        let mut bench = Bench::new();
        let replies = bench.send(&raw(1, number, flags, &payload), vec![]);
        prop_assert_eq!(replies.len(), usize::from(flags == 0));
    }
}

#[test]
fn fds_belong_to_the_message_that_they_were_sent_with() {
    let mut wire = Wire::new();
    let (canary, pipe) = Canary::new();
    // The kernel may return all of these bytes at once; only the second message has a descriptor.
    wire.send(&region_read(BAR0, 0, 4), &[]);
    wire.send(&dma_map(3, 0, 0, 0x1000), &[pipe.as_fd()]);
    wire.send(&dma_map(3, 0, 0x1000, 0x1000), &[]);
    wire.send(&set_irqs(0x24, MSIX, 0, 1, &[]), &[eventfd().as_fd()]);
    drop(pipe);
    wire.serve().unwrap();
    let calls = wire.device.take_calls();
    assert!(matches!(calls[1], Call::Map { iova: 0, fd: true, .. }), "{calls:?}");
    assert!(matches!(calls[2], Call::Map { iova: 0x1000, fd: false, .. }), "{calls:?}");
    assert!(matches!(calls[3], Call::Irqs { data: Data::EventFds(1), .. }), "{calls:?}");
    assert!(canary.is_closed());
}

#[test]
fn fd_of_a_reply_comes_with_its_first_byte() {
    let mut wire = Wire::new();
    wire.send(
        &[region_read(BAR0, 0, 64), region_info(80, BAR2_MAPPED), region_read(BAR0, 0, 64)].concat(),
        &[],
    );
    wire.serve().unwrap();
    let replies = [wire.receive(), wire.receive(), wire.receive()];
    assert_eq!(replies.each_ref().map(|reply| reply.fd.is_some()), [false, true, false]);
}

#[test]
fn errors_leave_the_stream_in_step() {
    let mut wire = Wire::new();
    wire.send(&[raw(5, 999, 0, &[1; 1000]), region_read(BAR0, 0, 4)].concat(), &[]);
    wire.serve().unwrap();
    assert_eq!(wire.receive().errno(), Some(Errno::OPNOTSUPP));
    assert_eq!(wire.receive().payload.len(), 20);
}

#[test]
fn a_client_that_is_let_go_reads_the_end_whatever_it_has_sent() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let connection = Connection::new(ours, DEFAULT_MAX_DMA_MAPS);
    theirs.write_all(&raw(1, 9, 0, &[7; 1000])).unwrap();
    connection.close();
    assert_eq!(theirs.read(&mut [0]).unwrap(), 0, "the end, and not ECONNRESET");
}
