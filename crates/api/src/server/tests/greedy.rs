//! Clients that are slow, silent or many.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::memory::Memory;
use super::{LIMITS, connect, http};
use crate::access::Role;
use crate::config::ApiConfig;
use crate::server::{Limits, Sockets};

const SOON: Duration = Duration::from_millis(30);

/// Waits until the server ends the connection.
async fn ended(mut stream: tokio::net::UnixStream) {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
}

#[tokio::test]
async fn a_head_that_trickles_ends_the_connection() {
    let service = Arc::new(Memory::new());
    let mut stream = connect(&service, Some(Role::Viewer), Limits { head: SOON, ..LIMITS });
    stream.write_all(b"GET /healthz HT").await.unwrap();
    ended(stream).await;
}

#[tokio::test]
async fn a_connection_without_further_requests_is_ended() {
    let service = Arc::new(Memory::new());
    let mut stream = connect(&service, Some(Role::Viewer), Limits { head: SOON, ..LIMITS });
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: s\r\n\r\n").await.unwrap();
    assert_eq!(http::answer(stream).await.status, 200);
}

#[tokio::test]
async fn a_body_that_trickles_is_refused() {
    let service = Arc::new(Memory::new());
    let mut stream = connect(&service, Some(Role::Admin), Limits { body: SOON, ..LIMITS });
    let head =
        "POST /v1/vms HTTP/1.1\r\nhost: s\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = http::answer(stream).await;
    assert_eq!((answer.status, answer.refusal().1.as_str()), (408, "timed_out"));
}

#[tokio::test]
async fn a_body_is_not_awaited_for_who_may_not_send_it() {
    let service = Arc::new(Memory::new());
    let mut stream = connect(&service, Some(Role::Viewer), LIMITS);
    let head =
        "POST /v1/vms HTTP/1.1\r\nhost: s\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(http::answer(stream).await.status, 403);
}

#[tokio::test]
async fn who_does_not_read_what_it_asked_for_is_dropped() {
    let service = Arc::new(Memory::new());
    let (tell, gone) = oneshot::channel();
    *service.endless.lock().unwrap() = Some(tell);
    let mut stream = connect(&service, Some(Role::Operator), Limits { stall: SOON, ..LIMITS });
    let body = r#"{"point":"everywhere","snaplen":64}"#;
    let head = format!(
        "POST /v1/capture HTTP/1.1\r\nhost: s\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    gone.await.unwrap();
}

#[tokio::test]
async fn one_connection_too_many_of_a_user_is_turned_away_and_the_next_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let sockets = Sockets::bind(&path, &ApiConfig::default()).unwrap();
    let (end, ended) = oneshot::channel::<()>();
    let limits = Limits { connections_each: 2, farewell: Duration::ZERO, ..LIMITS };
    let service = Arc::new(Memory::new());
    let serving = tokio::spawn({
        let service = Arc::clone(&service);
        async move { sockets.serve(service, limits, async { drop(ended.await) }).await }
    });
    let connect = || tokio::net::UnixStream::connect(&path);
    let mut idle = Vec::new();
    for _ in 0..2 {
        let mut stream = connect().await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: s\r\n\r\n").await.unwrap();
        stream.read_u8().await.unwrap();
        idle.push(stream);
    }
    let answer = http::answer(connect().await.unwrap()).await;
    assert_eq!((answer.status, answer.refusal().1.as_str()), (503, "too_many_clients"));
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    idle.pop();
    // The server sees that it is gone at some time.
    while http::ask(connect().await.unwrap(), "GET", "/healthz", None).await.status != 200 {
        tokio::task::yield_now().await;
    }
    drop(idle);
    drop(end);
    serving.await.unwrap().unwrap();
    assert!(*service.captures_ended.lock().unwrap());
    assert!(!path.exists(), "the socket goes with the server");
}
