use proptest::prelude::*;

use super::EventLog;
use crate::types::{EventKind, EventView};

fn event() -> EventView {
    EventView {
        sequence: 0,
        time_ms: 0,
        kind: EventKind::Daemon,
        vm: None,
        adapter: None,
        text: String::new(),
        failover: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_keeps_the_latest_and_numbers_them_without_a_gap(
        capacity in 1_usize..6,
        pushed in 0_u64..20,
        since in prop_oneof![0_u64..25, Just(u64::MAX)],
        limit in 0_usize..8,
    ) {
        let log = EventLog::new(capacity);
        let news = log.subscribe();
        for number in 1..=pushed {
            prop_assert_eq!(log.push(event()), number);
        }
        let kept = u64::try_from(capacity).unwrap().min(pushed);
        let oldest = pushed - kept + 1;
        let expected: Vec<u64> = (oldest..=pushed).filter(|&number| number > since).take(limit).collect();
        let list = log.since(since, limit);
        let numbers: Vec<u64> = list.events.iter().map(|event| event.sequence).collect();
        prop_assert_eq!(numbers, expected);
        prop_assert_eq!((list.oldest, list.latest, *news.borrow()), (oldest, pushed, pushed));
    }
}
