use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const SECOND: Cycles = 1000;

fn mac(n: u32) -> MacAddr {
    let [a, b, c, d] = n.to_be_bytes();
    MacAddr([2, 0, a, b, c, d])
}

fn station(n: u32) -> Station {
    Station::new(mac(n), 0)
}

fn learning(quota: u16) -> Learning {
    let mut learning = Learning::new(SECOND, 300, 0x1234_5678_9abc_def1);
    learning.adopt(|_| true, |_| quota);
    learning
}

#[test]
fn a_station_is_forgotten_after_the_ageing_time() {
    let mut learning = learning(8);
    assert_eq!(learning.learn(station(1), PortId(1), 0), Lesson::Learned);
    assert_eq!(learning.find(station(1), 300 * SECOND), Some(PortId(1)));
    assert_eq!(learning.find(station(1), 300 * SECOND + 1), None);
    assert_eq!(learning.learn(station(1), PortId(1), 200 * SECOND), Lesson::Known);
    assert_eq!(learning.find(station(1), 500 * SECOND), Some(PortId(1)));
    assert_eq!(learning.find(Station::new(mac(1), 5), 200 * SECOND), None, "of another VLAN");
}

#[test]
fn s06_a_station_moves_at_most_once_a_second() {
    let mut learning = learning(8);
    learning.learn(station(1), PortId(1), 0);
    assert_eq!(learning.learn(station(1), PortId(2), SECOND - 1), Lesson::Refused(PortId(1)));
    assert_eq!(learning.learn(station(1), PortId(2), SECOND), Lesson::Moved(PortId(1)));
    assert_eq!(learning.learn(station(1), PortId(1), SECOND + 1), Lesson::Refused(PortId(2)));
    assert_eq!(learning.find(station(1), SECOND + 1), Some(PortId(2)));
}

#[test]
fn s06_a_port_above_its_quota_takes_nothing_from_others() {
    let mut learning = learning(256);
    for n in 0..200 {
        learning.learn(station(n), PortId(1), 0);
    }
    for n in 0..10_000 {
        learning.learn(station(1_000_000 + n), PortId(2), SECOND);
    }
    assert_eq!(learning.entries(SECOND).filter(|entry| entry.port == PortId(2)).count(), 256);
    assert!((0..200).all(|n| learning.find(station(n), SECOND) == Some(PortId(1))));
    // It may not take over stations beyond its quota either.
    assert_eq!(learning.learn(station(0), PortId(2), 10 * SECOND), Lesson::Full);
}

#[test]
fn s06_the_table_never_holds_more_than_its_bound() {
    let mut learning = learning(u16::MAX);
    for n in 0..u32::try_from(MAX_LEARNED).unwrap() + 1000 {
        learning.learn(station(n), PortId(1 + n % 7), 0);
    }
    assert_eq!(learning.len(), MAX_LEARNED);
    assert_eq!(learning.learn(station(u32::MAX), PortId(1), 1), Lesson::Full);
    assert_eq!(learning.find(station(u32::MAX), 1), None);
}

#[test]
fn aged_stations_make_room_bit_by_bit() {
    let mut learning = learning(256);
    for n in 0..256 {
        learning.learn(station(n), PortId(1), 0);
    }
    let later = 400 * SECOND;
    let learned = (0..u32::try_from(SLOTS).unwrap())
        .filter(|n| learning.learn(station(10_000 + n), PortId(1), later) == Lesson::Learned);
    assert_eq!(learned.count(), 256);
}

#[test]
fn news_are_bounded_and_told_once() {
    let mut learning = learning(256);
    for n in 0..200 {
        learning.learn(Station::new(mac(n), 9), PortId(3), 0);
    }
    let news: Vec<_> = learning.take_news().collect();
    assert_eq!(news.len(), MAX_NEWS);
    assert_eq!(news[5], Learned { mac: mac(5), vlan: 9, port: PortId(3) });
    assert_eq!(learning.take_news().count(), 0);
}

#[test]
fn a_station_that_goes_on_sending_is_told_again_before_others_forget_it() {
    let mut learning = learning(8);
    let (mut now, mut last) = (0, 0);
    while now < 3000 * SECOND {
        learning.learn(station(1), PortId(1), now);
        if learning.take_news().count() > 0 {
            last = now;
        }
        assert!(now - last <= 200 * SECOND, "silent since {last}");
        now += SECOND;
    }
    assert_eq!(learning.hear(station(2), PortId(1), now), Lesson::Learned);
    assert_eq!(learning.take_news().count(), 0, "what was heard is not told on");
}

#[derive(Debug, Clone)]
enum Act {
    Learn { n: u32, port: u32 },
    Wait(Cycles),
    Remove { port: u32 },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => (0..40u32, 1..4u32).prop_map(|(n, port)| Act::Learn { n, port }),
        2 => (0..200 * SECOND).prop_map(Act::Wait),
        1 => (1..4u32).prop_map(|port| Act::Remove { port }),
    ];
    prop::collection::vec(act, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// A map that is told the same rules.
    #[test]
    fn a_plain_map_knows_the_same(acts in acts()) {
        let mut learning = learning(1000);
        let mut model: HashMap<u32, (u32, Cycles, Cycles)> = HashMap::new();
        let mut now = 0;
        for act in acts {
            match act {
                Act::Wait(cycles) => now += cycles,
                Act::Learn { n, port } => {
                    learning.learn(station(n), PortId(port), now);
                    let known = model.get(&n).copied().filter(|(_, seen, _)| now - seen <= 300 * SECOND);
                    let next = match known {
                        Some((at, _, arrived)) if at == port => (port, now, arrived),
                        Some((at, seen, arrived)) if now - arrived < SECOND => (at, seen, arrived),
                        _ => {
                            let same = model.get(&n).filter(|(at, ..)| *at == port);
                            (port, now, same.map_or(now, |(_, _, arrived)| *arrived))
                        }
                    };
                    model.insert(n, next);
                }
                Act::Remove { port } => {
                    learning.adopt(|other| other != PortId(port), |_| 1000);
                    model.retain(|_, (at, ..)| *at != port);
                }
            }
            for n in 0..40 {
                let known = model.get(&n).filter(|(_, seen, _)| now - seen <= 300 * SECOND);
                prop_assert_eq!(learning.find(station(n), now), known.map(|(at, ..)| PortId(*at)));
            }
            prop_assert_eq!(learning.len(), model.len());
        }
    }
}
