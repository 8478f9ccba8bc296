use ethernet::MacAddr;
use proptest::prelude::*;

use super::message::{Answer, Change, Interface, Request, answer, change};

/// An attribute, padded.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + body.len()).unwrap();
    let head = [length.to_ne_bytes(), u32::from(kind).to_ne_bytes(), sequence.to_ne_bytes(), [0; 4]];
    [&head.concat()[..], body].concat()
}

/// What an interface of that index is described by.
fn description(index: u32, flags: u32) -> Vec<u8> {
    let head = [[0; 4], index.to_ne_bytes(), flags.to_ne_bytes(), [0; 4]].concat();
    let kind = attribute(1, b"veth\0");
    [
        head,
        attribute(3, b"near\0"),
        attribute(4, &1500_u32.to_ne_bytes()),
        attribute(1, &[2, 0, 0, 0, 0, 1]),
        attribute(18 | 0x8000, &kind),
        attribute(999, b"something new"),
    ]
    .concat()
}

fn near(index: u32) -> Interface {
    Interface {
        index,
        name: "near".into(),
        address: MacAddr([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        up: true,
        carrier: true,
        kind: "veth".into(),
    }
}

const UP: u32 = 1 | 1 << 16;

#[test]
fn interfaces_are_read() {
    let datagram = message(16, 1, &description(7, UP));
    assert_eq!(answer(&datagram, 1), Some(Answer::Interface(near(7))));
    assert_eq!(answer(&datagram, 2), None, "another's answer");
    assert_eq!(change(&datagram, 7), Some(Change::Now(near(7))));
    assert_eq!(change(&datagram, 8), None, "another interface");
}

#[test]
fn acknowledgements_and_refusals_are_told_apart() {
    assert_eq!(answer(&message(2, 1, &[0; 20]), 1), Some(Answer::Done));
    let refusal = [&(-19_i32).to_ne_bytes()[..], &[0; 16]].concat();
    assert_eq!(answer(&message(2, 1, &refusal), 1), Some(Answer::Refused(19)));
    let odd = [&i32::MIN.to_ne_bytes()[..], &[0; 16]].concat();
    assert_eq!(answer(&message(2, 1, &odd), 1), Some(Answer::Refused(i32::MAX)));
}

#[test]
fn the_last_change_of_a_datagram_counts() {
    let there = message(16, 0, &description(7, UP));
    let gone = message(17, 0, &description(7, 0));
    let other = message(17, 0, &description(8, 0));
    assert_eq!(change(&[there.clone(), gone.clone(), other.clone()].concat(), 7), Some(Change::Removed));
    assert_eq!(change(&[gone, there, other].concat(), 7), Some(Change::Now(near(7))));
}

#[test]
fn requests_say_how_long_they_are() {
    for request in
        [Request::by_name("n"), Request::by_index(3), Request::set_mtu(3, 9000), Request::set_up(3)]
    {
        let bytes = request.bytes();
        assert_eq!(u32::from_ne_bytes(*bytes.first_chunk().unwrap()) as usize, bytes.len());
        assert!(bytes.len().is_multiple_of(4));
    }
}

proptest! {
    #[test]
    fn no_datagram_does_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (answer(&bytes, 0), change(&bytes, 0));
    }

    #[test]
    fn a_datagram_that_is_cut_or_changed_does_no_harm(cut in 0..=200_usize, at in 0..200_usize, byte: u8) {
        let mut datagram = [message(16, 1, &description(7, UP)), message(17, 1, &description(7, 0))].concat();
        let at = at % datagram.len();
        datagram[at] = byte;
        datagram.truncate(cut);
        let _ = (answer(&datagram, 1), change(&datagram, 7));
    }
}
