use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::test_frames::slow_sum;

fn sum_of(bytes: &[u8]) -> Sum {
    let mut sum = Sum::new();
    sum.add_bytes(bytes);
    sum
}

/// Bytes with many 0xff among them, so that carries are common.
fn bytes(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![any::<u8>(), Just(0xff)], len)
}

proptest! {
    #[test]
    fn sum_is_that_of_the_definition(bytes in bytes(0..200)) {
        prop_assert_eq!(sum_of(&bytes).fold(), slow_sum(&bytes));
        prop_assert_eq!(sum_of(&bytes).finish(), !slow_sum(&bytes));
    }

    #[test]
    fn pieces_join_at_any_position(bytes in bytes(0..200), cuts in vec(0..200usize, 0..5)) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut sum = Sum::new();
        for piece in cuts.windows(2) {
            sum.add_sum_at(sum_of(&bytes[piece[0]..piece[1]]), piece[0] % 2 == 1);
        }
        prop_assert_eq!(sum.fold(), slow_sum(&bytes));
    }

    #[test]
    fn numbers_count_as_their_bytes_in_network_order(before in bytes(0..9), short: u16, long: u32) {
        let mut before = before;
        before.resize(before.len() & !1, 0);
        let mut sum = sum_of(&before);
        sum.add_u16(short);
        sum.add_u32(long);
        before.extend(short.to_be_bytes());
        before.extend(long.to_be_bytes());
        prop_assert_eq!(sum.fold(), slow_sum(&before));
    }

    #[test]
    fn update_is_a_new_checksum(mut header: [u8; 20], at in 0..10usize, new: u16) {
        header[0] |= 0x40;
        let old = u16::from_be_bytes([header[at * 2], header[at * 2 + 1]]);
        let old_check = !slow_sum(&header);
        header[at * 2..at * 2 + 2].copy_from_slice(&new.to_be_bytes());
        // With all words 0 the two forms of zero differ; a header is never all 0.
        prop_assume!(header != [0; 20]);
        prop_assert_eq!(update(old_check, old, new), !slow_sum(&header));
    }

    #[test]
    fn pseudo_headers_are_those_of_the_rfcs(v4: [u8; 8], v6: [u8; 32], protocol: u8, length: u32) {
        let (source, destination) = v4.split_at(4);
        let [_, _, high, low] = length.to_be_bytes();
        let (source, destination) = (source.try_into().unwrap(), destination.try_into().unwrap());
        let sum = pseudo_header_v4(source, destination, protocol, u16::from_be_bytes([high, low]));
        prop_assert_eq!(sum.fold(), slow_sum(&[&v4[..], &[0, protocol, high, low]].concat()));
        let (source, destination) = v6.split_at(16);
        let (source, destination) = (source.try_into().unwrap(), destination.try_into().unwrap());
        let sum = pseudo_header_v6(source, destination, protocol, length);
        let slow = slow_sum(&[&v6[..], &length.to_be_bytes(), &[0, 0, 0, protocol]].concat());
        prop_assert_eq!(sum.fold(), slow);
    }

    #[test]
    fn crc32c_is_that_of_the_polynomial(bytes in vec(any::<u8>(), 0..100), cut in 0..100usize) {
        let mut slow = u32::MAX;
        for &byte in &bytes {
            slow ^= u32::from(byte);
            for _ in 0..8 {
                slow = slow >> 1 ^ if slow & 1 == 1 { 0x82f6_3b78 } else { 0 };
            }
        }
        prop_assert_eq!(crc32c(&bytes), !slow);
        let (head, tail) = bytes.split_at(cut.min(bytes.len()));
        prop_assert_eq!(crc32c_append(crc32c(head), tail), !slow);
    }
}

/// The example of RFC 1071 section 3.
#[test]
fn example_of_rfc_1071() {
    assert_eq!(sum_of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]).fold(), 0xddf2);
}

/// The example of RFC 1624 section 4, where the older formula yields 0xffff.
#[test]
fn example_of_rfc_1624() {
    assert_eq!(update(0xdd2f, 0x5555, 0x3285), 0x0000);
}

#[test]
fn zero_and_minus_zero() {
    assert_eq!(Sum::new().fold(), 0);
    assert_eq!(sum_of(&[0; 64]).fold(), 0);
    assert_eq!(sum_of(&[0xff; 65536]).fold(), 0xffff);
}

/// The check value of CRC-32C in the catalogue of CRC algorithms.
#[test]
fn crc32c_check_value() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}
