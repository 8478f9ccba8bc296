use proptest::prelude::*;

use super::*;

const IDENTITY: Identity = Identity { mac: MacAddr([2, 0, 0, 0, 0, 7]), link_up: true, max_frame: 1518 };

#[test]
fn c7_block_0_is_the_identity_of_the_vf() {
    let blocks = ConfigBlocks::default();
    assert_eq!(
        blocks.read(BLOCK_IDENTITY, 16, IDENTITY).unwrap(),
        [2, 0, 0, 0, 0, 7, 1, 0, 0xEE, 0x05, 0, 0, 0, 0, 0, 0]
    );
}

#[test]
fn c7_block_1_holds_eight_little_endian_counters() {
    let statistics = VfStatistics { rx_packets: 1, rx_bytes: 2, tx_dropped: 0x0102, ..Default::default() };
    let blocks = ConfigBlocks { statistics, ..Default::default() };
    let bytes = blocks.read(BLOCK_STATISTICS, 64, IDENTITY).unwrap();
    assert_eq!(bytes[..16], [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[56..], [2, 1, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn c7_pf_blocks_are_read_only() {
    let mut blocks = ConfigBlocks::default();
    for block in [BLOCK_IDENTITY, BLOCK_STATISTICS] {
        assert_eq!(blocks.write(block, &[0]), Err(Refusal::BlockReadOnly { block }));
    }
}

#[test]
fn c7_a_shorter_write_keeps_the_bytes_behind_it() {
    let mut blocks = ConfigBlocks::default();
    blocks.write(2, &[1, 2, 3]).unwrap();
    blocks.write(2, &[9]).unwrap();
    assert_eq!(blocks.read(2, 4, IDENTITY).unwrap(), [9, 2, 3, 0]);
}

#[test]
fn c7_unknown_blocks_and_lengths_are_refused() {
    let mut blocks = ConfigBlocks::default();
    assert_eq!(blocks.write(64, &[0]), Err(Refusal::UnknownBlock { block: 64 }));
    assert_eq!(blocks.read(u32::MAX, 1, IDENTITY), Err(Refusal::UnknownBlock { block: u32::MAX }));
    assert_eq!(blocks.read(2, 129, IDENTITY), Err(Refusal::BlockLength { block: 2, length: 129 }));
    assert_eq!(blocks.read(2, 0, IDENTITY), Err(Refusal::BlockLength { block: 2, length: 0 }));
    assert_eq!(blocks.write(2, &[0; 129]), Err(Refusal::BlockLength { block: 2, length: 129 }));
}

#[test]
fn c7_a_posted_request_is_completed_at_once_and_must_be_posted_again() {
    let mut invalidation = Invalidation::default();
    assert_eq!(invalidation.post(), None);
    assert_eq!(invalidation.invalidate(1), Some(1));
    assert_eq!(invalidation.invalidate(2), None);
    assert_eq!(invalidation.post(), Some(2));
}

proptest! {
    /// Whatever the order of events: the driver hears of every stale block, of no other, and of each one time.
    #[test]
    fn c7_every_invalidation_arrives_exactly_once(events in prop::collection::vec(prop::option::of(1_u64..), 0..40)) {
        let mut invalidation = Invalidation::default();
        let mut undelivered = 0;
        let mut posted = false;
        for event in events {
            let delivered = match event {
                Some(mask) => {
                    undelivered |= mask;
                    invalidation.invalidate(mask)
                }
                None => {
                    posted = true;
                    invalidation.post()
                }
            };
            if posted && undelivered != 0 {
                prop_assert_eq!(delivered, Some(undelivered));
                undelivered = 0;
                posted = false;
            } else {
                prop_assert_eq!(delivered, None);
            }
        }
    }
}
