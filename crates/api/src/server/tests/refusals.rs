//! What cannot be, and what is said of it.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;

use super::memory::Memory;
use super::{LIMITS, connect, http};
use crate::access::Role;
use crate::server::MAX_BODY;

/// The answer to an admin.
async fn ask(method: &str, path: &str, body: Option<&str>) -> http::Answer {
    let service = Arc::new(Memory::new());
    http::ask(connect(&service, Some(Role::Admin), LIMITS), method, path, body).await
}

#[tokio::test]
async fn each_refusal_names_what_is_wrong() {
    let adapter = "/v1/vms/alpha/adapters/net0";
    let table = [
        ("GET", "/v1/nothing", None, 404, "no_such_path", "/v1/nothing"),
        ("PUT", "/v1/vms", None, 405, "no_such_method", "PUT"),
        ("GET", "/v1/vms/nobody", None, 404, "no_such_thing", "nobody"),
        ("GET", "/v1/vms/%ff", None, 400, "bad_path", "UTF-8"),
        ("POST", "/v1/vfs/x/reset", None, 400, "bad_path", "x"),
        ("POST", "/v1/vfs/70000/reset", None, 400, "bad_path", "70000"),
        ("GET", "/v1/pci/x", None, 404, "no_such_function", "\"x\""),
        ("GET", "/v1/events?since=x", None, 400, "bad_query", "since"),
        ("GET", "/v1/events?sins=1", None, 400, "bad_query", "sins"),
        ("POST", "/v1/apply?dry=true", Some(r#"{"vm":[]}"#), 400, "bad_query", "dry"),
        ("POST", "/v1/vms", Some("{"), 400, "malformed", "EOF"),
        ("POST", "/v1/vms", Some(""), 400, "malformed", "EOF"),
        ("POST", "/v1/vms", Some(r#"{"name":"b","colour":1}"#), 422, "invalid", "colour"),
        ("POST", "/v1/vms", Some(r#"{"name":"a b"}"#), 422, "invalid", "a b"),
        ("POST", "/v1/vms", Some(r#"{"name":"alpha"}"#), 409, "name_taken", "alpha"),
        ("POST", "/v1/apply", Some(r#"{"vm":[],"switch":[]}"#), 422, "invalid", "switch"),
        ("PATCH", "/v1/vms/alpha", Some(r#"{"colour":null}"#), 422, "invalid", "colour"),
        ("PATCH", "/v1/vms/alpha", Some(r#"{"name":"beta"}"#), 422, "name_is_fixed", "beta"),
        ("PATCH", "/v1/vms/alpha", Some("[]"), 422, "invalid", "map"),
        ("PATCH", adapter, Some(r#"{"iov_weight":101}"#), 422, "invalid", "101"),
        ("PATCH", adapter, Some(r#"{"vlan":4095}"#), 422, "invalid", "4095"),
        ("PATCH", adapter, Some(r#"{"mac":"01:00:5e:00:00:01"}"#), 422, "invalid", "01:00:5e:00:00:01"),
        ("PATCH", adapter, Some(r#"{"mac":null}"#), 422, "invalid", "mac"),
        ("PATCH", adapter, Some(r#"{"port":{"bandwidth":{"speed":null}}}"#), 422, "invalid", "speed"),
        ("PATCH", "/v1/adapter", Some(r#"{"num_vfs":4,"force":true}"#), 422, "invalid", "force"),
        ("POST", "/v1/vms/alpha/adapters/net0/failover", Some(r#"{"to":"moon"}"#), 422, "invalid", "moon"),
        ("POST", "/v1/trace", Some(r#"{"from":"a","content":"plain","x":1}"#), 422, "invalid", "x"),
        ("POST", "/v1/capture", Some(r#"{"point":"everywhere"}"#), 422, "invalid", "snaplen"),
        ("POST", "/v1/switch/s/fdb", Some(r#"{"mac":"02:00:00:00:00:05","ip":1}"#), 422, "invalid", "ip"),
        ("POST", "/v1/datapath/rebuild", None, 503, "no_data_path", "already"),
        // A service that panics takes nobody with it.
        ("POST", "/v1/port/p/policy", Some(r#"{"remove_rule":99}"#), 500, "failed", "daemon failed"),
    ];
    for (method, path, body, status, code, named) in table {
        let answer = ask(method, path, body).await;
        let (error, word) = answer.refusal();
        assert_eq!((answer.status, word.as_str()), (status, code), "{method} {path} {body:?}: {error}");
        assert!(error.contains(named), "{method} {path} {body:?}: {error}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_said_to_be_json_is_refused_with_the_header_that_is_missing() {
    let service = Arc::new(Memory::new());
    for kind in ["", "content-type: application/x-www-form-urlencoded\r\n"] {
        let mut stream = connect(&service, Some(Role::Admin), LIMITS);
        let request = format!(
            "POST /v1/vms HTTP/1.1\r\nhost: s\r\nconnection: close\r\n{kind}content-length: 2\r\n\r\n{{}}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = http::answer(stream).await;
        let (error, code) = answer.refusal();
        assert_eq!((answer.status, code.as_str()), (415, "not_json"));
        assert!(error.contains("content-type: application/json"), "{error}");
    }
}

#[tokio::test]
async fn a_body_of_the_largest_size_is_read_and_one_byte_more_is_refused() {
    let body = |length: usize| {
        let frame = r#"{"name":"beta"}"#;
        format!("{frame}{}", " ".repeat(length - frame.len()))
    };
    assert_eq!(ask("POST", "/v1/vms", Some(&body(MAX_BODY))).await.status, 201);
    let answer = ask("POST", "/v1/vms", Some(&body(MAX_BODY + 1))).await;
    let (error, code) = answer.refusal();
    assert_eq!((answer.status, code.as_str()), (413, "too_large"));
    assert!(error.contains("1048576"), "{error}");
}

#[tokio::test]
async fn a_body_in_chunks_has_the_same_bound() {
    let service = Arc::new(Memory::new());
    let mut stream = connect(&service, Some(Role::Admin), LIMITS);
    let head = "POST /v1/vms HTTP/1.1\r\nhost: s\r\nconnection: close\r\ncontent-type: application/json\r\n\
                transfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let (reader, mut writer) = stream.into_split();
    let writing = tokio::spawn(async move {
        // Refused after the bound, whether or not it ends.
        while writer.write_all(chunk.as_bytes()).await.is_ok() {}
    });
    let answer = http::answer(reader).await;
    assert_eq!((answer.status, answer.refusal().1.as_str()), (413, "too_large"));
    writing.await.unwrap();
}
