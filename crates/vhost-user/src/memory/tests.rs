use proptest::prelude::*;

use super::*;

fn region(guest: u64, size: u64, user: u64) -> SharedRegion {
    let fd = rustix::fs::memfd_create("region", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    SharedRegion { region: MemoryRegion::new(guest, size, user, 0).unwrap(), fd }
}

#[test]
fn ranges_translate_within_one_region_only() {
    let table = Table::new([region(0x10_0000, 0x2000, 0x5000), region(0x20_0000, 0x1000, 0x7000)]).unwrap();
    assert_eq!(table.translate(0x5000, 0x2000), Some(0x10_0000));
    assert_eq!(table.translate(0x6ffc, 4), Some(0x10_1ffc));
    assert_eq!(table.translate(0x7000, 0x1000), Some(0x20_0000));
    assert_eq!(table.translate(0x6ffc, 5), None, "straddles two regions");
    assert_eq!(table.translate(0x4fff, 1), None);
    assert_eq!(table.translate(0x8000, 1), None);
    assert_eq!(table.translate(u64::MAX, u64::MAX), None);
    assert_eq!(table.log_size(), 0x20_0fff / 4096 / 8 + 1);
    assert_eq!(Table::default().log_size(), 0);
}

#[test]
fn last_page_of_the_address_space_is_out_of_reach() {
    // Its end would be 2^64; the protocol's sizes cannot wrap to it.
    assert_eq!(MemoryRegion::new(u64::MAX - 0xfff, 0x1000, 0, 0), Err(Reason::RegionRange));
    assert!(MemoryRegion::new(u64::MAX - 0x1fff, 0x1000, 0, 0).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Pages are few, so that a set of pages is a plain model of the table.
    #[test]
    fn overlaps_are_those_of_the_pages(rows in prop::collection::vec((0_u64..24, 1_u64..6, 0_u64..24), 1..8)) {
        let mut table = Table::default();
        let (mut guest, mut user) = (Vec::new(), Vec::new());
        for (at, pages, user_at) in rows {
            let shared = region(at * 4096, pages * 4096, user_at * 4096);
            let taken = (at..at + pages).any(|page| guest.contains(&page))
                || (user_at..user_at + pages).any(|page| user.contains(&page));
            prop_assert_eq!(table.check(&shared.region).is_err(), taken);
            if !taken {
                table.push(shared);
                guest.extend(at..at + pages);
                user.extend(user_at..user_at + pages);
            }
        }
        for page in 0..32 {
            prop_assert_eq!(table.translate(page * 4096, 4096).is_some(), user.contains(&page));
        }
    }
}
