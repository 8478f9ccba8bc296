//! Events, as they happen.

use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Bytes;

use super::{Appetite, Client, ClientError, runtime, streaming};
use crate::types::EventView;

/// Longest line of a stream of events, in bytes.
const MAX_LINE: usize = 1 << 20;

/// What comes by a stream of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// An event.
    Event(Box<EventView>),
    /// What the daemon says of the stream itself: that events are gone, or that it ends.
    Remark(String),
}

impl Client {
    /// Hands on the events behind number `since`, then further ones as they happen, until `take` wants no more or the
    /// daemon ends the stream: then whoever wants more asks again, with the number of the last event.
    ///
    /// # Errors
    /// The daemon does not answer, refuses or goes away; or what `take` says.
    pub fn follow<E: From<ClientError>>(
        &self,
        since: u64,
        mut take: impl FnMut(Notice) -> Result<Appetite, E>,
    ) -> Result<(), E> {
        runtime()?.block_on(async {
            let path = format!("/v1/events?since={since}");
            let response = self.send(Method::GET, &path, Bytes::new()).await?;
            let mut body = streaming(response).await?.into_body();
            let mut lines = Lines::default();
            while let Some(frame) = body.frame().await {
                let part = frame.map_err(ClientError::Lost)?;
                lines.take(part.data_ref().map_or(&[], |data| &data[..]))?;
                while let Some(line) = lines.next() {
                    if let Some(notice) = notice(&line)?
                        && take(notice)? == Appetite::Sated
                    {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }
}

/// What a line says. Each event is one line of data; its number is in there, too.
fn notice(line: &str) -> Result<Option<Notice>, ClientError> {
    if let Some(data) = line.strip_prefix("data:") {
        let event = serde_json::from_str(data).map_err(|error| nonsense(error.to_string()))?;
        return Ok(Some(Notice::Event(event)));
    }
    let remark = line.strip_prefix(':').map(str::trim).filter(|remark| !remark.is_empty());
    Ok(remark.map(|remark| Notice::Remark(remark.to_owned())))
}

/// Cuts what comes into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// Where the next line starts.
    start: usize,
}

impl Lines {
    fn take(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.bytes.drain(..self.start);
        self.start = 0;
        if self.bytes.len() > MAX_LINE {
            return Err(nonsense(format!("a line of the events has more than {MAX_LINE} bytes")));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn next(&mut self) -> Option<String> {
        let rest = self.bytes.get(self.start..)?;
        let length = rest.iter().position(|&byte| byte == b'\n')?;
        let line = String::from_utf8_lossy(&rest[..length]).trim_end_matches('\r').to_owned();
        self.start += length + 1;
        Some(line)
    }
}

fn nonsense(reason: String) -> ClientError {
    ClientError::Nonsense { reason }
}

#[cfg(test)]
mod tests;
