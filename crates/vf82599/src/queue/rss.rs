//! Receive side scaling: which queue a frame goes to.

use ethernet::{RssType, RssTypes, Toeplitz, rss_hash};
use port::Frame;

use crate::registers::{VFMRQC, VFPSRTYPE, VFRETA, VFRSSRK};
use crate::state::VfState;

/// Words of the key.
const KEY_WORDS: usize = 10;
/// Entries of the indirection table.
const ENTRIES: u32 = 64;

/// Hash of a frame, as the receive descriptor shows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hash {
    pub(super) value: u32,
    /// RSS type code.
    pub(super) kind: u8,
}

/// RSS as the registers have it: the guest's setting (X550), or what the PF set for VFs whose guests cannot.
#[derive(Debug)]
pub(super) struct Rss {
    key: [u32; KEY_WORDS],
    toeplitz: Box<Toeplitz>,
    types: RssTypes,
    enabled: bool,
    /// By RQPL of VFPSRTYPE: the queues that the driver uses.
    queue_mask: u32,
}

impl Rss {
    pub(super) fn new() -> Self {
        let toeplitz = Box::new(Toeplitz::new(&[0; 40]));
        Self { key: [0; KEY_WORDS], toeplitz, types: RssTypes::empty(), enabled: false, queue_mask: 0 }
    }

    /// Reads the registers; once per round.
    pub(super) fn sync(&mut self, state: &VfState) {
        let control = state.register(VFMRQC);
        self.enabled = control & 1 != 0;
        if !self.enabled {
            return;
        }
        self.types = types(control);
        self.queue_mask = (1 << (state.register(VFPSRTYPE) >> 29)) - 1;
        let mut offsets = (VFRSSRK..).step_by(4);
        let key = std::array::from_fn(|_| offsets.next().map_or(0, |offset| state.register(offset)));
        if key != self.key {
            let mut bytes = [0; 40];
            for (chunk, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(key) {
                *chunk = word.to_le_bytes();
            }
            *self.toeplitz = Toeplitz::new(&bytes);
            self.key = key;
        }
    }

    /// Hash and queue of a frame; queue 0 for what is not hashed.
    pub(super) fn steer(&self, state: &VfState, frame: &Frame<'_>) -> (Option<Hash>, u32) {
        if !self.enabled {
            return (None, 0);
        }
        let hashed = rss_hash(&self.toeplitz, self.types, frame.header(), &frame.layout());
        let Some((value, kind)) = hashed else { return (None, 0) };
        let entry = value % ENTRIES;
        let word = state.register(VFRETA + (entry & !3));
        let queue = word >> (8 * (entry & 3)) & self.queue_mask;
        (Some(Hash { value, kind: code(kind) }), queue)
    }
}

/// Hash types of VFMRQC bits 31:16.
fn types(control: u32) -> RssTypes {
    const BITS: [(u32, RssTypes); 9] = [
        (16, RssTypes::TCP4),
        (17, RssTypes::IPV4),
        (18, RssTypes::TCP6_EX),
        (19, RssTypes::IPV6_EX),
        (20, RssTypes::IPV6),
        (21, RssTypes::TCP6),
        (22, RssTypes::UDP4),
        (23, RssTypes::UDP6),
        (24, RssTypes::UDP6_EX),
    ];
    BITS.iter().filter(|(bit, _)| control >> bit & 1 == 1).fold(RssTypes::empty(), |all, (_, t)| all | *t)
}

/// RSS type code of a receive descriptor.
fn code(kind: RssType) -> u8 {
    match kind {
        RssType::Tcp4 => 1,
        RssType::Ipv4 => 2,
        RssType::Tcp6 => 3,
        RssType::Ipv6Ex => 4,
        RssType::Ipv6 => 5,
        RssType::Tcp6Ex => 6,
        RssType::Udp4 => 7,
        RssType::Udp6 => 8,
        RssType::Udp6Ex => 9,
    }
}
