use super::{FDS_OF_A_VF, FEWEST_MAPS, RESERVED_FDS, Share};

#[test]
fn shares_of_all_vfs_and_the_reserve_fit_into_the_limit() {
    for vfs in [1, 2, 64, 256] {
        for fds in [1024, 4096, 20_000, 1 << 20, u64::MAX] {
            let Ok(share) = Share::new(vfs, fds) else {
                assert!(fds < RESERVED_FDS + u64::from(vfs) * (FDS_OF_A_VF + FEWEST_MAPS));
                continue;
            };
            assert!(u64::from(share.dma_maps) >= FEWEST_MAPS);
            let all = u64::from(vfs) * (FDS_OF_A_VF + u64::from(share.dma_maps)) + RESERVED_FDS;
            assert!(all <= fds, "{vfs} VFs with {fds} descriptors: {all}");
            assert!(share.bytes.checked_mul(u64::from(vfs)).is_some_and(|bytes| bytes <= 64 << 40));
        }
    }
}

#[test]
fn a_limit_that_is_too_low_is_named_with_what_would_do() {
    let error = Share::new(256, 1024).unwrap_err().to_string();
    assert!(error.contains("256 VFs need 16640") && error.contains("1024"), "{error}");
    assert_eq!(Share::new(256, 16_640).map(|share| share.dma_maps), Ok(32));
}
