//! What the driver set for receive side scaling, as words.

use ethernet::RssTypes;

use super::{AdapterState, narrow, word};
use crate::rss::{KEY_BYTES, RssConfig, TABLE_ENTRIES};

const KEY_WORDS: usize = KEY_BYTES / 4;

impl AdapterState {
    /// Sets or, with `None`, switches off receive side scaling.
    pub(crate) fn set_rss(&self, config: Option<&RssConfig>) {
        let store = |at, value| self.device.store(at, value);
        store(word::RSS_TYPES, 0);
        if let Some(config) = config {
            store(word::RSS_MASK, u32::from(config.mask));
            store(word::RSS_DEFAULT, u32::from(config.default));
            for (n, bytes) in config.key.as_chunks::<4>().0.iter().enumerate() {
                store(word::RSS_KEY + n, u32::from_le_bytes(*bytes));
            }
            for (n, queue) in config.table.iter().enumerate() {
                store(word::RSS_TABLE + n, u32::from(*queue));
            }
            // A queue for frames of no kind that is hashed is set even if none is.
            store(word::RSS_TYPES, 1 << 16 | u32::from(config.types.bits()));
        }
        self.device.fetch_add(word::RSS_GENERATION, 1);
    }

    pub(crate) fn rss_generation(&self) -> u32 {
        self.device.load(word::RSS_GENERATION)
    }

    /// What the driver set.
    pub(crate) fn rss(&self) -> Option<RssConfig> {
        let load = |at| self.device.load(at);
        let types = load(word::RSS_TYPES);
        if types == 0 {
            return None;
        }
        let mut key = [0; KEY_BYTES];
        for (n, bytes) in key.as_chunks_mut::<4>().0.iter_mut().take(KEY_WORDS).enumerate() {
            *bytes = load(word::RSS_KEY + n).to_le_bytes();
        }
        Some(RssConfig {
            types: RssTypes::from_bits_truncate(narrow(types & 0xffff)),
            mask: narrow(load(word::RSS_MASK)).min(TABLE_ENTRIES - 1),
            default: narrow(load(word::RSS_DEFAULT)),
            key,
            table: std::array::from_fn(|n| narrow(load(word::RSS_TABLE + n))),
        })
    }
}
