//! The stream of events.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

use super::memory::{Memory, event};
use super::{LIMITS, connect, http, shared};
use crate::Client;
use crate::access::Role;
use crate::client::{Appetite, ClientError, Notice};
use crate::config::ApiConfig;
use crate::server::{Limits, Sockets, sse};
use crate::types::EventList;

/// Everything that a stream has until it ends.
async fn rest(mut body: axum::body::Body) -> String {
    let mut text = String::new();
    while let Some(piece) = body.frame().await {
        text.push_str(std::str::from_utf8(piece.unwrap().data_ref().unwrap()).unwrap());
    }
    text
}

/// The next piece of a stream.
async fn piece(body: &mut axum::body::Body) -> String {
    let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
    String::from_utf8(piece.into()).unwrap()
}

fn ids(text: &str) -> Vec<u64> {
    text.lines().filter_map(|line| line.strip_prefix("id: ")).map(|id| id.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_list_of_the_past_starts_behind_the_number_given() {
    let service = Arc::new(Memory::new());
    for (path, expected) in [
        ("/v1/events?follow=false", vec![1, 2, 3]),
        ("/v1/events?follow=false&since=1", vec![2, 3]),
        ("/v1/events?since=3&follow=false", vec![]),
        ("/v1/events?since=18446744073709551615&follow=false", vec![]),
    ] {
        let answer = http::ask(connect(&service, Some(Role::Viewer), LIMITS), "GET", path, None).await;
        let list: EventList = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(list.events.iter().map(|event| event.sequence).collect::<Vec<_>>(), expected, "{path}");
        assert_eq!((list.oldest, list.latest), (1, 3));
    }
}

#[tokio::test]
async fn the_header_of_a_resumed_stream_goes_before_its_parameter() {
    let service = Arc::new(Memory::new());
    for (id, status, expected) in [("2", 200, vec![3]), ("x", 400, vec![]), ("-1", 400, vec![])] {
        let mut stream = connect(&service, Some(Role::Viewer), LIMITS);
        let path = "/v1/events?follow=false&since=0";
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: s\r\nconnection: close\r\nlast-event-id: {id}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = http::answer(stream).await;
        assert_eq!(answer.status, status, "{answer:?}");
        if status == 200 {
            let list: EventList = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(list.events.iter().map(|event| event.sequence).collect::<Vec<_>>(), expected);
        } else {
            assert_eq!(answer.refusal().1, "bad_last_event_id");
        }
    }
}

#[tokio::test]
async fn a_client_gets_what_is_kept_and_then_what_happens_and_resumes_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let service = Arc::new(Memory::new());
    let sockets = Sockets::bind(&path, &ApiConfig::default()).unwrap();
    let (end, ended) = oneshot::channel::<()>();
    let serving = tokio::spawn({
        let service = Arc::clone(&service);
        async move { sockets.serve(service, LIMITS, async { drop(ended.await) }).await }
    });
    let client = Client::unix(path);
    let seen = tokio::task::spawn_blocking(move || {
        let mut seen = Vec::new();
        let follow = |since, until, seen: &mut Vec<u64>| {
            client.follow::<ClientError>(since, |notice| {
                let Notice::Event(event) = notice else { return Ok(Appetite::More) };
                seen.push(event.sequence);
                assert_eq!(event.text, "alpha/net0 moved\nto VF 0");
                if event.sequence == 3 {
                    service.log.push(super::memory::event());
                }
                Ok(if event.sequence == until { Appetite::Sated } else { Appetite::More })
            })
        };
        follow(1, 2, &mut seen).unwrap();
        follow(2, 4, &mut seen).unwrap();
        seen
    });
    assert_eq!(seen.await.unwrap(), [2, 3, 4]);
    drop(end);
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_reads_too_slowly_gets_a_last_word_and_nothing_more() {
    let service = Arc::new(Memory::new());
    let (shared, _tell) = shared(Arc::clone(&service), LIMITS);
    let mut body = sse::follow(&shared, 0);
    assert_eq!(piece(&mut body).await, ": events follow\n\n");
    assert_eq!(ids(&piece(&mut body).await), [1, 2, 3]);
    // The log keeps four: 4 to 6 are gone when the reader comes back.
    for _ in 0..7 {
        service.log.push(event());
    }
    assert_eq!(
        rest(body).await,
        ": events 4 to 6 are gone: you read too slowly; ask again with ?since=3\n\n"
    );
}

#[tokio::test]
async fn what_is_no_longer_kept_is_told_at_the_start() {
    let service = Arc::new(Memory::new());
    let (shared, tell) = shared(Arc::clone(&service), LIMITS);
    for _ in 0..3 {
        service.log.push(event());
    }
    tell.send_replace(true);
    let text = rest(sse::follow(&shared, 1)).await;
    assert!(text.starts_with(": events 2 to 2 are no longer kept\n\n"), "{text}");
    assert_eq!(ids(&text), [3, 4, 5, 6]);
    assert!(text.ends_with(": the daemon ends\n\n"), "{text}");
    // A number that this daemon has not given.
    let text = rest(sse::follow(&shared, 99)).await;
    assert!(text.starts_with(": event 99 is of another start of the daemon"), "{text}");
    assert_eq!(ids(&text), [3, 4, 5, 6]);
}

#[tokio::test]
async fn a_silent_stream_has_comments_by_which_a_lost_reader_is_noticed() {
    let service = Arc::new(Memory::new());
    let limits = Limits { keep_alive: Duration::from_millis(5), ..LIMITS };
    let (shared, _tell) = shared(Arc::clone(&service), limits);
    let mut body = sse::follow(&shared, 3);
    assert_eq!(piece(&mut body).await, ": events follow\n\n");
    assert_eq!(piece(&mut body).await, ":\n\n");
    assert_eq!(piece(&mut body).await, ":\n\n");
}
