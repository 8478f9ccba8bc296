use super::{FDS_OF_A_VF, FDS_OF_STATE, FEWEST_MAPS, RESERVED_FDS, Share};

#[test]
fn shares_of_all_vfs_and_the_reserve_fit_into_the_limit() {
    for (offered, total) in [(0, 1), (1, 1), (2, 64), (64, 64), (256, 256)] {
        for limit in [1024, 4096, 20_000, 1 << 20, u64::MAX] {
            let vfs = u64::max(offered as u64, 1);
            let fixed = RESERVED_FDS + FDS_OF_STATE * u64::from(total);
            let Ok(share) = Share::new(offered, total, limit) else {
                assert!(limit < fixed + vfs * (FDS_OF_A_VF + FEWEST_MAPS));
                continue;
            };
            assert!(u64::from(share.dma_maps) >= FEWEST_MAPS);
            let all = fixed + vfs * (FDS_OF_A_VF + u64::from(share.dma_maps));
            assert!(all <= limit, "{offered} of {total} VFs with {limit} descriptors: {all}");
            assert!(share.bytes.checked_mul(vfs).is_some_and(|bytes| bytes <= 64 << 40));
        }
    }
}

#[test]
fn a_limit_that_is_too_low_is_named_with_what_would_do() {
    let error = Share::new(256, 256, 1024).unwrap_err().to_string();
    assert!(error.contains("256 VFs for VMs, of 256, need 17152") && error.contains("1024"), "{error}");
    assert_eq!(Share::new(256, 256, 17_152).map(|share| share.dma_maps), Ok(32));
    // The usual limit of old systems does for a few guests.
    assert!(Share::new(8, 64, 1024).is_ok());
}
