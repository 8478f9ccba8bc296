//! The VMM's end of a monitor.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};

use crate::Settings;

/// A folder for a socket, and its path.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vm.qmp");
    (folder, path)
}

/// Settings under which nothing times out, and nothing is waited for long.
pub(crate) fn settings(path: &Path) -> Settings {
    Settings {
        greeting: Duration::from_secs(60),
        command: Duration::from_secs(60),
        first_delay: Duration::from_millis(1),
        longest_delay: Duration::from_millis(5),
        ..Settings::new(path.to_path_buf())
    }
}

/// A VMM with one client.
#[derive(Debug)]
pub(crate) struct Peer {
    lines: BufReader<OwnedReadHalf>,
    output: OwnedWriteHalf,
}

impl Peer {
    pub(crate) fn new(stream: UnixStream) -> Self {
        let (input, output) = stream.into_split();
        Self { lines: BufReader::new(input), output }
    }

    /// Takes the next client, and negotiates.
    pub(crate) async fn accept(listener: &UnixListener) -> Self {
        let (stream, _) = listener.accept().await.unwrap();
        let mut peer = Self::new(stream);
        let version = json!({ "qemu": { "major": 11, "minor": 1, "micro": 3 }, "package": "" });
        peer.send(&json!({ "QMP": { "version": version, "capabilities": ["oob"] } })).await;
        let request = peer.request("qmp_capabilities").await;
        peer.give(&request, json!({})).await;
        peer
    }

    pub(crate) async fn send(&mut self, message: &Value) {
        self.output.write_all(format!("{message}\r\n").as_bytes()).await.unwrap();
    }

    pub(crate) async fn event(&mut self, name: &str, data: Value) {
        self.send(&json!({ "event": name, "data": data, "timestamp": {} })).await;
    }

    /// The next command; `None` when the client has gone.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.lines.read_line(&mut line).await.unwrap() {
            0 => None,
            _ => Some(serde_json::from_str(&line).unwrap()),
        }
    }

    /// The next command, which must be this one.
    pub(crate) async fn request(&mut self, command: &str) -> Value {
        let request = self.next().await.unwrap();
        assert_eq!(request["execute"], command);
        request
    }

    pub(crate) async fn give(&mut self, request: &Value, returned: Value) {
        self.send(&json!({ "return": returned, "id": request["id"] })).await;
    }

    pub(crate) async fn refuse(&mut self, request: &Value, class: &str, description: &str) {
        let error = json!({ "class": class, "desc": description });
        self.send(&json!({ "id": request["id"], "error": error })).await;
    }

    /// Writes until nobody reads any more, and returns how often.
    pub(crate) fn flood(&mut self, line: &[u8]) -> usize {
        let mut written = 0;
        loop {
            match self.output.try_write(line) {
                Ok(len) => {
                    assert_eq!(len, line.len(), "a short line goes into the socket whole");
                    written += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                    return written;
                }
            }
        }
    }
}
