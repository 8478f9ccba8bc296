//! Which receive queue a frame goes to.
//!
//! With `VIRTIO_NET_F_RSS` the driver's table decides (VIRTIO 1.3 section 5.1.6.5.7). Without, a flow is received on the
//! queue on which the guest last sent frames of it (automatic receive steering, section 5.1.6.5.6).

use ethernet::{L3, L4, Layout, RssTypes, Toeplitz, rss_hash};
use port::Frame;

use crate::state::AdapterState;

/// Bytes of the hash key, as the configuration says it.
pub(crate) const KEY_LEN: u8 = 40;
pub(crate) const KEY_BYTES: usize = KEY_LEN as usize;
/// Most entries of the driver's table, a power of two.
pub(crate) const TABLE_ENTRIES: u16 = 128;
/// Hash types that the device has: all, with the bits of `VIRTIO_NET_RSS_HASH_TYPE_*`.
pub(crate) const HASH_TYPES: RssTypes = RssTypes::all();

/// Flows are told apart by so many entries.
const FLOWS: usize = 256;

/// What the driver set with `VIRTIO_NET_CTRL_MQ_RSS_CONFIG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RssConfig {
    pub(crate) types: RssTypes,
    /// Entries of the table less one; the number is a power of two.
    pub(crate) mask: u16,
    /// Queue of frames that are not hashed.
    pub(crate) default: u16,
    pub(crate) key: [u8; KEY_BYTES],
    pub(crate) table: [u16; TABLE_ENTRIES as usize],
}

/// The choice of receive queues.
#[derive(Debug)]
pub(crate) struct Steering {
    generation: Option<u32>,
    rss: Option<Box<(RssConfig, Toeplitz)>>,
    /// By hash of a flow: 1 + the pair on which the guest last sent.
    flows: [u8; FLOWS],
}

impl Steering {
    pub(crate) fn new() -> Self {
        Self { generation: None, rss: None, flows: [0; FLOWS] }
    }

    /// Takes over what the driver set; once per round.
    pub(crate) fn sync(&mut self, state: &AdapterState) {
        let generation = state.rss_generation();
        if self.generation == Some(generation) {
            return;
        }
        self.generation = Some(generation);
        self.rss = state.rss().map(|config| {
            let toeplitz = Toeplitz::new(&config.key);
            Box::new((config, toeplitz))
        });
    }

    /// Notes that the guest sent `frame` on queue pair `pair`.
    #[inline]
    pub(crate) fn sent(&mut self, frame: &Frame<'_>, pair: usize) {
        if self.rss.is_none()
            && let (Some(flow), Ok(pair)) = (flow(frame.header(), frame.layout()), u8::try_from(pair + 1))
        {
            self.flows[flow] = pair;
        }
    }

    /// The queue pair of `pairs` that `frame` goes to.
    #[inline]
    pub(crate) fn receive(&self, frame: &Frame<'_>, pairs: usize) -> usize {
        if let Some(rss) = &self.rss {
            let (config, toeplitz) = &**rss;
            let hashed = rss_hash(toeplitz, config.types, frame.header(), &frame.layout());
            let queue = hashed.map_or(config.default, |(hash, _)| {
                config.table[(hash & u32::from(config.mask)) as usize % config.table.len()]
            });
            return usize::from(queue) % pairs;
        }
        let Some(flow) = flow(frame.header(), frame.layout()) else { return 0 };
        match usize::from(self.flows[flow]) {
            0 => flow % pairs,
            pair => (pair - 1) % pairs,
        }
    }
}

/// A number below [`FLOWS`] that is the same for both directions of a flow; `None` for what is not IP.
fn flow(header: &[u8], layout: Layout) -> Option<usize> {
    let (start, words) = match layout.l3 {
        L3::Ipv4 { .. } => (usize::from(layout.l3_offset) + 12, 2),
        L3::Ipv6 { .. } => (usize::from(layout.l3_offset) + 8, 8),
        L3::None | L3::Arp | L3::Other => return None,
    };
    let addresses = header.get(start..start + 4 * words)?.as_chunks::<4>().0;
    let mut mixed = addresses.iter().fold(0, |all, word| all ^ u32::from_be_bytes(*word));
    if !layout.fragment
        && matches!(layout.l4, L4::Tcp | L4::Udp)
        && let Some([a, b, c, d]) = header.get(usize::from(layout.l4_offset)..).and_then(<[u8]>::first_chunk)
    {
        mixed ^= u32::from(u16::from_be_bytes([*a, *b]) ^ u16::from_be_bytes([*c, *d])) << 8;
    }
    // Multiplied by 2^32 over the golden ratio, the high bits depend on all.
    Some((mixed.wrapping_mul(0x9e37_79b1) >> 24) as usize)
}

#[cfg(test)]
mod tests;
