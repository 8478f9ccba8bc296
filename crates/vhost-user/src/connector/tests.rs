use std::os::unix::net::UnixListener;

use proptest::prelude::*;

use super::*;

fn wait(connector: &Connector, now: Instant) -> Duration {
    match connector.step(now) {
        Step::WaitUntil(until) => until - now,
        _ => Duration::ZERO,
    }
}

#[test]
fn delays_double_up_to_a_bound() {
    let now = Instant::now();
    let mut connector = Connector::new("vhu0.sock".into());
    assert_eq!(connector.step(now), Step::Connect);
    let mut delays = Vec::new();
    for _ in 0..10 {
        connector.failed(now);
        delays.push(wait(&connector, now).as_millis());
    }
    assert_eq!(delays, [10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000]);
    assert_eq!(connector.step(now + Duration::from_secs(1)), Step::Connect);
    assert_eq!(connector.failures(), 10);
}

#[test]
fn good_connection_that_is_lost_is_made_again_at_once() {
    let now = Instant::now();
    let mut connector = Connector::new("vhu0.sock".into());
    for _ in 0..10 {
        connector.failed(now);
    }
    connector.connected(now);
    assert_eq!(connector.step(now), Step::Connected);
    let later = now + GOOD_AFTER;
    connector.lost(later);
    assert_eq!(connector.step(later), Step::Connect);
    connector.failed(later);
    assert_eq!(wait(&connector, later), FIRST_DELAY);
}

#[test]
fn l13_listener_that_accepts_and_dies_does_not_make_us_spin() {
    let mut now = Instant::now();
    let mut connector = Connector::handed_over("vhu0.sock".into(), now);
    let mut attempts = 0;
    let end = now + Duration::from_secs(10);
    while now < end {
        match connector.step(now) {
            Step::Connect => {
                attempts += 1;
                connector.connected(now);
            }
            Step::Connected => connector.lost(now),
            Step::WaitUntil(until) => now = until,
        }
    }
    assert!(attempts < 20, "{attempts} attempts in ten seconds");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn next_attempt_is_never_far_and_never_twice_at_once(events in prop::collection::vec((0_u8..3, 0_u64..3000), 1..60)) {
        let mut now = Instant::now();
        let mut connector = Connector::new("vhu0.sock".into());
        for (event, passed) in events {
            match (event, connector.step(now)) {
                (0, Step::Connect) => connector.connected(now),
                (_, Step::Connect) => {
                    connector.failed(now);
                    prop_assert!(wait(&connector, now) >= FIRST_DELAY);
                }
                (1, Step::Connected) => connector.lost(now),
                _ => {}
            }
            prop_assert!(wait(&connector, now) <= LONGEST_DELAY);
            now += Duration::from_millis(passed);
        }
    }
}

#[test]
fn errors_name_the_path_and_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vhu0.sock");
    assert!(matches!(connect(&path), Err(ConnectError::NobodyListens { .. })));
    drop(UnixListener::bind(&path).unwrap());
    let error = connect(&path).unwrap_err();
    assert!(matches!(&error, ConnectError::NobodyListens { .. }));
    assert!(error.to_string().contains("vhu0.sock"));
    let long = folder.path().join("x".repeat(200));
    assert!(matches!(connect(&long), Err(ConnectError::Path { .. })));
    assert!(matches!(connect(Path::new("/dev/null")), Err(ConnectError::NobodyListens { .. })));
}

#[test]
fn busy_listener_is_no_reason_to_wait_in_connect() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vhu0.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    let mut waiting = Vec::new();
    let error = loop {
        match connect(&path) {
            Ok(stream) => waiting.push(stream),
            Err(error) => break error,
        }
        assert!(waiting.len() < 10_000, "the backlog is bounded");
    };
    assert!(matches!(error, ConnectError::Busy { .. }), "{error}");
}
