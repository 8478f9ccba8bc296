use zerocopy::IntoBytes;

use super::*;
use crate::protocol::{Command, MAX_DATA_XFER_SIZE};

fn header(payload: usize) -> Header {
    Header::new(1, Command::RegionWrite as u16, Header::COMMAND, payload)
}

#[test]
fn memory_follows_what_is_sent_not_what_is_claimed() {
    let mut decoder = Decoder::default();
    assert_eq!(decoder.push(header(MAX_DATA_XFER_SIZE as usize).as_bytes()), HEADER_SIZE);
    assert!(decoder.message().unwrap().is_none());
    assert_eq!(decoder.space().len(), CHUNK);
    assert!(decoder.buffer.capacity() < 2 * CHUNK);
}

#[test]
fn memory_of_a_long_message_is_given_back() {
    let mut decoder = Decoder::default();
    let stream = [header(1 << 20).as_bytes(), &vec![7; 1 << 20]].concat();
    let mut rest = &stream[..];
    while !rest.is_empty() {
        rest = &rest[decoder.push(rest)..];
        if let Some(message) = decoder.message().unwrap() {
            assert_eq!(message.payload.len(), 1 << 20);
        }
    }
    assert!(!decoder.is_mid_message());
    assert_eq!(decoder.space().len(), HEADER_SIZE);
    assert!(decoder.buffer.capacity() <= KEPT);
}

#[test]
fn room_ends_where_the_message_ends() {
    let mut decoder = Decoder::default();
    for payload in [5, 0, 70_000, 1] {
        assert_eq!(decoder.space().len(), HEADER_SIZE);
        decoder.push(header(payload).as_bytes());
        let mut missing = payload;
        while decoder.message().unwrap().is_none() {
            let room = decoder.space().len();
            assert_eq!(room, missing.min(CHUNK));
            decoder.advance(room);
            missing -= room;
        }
        assert_eq!(missing, 0);
    }
}
