use super::{
    Demand, FDS_OF_A_PAIR, FDS_OF_A_VF, FDS_OF_STATE, FDS_OF_SYNTHETIC, FEWEST_MAPS, FEWEST_SLOTS,
    RESERVED_FDS, Share,
};

fn demand(offered: usize, total_vfs: u16, synthetic: usize) -> Demand {
    Demand { total_vfs, offered, synthetic, queue_pairs: 2 * synthetic }
}

/// Descriptors in use if all take what they may.
fn all(demand: Demand, maps: u64, slots: u64) -> u64 {
    let (vfs, synthetic) = (demand.offered as u64, demand.synthetic as u64);
    RESERVED_FDS
        + FDS_OF_STATE * u64::from(demand.total_vfs)
        + vfs * (FDS_OF_A_VF + maps)
        + synthetic * FDS_OF_SYNTHETIC
        + demand.queue_pairs as u64 * FDS_OF_A_PAIR
        + synthetic * slots
}

#[test]
fn shares_of_all_devices_and_the_reserve_fit_into_the_limit() {
    for (offered, total) in [(0, 1), (1, 1), (2, 64), (64, 64), (256, 256)] {
        for synthetic in [0, 1, 2, 64, 256] {
            for limit in [1024, 4096, 20_000, 1 << 20, u64::MAX] {
                let demand = demand(offered, total, synthetic);
                let Ok(share) = Share::new(demand, limit) else {
                    assert!(limit < all(demand, FEWEST_MAPS, FEWEST_SLOTS));
                    continue;
                };
                let (maps, slots) = (u64::from(share.dma_maps), u64::from(share.memory_slots));
                assert!(slots >= FEWEST_SLOTS && (offered == 0 || maps >= FEWEST_MAPS));
                let all = all(demand, maps, slots);
                assert!(all <= limit, "{demand:?} with {limit} descriptors: {all}");
                let vmms = (offered + 2 * synthetic) as u64;
                assert!(share.bytes.checked_mul(vmms).is_some_and(|bytes| bytes <= 64 << 40));
            }
        }
    }
}

#[test]
fn a_limit_that_is_too_low_is_named_with_what_would_do() {
    let error = Share::new(demand(256, 256, 0), 1024).unwrap_err().to_string();
    assert!(error.contains("256 VFs for VMs, of 256") && error.contains("need 15104"), "{error}");
    assert!(error.contains("1024"), "{error}");
    assert_eq!(Share::new(demand(256, 256, 0), 15_104).map(|share| share.dma_maps), Ok(24));
    // The usual limit of old systems does for a few guests.
    assert!(Share::new(demand(8, 64, 8), 1024).is_ok());
}
