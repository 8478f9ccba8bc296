use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Map(u64, u64),
    Unmap(u64, u64),
    UnmapAll,
}

fn step() -> impl Strategy<Value = Step> {
    let place = (0_u64..16, 1_u64..6);
    prop_oneof![
        6 => place.clone().prop_map(|(page, pages)| Step::Map(page, pages)),
        4 => place.prop_map(|(page, pages)| Step::Unmap(page, pages)),
        1 => Just(Step::UnmapAll),
    ]
}

fn range((page, pages): (u64, u64)) -> DmaRange {
    DmaRange::new(page * 4096, pages * 4096).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn agrees_with_a_list_that_is_searched(steps in prop::collection::vec(step(), 1..64)) {
        const LIMIT: u32 = 5;
        let mut maps = DmaMaps::new(LIMIT);
        let mut model: Vec<(u64, u64)> = Vec::new();
        for step in steps {
            match step {
                Step::Map(page, pages) => {
                    let overlaps = model.iter().any(|(p, n)| *p < page + pages && page < p + n);
                    let wanted = match (overlaps, model.len() < LIMIT as usize) {
                        (true, _) => Err(Reason::DmaOverlap),
                        (false, false) => Err(Reason::DmaTooMany),
                        (false, true) => Ok(()),
                    };
                    prop_assert_eq!(maps.check(range((page, pages))), wanted);
                    if wanted.is_ok() {
                        maps.insert(range((page, pages)));
                        model.push((page, pages));
                    }
                }
                Step::Unmap(page, pages) => {
                    let known = model.contains(&(page, pages));
                    prop_assert_eq!(maps.contains(range((page, pages))), known);
                    if known {
                        maps.remove(DmaUnmap::Range(range((page, pages))));
                        model.retain(|map| *map != (page, pages));
                    }
                }
                Step::UnmapAll => {
                    maps.remove(DmaUnmap::All);
                    model.clear();
                }
            }
            prop_assert_eq!(maps.len(), model.len());
        }
        model.sort_unstable();
        prop_assert_eq!(maps.iter().collect::<Vec<_>>(), model.into_iter().map(range).collect::<Vec<_>>());
    }
}
