//! The Internet checksum (RFC 1071) and the CRC32c of SCTP (RFC 9260).
//!
//! A [`Sum`] is taken in pieces, in any order, so that a frame can be summed while it is copied.

#[cfg(test)]
mod tests;

/// Ones'-complement sum of 16-bit words in network order.
///
/// Kept as a 64-bit sum in the order of the machine: the ones'-complement sum is the same in either byte
/// order but for one swap at the end (RFC 1071 section 2 B), and a 64-bit sum folds into a 16-bit one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// Adds bytes that start at an even position of what is summed. An odd last byte counts as the high half
    /// of a word: go on behind it with [`add_sum_at`](Self::add_sum_at).
    pub fn add_bytes(&mut self, bytes: &[u8]) {
        // Four chains, since each addition waits for the carry of the one before it in its chain.
        let mut lanes = [self.0, 0, 0, 0];
        let (blocks, rest) = bytes.as_chunks::<32>();
        for block in blocks {
            for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<8>().0) {
                *lane = add_with_carry(*lane, u64::from_ne_bytes(*word));
            }
        }
        let [mut sum, ..] = lanes;
        for lane in &lanes[1..] {
            sum = add_with_carry(sum, *lane);
        }
        let (words, mut tail) = rest.as_chunks::<8>();
        for word in words {
            sum = add_with_carry(sum, u64::from_ne_bytes(*word));
        }
        // In steps rather than through a buffer: headers are short, and most end in such a tail.
        if let Some((word, rest)) = tail.split_first_chunk() {
            sum = add_with_carry(sum, u64::from(u32::from_ne_bytes(*word)));
            tail = rest;
        }
        if let Some((word, rest)) = tail.split_first_chunk() {
            sum = add_with_carry(sum, u64::from(u16::from_ne_bytes(*word)));
            tail = rest;
        }
        if let [last] = tail {
            sum = add_with_carry(sum, u64::from(u16::from_ne_bytes([*last, 0])));
        }
        self.0 = sum;
    }

    /// Joins the sum of a later piece, which starts at an `odd` or even position of what is summed.
    pub const fn add_sum_at(&mut self, sum: Self, odd: bool) {
        // An odd start puts every byte of the piece into the other half of its word (RFC 1071 section 2 B).
        let sum = if odd { sum.fold_native().swap_bytes() as u64 } else { sum.0 };
        self.0 = add_with_carry(self.0, sum);
    }

    /// Adds one word given as a number.
    pub const fn add_u16(&mut self, word: u16) {
        self.0 = add_with_carry(self.0, word.to_be() as u64);
    }

    /// Adds two words given as a number, the high one first.
    pub const fn add_u32(&mut self, words: u32) {
        self.0 = add_with_carry(self.0, words.to_be() as u64);
    }

    /// The 16-bit sum as a number, to be written in network order.
    #[must_use]
    pub const fn fold(self) -> u16 {
        u16::from_be(self.fold_native())
    }

    /// The complement of the sum: what a checksum field holds, as a number to be written in network order.
    #[must_use]
    pub const fn finish(self) -> u16 {
        !self.fold()
    }

    #[expect(clippy::cast_possible_truncation, reason = "the second fold of 32 bits leaves no more than 16")]
    const fn fold_native(self) -> u16 {
        let sum = (self.0 >> 32) + (self.0 & 0xffff_ffff);
        let sum = (sum >> 32) + (sum & 0xffff_ffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        sum as u16
    }
}

/// Ones'-complement addition: the carry comes back in at the low end.
const fn add_with_carry(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum + carry as u64
}

/// Sum of the IPv4 pseudo header (RFC 9293 section 3.1); `length` is that of the L4 header and its payload in
/// bytes.
#[must_use]
pub fn pseudo_header_v4(source: [u8; 4], destination: [u8; 4], protocol: u8, length: u16) -> Sum {
    let mut sum = Sum::new();
    sum.add_bytes(&source);
    sum.add_bytes(&destination);
    sum.add_u16(u16::from(protocol));
    sum.add_u16(length);
    sum
}

/// Sum of the IPv6 pseudo header (RFC 8200 section 8.1); `length` is that of the L4 header and its payload in
/// bytes.
#[must_use]
pub fn pseudo_header_v6(source: [u8; 16], destination: [u8; 16], protocol: u8, length: u32) -> Sum {
    let mut sum = Sum::new();
    sum.add_bytes(&source);
    sum.add_bytes(&destination);
    sum.add_u32(length);
    sum.add_u16(u16::from(protocol));
    sum
}

/// The checksum after one word of what it covers has changed (RFC 1624 equation 3).
#[must_use]
pub const fn update(old_check: u16, old_word: u16, new_word: u16) -> u16 {
    let mut sum = Sum::new();
    sum.add_u16(!old_check);
    sum.add_u16(!old_word);
    sum.add_u16(new_word);
    sum.finish()
}

/// CRC32c of an SCTP packet whose checksum field is taken as 0; the field holds it least significant byte
/// first (RFC 9260 appendix A).
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// CRC32c of a packet in pieces: `crc` is that of the bytes before `bytes`, 0 before the first.
#[must_use]
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}
