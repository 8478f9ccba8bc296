//! A client that sends exactly what it is told.

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The sentence and the word of a refusal, and nothing else.
    pub(super) fn refusal(&self) -> (String, String) {
        let view: crate::types::ErrorView = serde_json::from_value(self.json()).unwrap();
        (view.error, view.code)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A request for which the connection is closed.
pub(super) async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    path: &str,
    body: Option<&str>,
) -> Answer {
    let body = body.map(|body| {
        format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    });
    let rest = body.unwrap_or_else(|| "\r\n".to_owned());
    let request = format!("{method} {path} HTTP/1.1\r\nhost: softiov\r\nconnection: close\r\n{rest}");
    stream.write_all(request.as_bytes()).await.unwrap();
    answer(stream).await
}

/// What comes until the connection ends.
pub(super) async fn answer(mut stream: impl AsyncRead + Unpin) -> Answer {
    let mut bytes = Vec::new();
    // Who is refused early may find the connection reset behind the answer.
    let _ = stream.read_to_end(&mut bytes).await;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("the answer has a head");
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    Answer { status, head, body: bytes[end + 4..].to_vec() }
}
