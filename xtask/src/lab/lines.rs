//! Lines over a Unix socket, with a deadline on each.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags};

use crate::process;

/// A peer that speaks in lines.
#[derive(Debug)]
pub(super) struct Lines {
    stream: UnixStream,
    /// Received, and not yet taken as lines.
    pending: Vec<u8>,
}

impl Lines {
    pub(super) fn new(stream: UnixStream) -> Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, pending: Vec::new() })
    }

    /// Sends one line.
    pub(super) fn send(&mut self, line: &str) -> Result<()> {
        // Lines are far shorter than a socket buffer, and the peer reads all that it is sent.
        self.stream.write_all(format!("{line}\n").as_bytes()).context("the peer does not read")
    }

    /// The next line, without its end; bytes that are not UTF-8 are replaced.
    pub(super) fn receive(&mut self, deadline: Instant) -> Result<String> {
        loop {
            if let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned());
            }
            if !process::poll_one(&PollFd::new(&self.stream, PollFlags::IN), deadline)? {
                bail!("no line came in time");
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("the peer has closed the connection"),
                Ok(count) => self.pending.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("the connection broke"),
            }
        }
    }
}
