//! The protocol against streams that are right, cut anywhere, wrong, and without sense.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Incoming, MAX_LINE, MAX_OUTSTANDING, Session};
use crate::command::Command;
use crate::error::{ErrorClass, Violation};
use crate::event::{Event, MigrationStatus};
use crate::message::MAX_TEXT;

const GREETING: &str = concat!(
    r#"{"QMP": {"version": {"qemu": {"micro": 3, "minor": 1, "major": 11}, "package": "Debian 1:11.1.3"}, "#,
    r#""capabilities": ["oob"]}}"#
);
const NEGOTIATED: &str = r#"{"return": {}, "id": 1}"#;

/// What is to be sent, as JSON, one line each.
fn sent(session: &mut Session) -> Vec<Value> {
    let output = session.output().to_vec();
    session.sent(output.len());
    let lines = String::from_utf8(output).unwrap();
    assert!(lines.is_empty() || lines.ends_with('\n'));
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn poll_all(session: &mut Session) -> Result<Vec<Incoming>, Violation> {
    let mut all = Vec::new();
    while let Some(incoming) = session.poll()? {
        all.push(incoming);
    }
    Ok(all)
}

fn line(session: &mut Session, line: &str) -> Result<Vec<Incoming>, Violation> {
    session.receive(line.as_bytes());
    session.receive(b"\r\n");
    poll_all(session)
}

/// A session that may be given commands.
fn ready() -> Session {
    let mut session = Session::new();
    assert_eq!(line(&mut session, GREETING).unwrap(), []);
    assert_eq!(line(&mut session, NEGOTIATED).unwrap().len(), 1);
    sent(&mut session);
    session
}

#[test]
fn the_negotiation_comes_first() {
    let mut session = Session::new();
    assert_eq!(session.command(&Command::QueryStatus), None);
    assert_eq!(line(&mut session, GREETING).unwrap(), []);
    assert_eq!(sent(&mut session), [json!({ "execute": "qmp_capabilities", "id": 1 })]);
    assert_eq!(session.command(&Command::QueryStatus), None);
    let incoming = line(&mut session, NEGOTIATED).unwrap();
    let [Incoming::Ready(greeting)] = &incoming[..] else { panic!("{incoming:?}") };
    assert_eq!(
        (greeting.version.to_string().as_str(), greeting.package.as_str()),
        ("11.1.3", "Debian 1:11.1.3")
    );
    assert!(session.command(&Command::QueryStatus).is_some());
}

#[test]
fn commands_are_what_qmp_calls_them() {
    let text = str::to_owned;
    let arguments = json!({ "driver": "vfio-user-pci", "id": "vf0" });
    let device = arguments.as_object().unwrap().clone();
    let commands = [
        (Command::QueryVersion, json!({ "execute": "query-version" })),
        (Command::QueryStatus, json!({ "execute": "query-status" })),
        (Command::QueryMigrate, json!({ "execute": "query-migrate" })),
        (Command::DeviceAdd(device), json!({ "execute": "device_add", "arguments": arguments })),
        (
            Command::DeviceDel { id: text("vf0") },
            json!({ "execute": "device_del", "arguments": { "id": "vf0" } }),
        ),
        (
            Command::SetLink { name: text("n"), up: false },
            json!({ "execute": "set_link", "arguments": { "name": "n", "up": false } }),
        ),
        (
            Command::QomList { path: text("/machine") },
            json!({ "execute": "qom-list", "arguments": { "path": "/machine" } }),
        ),
        (
            Command::QomGet { path: text("/machine"), property: text("p") },
            json!({ "execute": "qom-get", "arguments": { "path": "/machine", "property": "p" } }),
        ),
    ];
    let mut session = ready();
    for ((command, mut expected), id) in commands.into_iter().zip(2..) {
        session.command(&command).unwrap();
        assert_eq!(command.name(), expected["execute"].as_str().unwrap());
        expected["id"] = json!(id);
        assert_eq!(sent(&mut session), [expected]);
    }
}

#[test]
fn answers_find_their_commands_in_any_order() {
    let mut session = ready();
    let first = session.command(&Command::QueryStatus).unwrap();
    let second = session.command(&Command::DeviceDel { id: "none".to_owned() }).unwrap();
    // Written in two pieces.
    let output = session.output().to_vec();
    session.sent(7);
    assert_eq!(session.output(), &output[7..]);
    session.sent(output.len() - 7);
    assert_eq!(session.output(), b"");

    let refusal = r#"{"id": 3, "error": {"class": "DeviceNotFound", "desc": "Device 'none' not found"}}"#;
    let incoming = line(&mut session, refusal).unwrap();
    let [Incoming::Answer { id, outcome: Err(refusal) }] = &incoming[..] else { panic!("{incoming:?}") };
    assert_eq!((*id, &refusal.class), (second, &ErrorClass::DeviceNotFound));
    assert_eq!(refusal.to_string(), "Device 'none' not found (DeviceNotFound)");

    let incoming = line(&mut session, r#"{"return": {"running": true}, "id": 2}"#).unwrap();
    assert_eq!(incoming, [Incoming::Answer { id: first, outcome: Ok(json!({ "running": true })) }]);
    // No number is answered twice.
    let twice = line(&mut session, r#"{"return": {}, "id": 2}"#);
    assert!(matches!(twice, Err(Violation::Unasked(2))), "{twice:?}");
}

#[test]
fn events_are_told_apart() {
    let text = str::to_owned;
    let cases = [
        (
            r#""DEVICE_DELETED", "data": {"device": "r1", "path": "/machine/peripheral/r1"}"#,
            Event::DeviceDeleted { device: Some(text("r1")) },
        ),
        (
            r#""DEVICE_DELETED", "data": {"path": "/machine/peripheral/r1/virtio-backend"}"#,
            Event::DeviceDeleted { device: None },
        ),
        (
            r#""DEVICE_UNPLUG_GUEST_ERROR", "data": {"device": "vf0", "path": "/x"}"#,
            Event::UnplugRefused { device: Some(text("vf0")) },
        ),
        (
            r#""FAILOVER_NEGOTIATED", "data": {"device-id": "syn0"}"#,
            Event::FailoverNegotiated { standby: text("syn0") },
        ),
        (r#""UNPLUG_PRIMARY", "data": {"device-id": "vf0"}"#, Event::UnplugPrimary { primary: text("vf0") }),
        (r#""MIGRATION", "data": {"status": "wait-unplug"}"#, Event::Migration(MigrationStatus::WaitUnplug)),
        (
            r#""MIGRATION", "data": {"status": "colo"}"#,
            Event::Migration(MigrationStatus::Other(text("colo"))),
        ),
        (
            r#""RESET", "data": {"guest": false, "reason": "host-qmp-system-reset"}"#,
            Event::Reset { guest: false },
        ),
        (
            r#""SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}"#,
            Event::Shutdown { guest: true },
        ),
        (r#""STOP""#, Event::Stop),
        (r#""RESUME""#, Event::Resume),
        (r#""RTC_CHANGE", "data": {"offset": 78}"#, Event::Other(text("RTC_CHANGE"))),
    ];
    let mut session = ready();
    for (sent, expected) in cases {
        let stamped = format!(r#"{{"timestamp": {{"seconds": 1, "microseconds": 2}}, "event": {sent}}}"#);
        assert_eq!(line(&mut session, &stamped).unwrap(), [Incoming::Event(expected)], "{sent}");
    }
}

#[test]
fn every_status_of_a_migration_is_known() {
    use MigrationStatus::{
        Active, Cancelled, Cancelling, Completed, Device, Failed, None, PreSwitchover, Setup,
    };

    let cases = [
        ("none", None),
        ("setup", Setup),
        ("active", Active),
        ("device", Device),
        ("pre-switchover", PreSwitchover),
        ("cancelling", Cancelling),
        ("cancelled", Cancelled),
        ("completed", Completed),
        ("failed", Failed),
    ];
    for (name, status) in cases {
        assert_eq!(MigrationStatus::parse(name), status);
    }
}

/// A violation, by what it is.
type Kind = fn(&Violation) -> bool;

#[test]
fn a_broken_vmm_ends_the_session() {
    let deep = "[".repeat(100_000);
    let cases: [(&str, bool, Kind); 18] = [
        (r#"{"return": {}, "id": 1}"#, false, |found| matches!(found, Violation::NoGreeting)),
        (r#"{"event": "STOP"}"#, false, |found| matches!(found, Violation::NoGreeting)),
        ("HTTP/1.1 400 Bad Request", false, |found| matches!(found, Violation::NotJson(_))),
        (r#"{"QMP": {}}"#, false, |found| matches!(found, Violation::Greeting)),
        (r#"{"QMP": 7}"#, false, |found| matches!(found, Violation::Greeting)),
        (r#"{"QMP": {"version": {"qemu": {"major": -1, "minor": 0, "micro": 0}}}}"#, false, |found| {
            matches!(found, Violation::Greeting)
        }),
        (GREETING, true, |found| matches!(found, Violation::Greeting)),
        ("{", true, |found| matches!(found, Violation::NotJson(_))),
        ("[]", true, |found| matches!(found, Violation::NotJson(_))),
        (&deep, true, |found| matches!(found, Violation::NotJson(_))),
        ("{}", true, |found| matches!(found, Violation::Shape)),
        (r#"{"event": 7}"#, true, |found| matches!(found, Violation::Shape)),
        (r#"{"return": {}}"#, true, |found| matches!(found, Violation::Shape)),
        (r#"{"return": {}, "id": "1"}"#, true, |found| matches!(found, Violation::Shape)),
        (r#"{"id": 2, "return": {}, "error": {"class": "a", "desc": "b"}}"#, true, |found| {
            matches!(found, Violation::Shape)
        }),
        (r#"{"id": 2, "error": "no"}"#, true, |found| matches!(found, Violation::Shape)),
        (r#"{"return": {}, "id": 2}"#, true, |found| matches!(found, Violation::Unasked(2))),
        (r#"{"event": "UNPLUG_PRIMARY", "data": {"device-id": 7}}"#, true, |found| {
            matches!(found, Violation::Event { field: "device-id", .. })
        }),
    ];
    for (sent, negotiated, expected) in cases {
        let mut session = if negotiated { ready() } else { Session::new() };
        let found = line(&mut session, sent).unwrap_err();
        assert!(expected(&found), "{sent:.40}: {found:?}");
        // Nothing counts any more, and nothing is kept.
        assert_eq!(line(&mut session, GREETING).unwrap(), []);
        assert_eq!(session.input.capacity(), 0);
        assert_eq!(session.command(&Command::QueryStatus), None);
    }
}

#[test]
fn a_refused_negotiation_says_why() {
    let mut session = Session::new();
    line(&mut session, GREETING).unwrap();
    let refusal = r#"{"id": 1, "error": {"class": "CommandNotFound", "desc": "no"}}"#;
    let violation = line(&mut session, refusal).unwrap_err();
    assert_eq!(std::error::Error::source(&violation).unwrap().to_string(), "no (CommandNotFound)");
}

#[test]
fn lines_have_a_bound() {
    let prefix = r#"{"event": "LONG", "data": ""#;
    let suffix = r#""}"#;
    let event = |len: usize| format!("{prefix}{}{suffix}", "x".repeat(len - prefix.len() - suffix.len()));
    let mut session = ready();
    session.receive(event(MAX_LINE).as_bytes());
    assert_eq!(session.poll().unwrap(), None);
    session.receive(b"\n");
    assert_eq!(poll_all(&mut session).unwrap(), [Incoming::Event(Event::Other("LONG".to_owned()))]);

    // Whether the end of the line is there or not.
    for end in ["", "\n"] {
        let mut session = ready();
        session.receive(event(MAX_LINE + 1).as_bytes());
        session.receive(end.as_bytes());
        assert!(matches!(session.poll(), Err(Violation::LineTooLong)));
    }
}

#[test]
fn commands_under_way_have_a_bound() {
    let mut session = ready();
    for _ in 0..MAX_OUTSTANDING {
        assert!(session.command(&Command::QueryStatus).is_some());
    }
    assert_eq!(session.command(&Command::QueryStatus), None);
    line(&mut session, r#"{"return": {}, "id": 5}"#).unwrap();
    assert!(session.command(&Command::QueryStatus).is_some());
    assert_eq!(session.command(&Command::QueryStatus), None);
}

#[test]
fn texts_are_short_and_harmless() {
    let mut session = ready();
    let name = format!("\\u001b[2J{}", "é".repeat(2 * MAX_TEXT));
    let incoming = line(&mut session, &format!(r#"{{"event": "{name}"}}"#)).unwrap();
    let [Incoming::Event(Event::Other(kept))] = &incoming[..] else { panic!("{incoming:?}") };
    assert_eq!(kept.chars().count(), MAX_TEXT);
    assert!(kept.starts_with("\u{fffd}[2Jé"));
}

/// What a VMM sends after two commands, in any order that makes sense.
fn conversation() -> impl Strategy<Value = String> {
    let event = prop::sample::select(vec![
        r#"{"event": "STOP"}"#,
        r#"{"event": "DEVICE_DELETED", "data": {"device": "vf0", "path": "/machine/peripheral/vf0"}}"#,
        r#"{"event": "VSERPORT_CHANGE", "data": {"open": true, "id": "ü"}}"#,
        "",
        "   ",
    ]);
    let events = || prop::collection::vec(event.clone(), 0..4);
    let end = prop::sample::select(vec!["\n", "\r\n"]);
    (events(), events(), events(), end).prop_map(|(before, between, after, end)| {
        let lines = [
            before,
            vec![r#"{"id": 3, "error": {"class": "GenericError", "desc": "no"}}"#],
            between,
            vec![r#"{"return": [{"name": "vf0", "type": "child<vfio-user-pci>"}], "id": 2}"#],
            after,
        ];
        lines.concat().into_iter().map(|line| format!("{line}{end}")).collect()
    })
}

fn with_two_commands() -> Session {
    let mut session = ready();
    session.command(&Command::QueryStatus).unwrap();
    session.command(&Command::QueryVersion).unwrap();
    session
}

/// Parts of which a stream may by chance make sense.
const PIECES: [&str; 7] =
    [GREETING, NEGOTIATED, "\n", r#"{"id": 2, "return": "#, "null}", r#"{"event":"#, r#""RESET"}"#];

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_does_not_matter_where_the_stream_is_cut(
        stream in conversation(),
        cuts in prop::collection::vec(1_usize..40, 1..60),
    ) {
        let mut whole = with_two_commands();
        whole.receive(stream.as_bytes());
        let expected = poll_all(&mut whole).unwrap();

        let mut session = with_two_commands();
        let mut found = Vec::new();
        let mut rest = stream.as_bytes();
        for cut in cuts.into_iter().cycle() {
            let (piece, behind) = rest.split_at(cut.min(rest.len()));
            session.receive(piece);
            found.extend(poll_all(&mut session).unwrap());
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn no_stream_breaks_the_session(
        negotiated in any::<bool>(),
        pieces in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..50),
                prop::sample::select(PIECES.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()),
            ],
            0..20,
        ),
    ) {
        let mut session = if negotiated { with_two_commands() } else { Session::new() };
        let mut lines = 0;
        for piece in &pieces {
            session.receive(piece);
            lines += piece.iter().filter(|&&byte| byte == b'\n').count();
            let mut polls = 0;
            // Each poll takes a line, or is the last.
            while let Ok(Some(_)) = session.poll() {
                polls += 1;
                prop_assert!(polls <= lines);
            }
        }
        let received: usize = pieces.iter().map(Vec::len).sum();
        prop_assert!(session.input.len() <= received);
        prop_assert!(session.outstanding.len() <= 2);
    }
}
