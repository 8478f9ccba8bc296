//! The driver against a VMM that comes, goes, is silent, slow or loud.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::net::UnixListener;
use tokio::sync::mpsc;

use super::{Settings, State, UPDATES, Update, Vmm, spawn};
use crate::command::Command;
use crate::error::{CommandError, Unreachable};
use crate::event::Event;
use crate::session::MAX_OUTSTANDING;
use crate::tests::fake::{Peer, place, settings};

/// A driver that is connected to a VMM.
async fn connected(listener: &UnixListener, settings: Settings) -> (Vmm, mpsc::Receiver<Update>, Peer) {
    let (vmm, mut updates) = spawn(settings);
    let peer = Peer::accept(listener).await;
    assert!(matches!(updates.recv().await, Some(Update::Connected(_))));
    assert!(matches!(vmm.state(), State::Up(_)));
    (vmm, updates, peer)
}

/// Waits until the driver has tried, and says how that ended.
async fn failure(vmm: &mut Vmm) -> String {
    let failed =
        |state: &State| matches!(state, State::Down(why) if !matches!(**why, Unreachable::NotYet(_)));
    let state = vmm.state.wait_for(failed).await.unwrap().clone();
    let State::Down(why) = state else { unreachable!("it was waited for") };
    format!("{why}; {}", why.source().map_or_else(String::new, ToString::to_string))
}

async fn status(vmm: &Vmm) -> Result<serde_json::Value, CommandError> {
    vmm.run(Command::QueryStatus).await
}

#[tokio::test]
async fn a_vmm_may_come_late_go_and_come_back() {
    let (_folder, path) = place();
    let (mut vmm, mut updates) = spawn(settings(&path));
    let why = failure(&mut vmm).await;
    assert!(why.contains("does the virtual machine run"), "{why}");
    assert!(matches!(status(&vmm).await, Err(CommandError::Unreachable(_))));

    for round in 0..3 {
        let listener = UnixListener::bind(&path).unwrap();
        let mut peer = Peer::accept(&listener).await;
        let Some(Update::Connected(greeting)) = updates.recv().await else { panic!("no connection") };
        assert_eq!(greeting.version.major, 11);
        let (outcome, ()) = tokio::join!(status(&vmm), async {
            let request = peer.request("query-status").await;
            peer.event("RESET", json!({ "guest": true })).await;
            peer.event("RTC_CHANGE", json!({})).await;
            peer.give(&request, json!(round)).await;
        });
        assert_eq!(outcome.unwrap(), json!(round));
        assert!(matches!(updates.recv().await, Some(Update::Event(Event::Reset { guest: true }))));
        // It dies with a command under way.
        let (outcome, ()) = tokio::join!(status(&vmm), async {
            peer.request("query-status").await;
            drop((peer, listener));
            std::fs::remove_file(&path).unwrap();
        });
        assert!(matches!(outcome, Err(CommandError::Lost { command: "query-status", .. })), "{outcome:?}");
        let Some(Update::Lost(why)) = updates.recv().await else { panic!("not lost") };
        assert!(why.to_string().contains("has closed the connection"), "{why}");
    }
}

#[tokio::test]
async fn a_silent_monitor_is_given_up() {
    let (_folder, path) = place();
    // Connections wait in the queue of the socket: what a second client of QEMU sees.
    let _listener = UnixListener::bind(&path).unwrap();
    let (mut vmm, _updates) = spawn(Settings { greeting: Duration::from_millis(20), ..settings(&path) });
    let why = failure(&mut vmm).await;
    assert!(why.contains("does not greet within 0.02 s"), "{why}");
}

#[tokio::test]
async fn what_is_no_monitor_is_told() {
    let cases = [
        ("SSH-2.0-OpenSSH_10.0", "it sends a line that is no JSON object"),
        (r#"{"event": "STOP"}"#, "it does not begin with a greeting"),
        (r#"{"QMP": {}}"#, "it sends a greeting that makes no sense"),
    ];
    for (greeting, expected) in cases {
        let (_folder, path) = place();
        let listener = UnixListener::bind(&path).unwrap();
        let (mut vmm, _updates) = spawn(settings(&path));
        let (stream, _) = listener.accept().await.unwrap();
        stream.writable().await.unwrap();
        stream.try_write(format!("{greeting}\n").as_bytes()).unwrap();
        let why = failure(&mut vmm).await;
        assert!(why.contains(expected), "{why}");
    }
}

#[tokio::test]
async fn a_violation_ends_the_connection() {
    let (_folder, path) = place();
    let listener = UnixListener::bind(&path).unwrap();
    let (vmm, mut updates, mut peer) = connected(&listener, settings(&path)).await;
    let (outcome, ()) = tokio::join!(status(&vmm), async {
        peer.request("query-status").await;
        peer.event("STOP", json!({})).await;
        peer.send(&json!({ "return": {}, "id": 99 })).await;
    });
    let Err(CommandError::Lost { source, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(&*source, Unreachable::Protocol { .. }), "{source}");
    // What came before counts.
    assert!(matches!(updates.recv().await, Some(Update::Event(Event::Stop))));
    assert!(matches!(updates.recv().await, Some(Update::Lost(_))));
    assert!(peer.next().await.is_none());
    drop(peer);
    let _again = Peer::accept(&listener).await;
    assert!(matches!(updates.recv().await, Some(Update::Connected(_))));
}

#[tokio::test]
async fn a_late_answer_is_for_nobody() {
    let (_folder, path) = place();
    let listener = UnixListener::bind(&path).unwrap();
    let impatient = Settings { command: Duration::from_millis(20), ..settings(&path) };
    let (vmm, mut updates, mut peer) = connected(&listener, impatient).await;
    let (outcome, late) = tokio::join!(status(&vmm), peer.request("query-status"));
    assert!(matches!(outcome, Err(CommandError::TimedOut { command: "query-status", .. })), "{outcome:?}");
    // The connection is as good as before.
    peer.give(&late, json!("late")).await;
    peer.event("STOP", json!({})).await;
    assert!(matches!(updates.recv().await, Some(Update::Event(Event::Stop))));
}

#[tokio::test]
async fn a_vmm_that_answers_nothing_is_asked_no_more() {
    let (_folder, path) = place();
    let listener = UnixListener::bind(&path).unwrap();
    let (vmm, _updates, mut peer) = connected(&listener, settings(&path)).await;
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..MAX_OUTSTANDING {
        let vmm = vmm.clone();
        waiting.spawn(async move { status(&vmm).await });
    }
    let mut requests = Vec::new();
    for _ in 0..MAX_OUTSTANDING {
        requests.push(peer.request("query-status").await);
    }
    assert!(matches!(status(&vmm).await, Err(CommandError::Busy { command: "query-status" })));
    for request in requests.into_iter().rev() {
        peer.give(&request, json!({})).await;
    }
    assert!(waiting.join_all().await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn events_that_nobody_takes_stop_the_vmm_not_the_memory() {
    let (_folder, path) = place();
    let listener = UnixListener::bind(&path).unwrap();
    let (vmm, mut updates, mut peer) = connected(&listener, settings(&path)).await;
    // The driver reads on for a while, and then no more: until it does, its queue is not full.
    let mut flooded = 0;
    while updates.len() < UPDATES {
        flooded += peer.flood(b"{\"event\": \"RESET\"}\n");
        tokio::task::yield_now().await;
    }
    // Commands are taken meanwhile; their answers come behind the events.
    let (outcome, ()) = tokio::join!(status(&vmm), async {
        let answered = async {
            let request = peer.request("query-status").await;
            peer.give(&request, json!("behind")).await;
        };
        let taken = async {
            for _ in 0..flooded {
                assert!(matches!(updates.recv().await, Some(Update::Event(Event::Reset { .. }))));
            }
        };
        tokio::join!(answered, taken);
    });
    assert_eq!(outcome.unwrap(), json!("behind"));
    assert!(updates.is_empty());
}

#[tokio::test]
async fn a_driver_that_nobody_wants_ends() {
    async fn hangs_up(path: &Path, drop_it: impl FnOnce(Vmm, mpsc::Receiver<Update>)) {
        let listener = UnixListener::bind(path).unwrap();
        let (vmm, updates, mut peer) = connected(&listener, settings(path)).await;
        drop_it(vmm, updates);
        assert!(peer.next().await.is_none());
    }

    let (_folder, path) = place();
    hangs_up(&path, |vmm, updates| {
        drop(vmm.clone());
        drop(vmm);
        // Kept: the driver ends all the same.
        std::mem::forget(updates);
    })
    .await;

    let (_folder, path) = place();
    hangs_up(&path, |vmm, updates| {
        drop(updates);
        std::mem::forget(vmm);
    })
    .await;

    let (_folder, path) = place();
    let (vmm, updates) = spawn(settings(&path));
    drop(updates);
    // Either refused while the driver ended, or ended.
    while !matches!(status(&vmm).await, Err(CommandError::Ended)) {}
}
