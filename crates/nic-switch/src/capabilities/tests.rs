use super::{Capabilities, InvalidCapabilities};
use crate::testing::capabilities;

/// The capabilities of the tests with one change.
fn with(change: impl FnOnce(&mut Capabilities)) -> Result<(), InvalidCapabilities> {
    let mut capabilities = capabilities();
    change(&mut capabilities);
    capabilities.validate()
}

#[test]
fn b2_max_vports_covers_the_default_vport_and_one_for_each_vf() {
    assert_eq!(with(|c| (c.max_vfs, c.max_vports) = (7, 8)), Ok(()));
    let too_few = InvalidCapabilities::TooFewVPorts { max_vports: 8, needed: 9 };
    assert_eq!(with(|c| (c.max_vfs, c.max_vports) = (8, 8)), Err(too_few));
    assert_eq!(with(|c| (c.max_vfs, c.max_vports) = (0, 1)), Ok(()));
    let none = InvalidCapabilities::TooFewVPorts { max_vports: 0, needed: 1 };
    assert_eq!(with(|c| (c.max_vfs, c.max_vports) = (0, 0)), Err(none));
}

#[test]
fn b2_max_queue_pairs_covers_every_vport() {
    assert_eq!(with(|c| c.max_queue_pairs = 8), Ok(()));
    let what = "max_queue_pairs";
    let small = InvalidCapabilities::TooSmall { what, value: 7, minimum: 8, minimum_of: "max_vports" };
    assert_eq!(with(|c| c.max_queue_pairs = 7), Err(small));
}

#[test]
fn b2_queue_pairs_of_a_vport_are_powers_of_two() {
    for good in [1, 2, 64] {
        assert_eq!(with(|c| c.max_queue_pairs_per_nondefault_vport = good), Ok(()));
        assert_eq!(with(|c| c.max_queue_pairs_for_default_vport = good), Ok(()));
    }
    for bad in [0, 3, 6, u32::MAX] {
        let what = "max_queue_pairs_per_nondefault_vport";
        let uneven = InvalidCapabilities::NotPowerOfTwo { what, value: bad };
        assert_eq!(with(|c| c.max_queue_pairs_per_nondefault_vport = bad), Err(uneven));
        let what = "max_queue_pairs_for_default_vport";
        let uneven = InvalidCapabilities::NotPowerOfTwo { what, value: bad };
        assert_eq!(with(|c| c.max_queue_pairs_for_default_vport = bad), Err(uneven));
    }
}

#[test]
fn b2_max_mac_addresses_covers_every_vport_and_max_filters_every_address() {
    assert_eq!(with(|c| c.max_mac_addresses = 8), Ok(()));
    let what = "max_mac_addresses";
    let small = InvalidCapabilities::TooSmall { what, value: 7, minimum: 8, minimum_of: "max_vports" };
    assert_eq!(with(|c| c.max_mac_addresses = 7), Err(small));
    let what = "max_filters";
    let small =
        InvalidCapabilities::TooSmall { what, value: 15, minimum: 16, minimum_of: "max_mac_addresses" };
    assert_eq!(with(|c| c.max_filters = 15), Err(small));
}

#[test]
fn ids_of_vports_and_vfs_fit_16_bits_without_the_reserved_value() {
    let large = |max_vports| {
        with(move |c| {
            c.max_vports = max_vports;
            (c.max_queue_pairs, c.max_mac_addresses, c.max_filters) = (u32::MAX, u32::MAX, u32::MAX);
        })
    };
    assert_eq!(large(0xffff), Ok(()));
    let too_many = InvalidCapabilities::TooMany { what: "max_vports", value: 0x1_0000 };
    assert_eq!(large(0x1_0000), Err(too_many));
    let error = with(|c| (c.max_vfs, c.max_vports) = (0xffff, 0xffff)).unwrap_err();
    assert_eq!(error, InvalidCapabilities::TooFewVPorts { max_vports: 0xffff, needed: 0x1_0000 });
}

#[test]
fn d8_pool_arithmetic_of_64_vports_and_31_vfs() {
    let mut capabilities = Capabilities {
        max_vfs: 31,
        max_vports: 64,
        max_queue_pairs: 128,
        max_mac_addresses: 64,
        max_filters: 64,
        single_vport_pool: true,
        ..capabilities()
    };
    assert_eq!((capabilities.max_pf_vports(), capabilities.max_nondefault_pf_vports()), (64, 63));
    capabilities.single_vport_pool = false;
    assert_eq!((capabilities.max_pf_vports(), capabilities.max_nondefault_pf_vports()), (33, 32));
}

#[test]
fn messages_name_the_value_and_what_would_be_right() {
    let error = with(|c| c.max_queue_pairs = 7).unwrap_err();
    assert_eq!(error.to_string(), "max_queue_pairs is 7, but must be at least 8 = max_vports");
}
