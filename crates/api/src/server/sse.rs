//! The stream of events, as server-sent events.

use std::fmt::Write;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use tokio::sync::{mpsc, watch};

use super::body::pieces;
use super::{Ending, Limits, Shared};
use crate::service::Service;
use crate::types::{EventList, EventView};

/// Events that are written at once.
const BATCH: usize = 64;

/// The events behind number `since`, those that are kept at once and further ones as they happen.
///
/// The backlog of a reader is the log itself: it is told at the start what the log no longer has, and one that falls
/// behind the log later on is told so and dropped. It resumes with the number of the last event that it got.
pub(super) fn follow(shared: &Shared, since: u64) -> Body {
    let (sender, body) = pieces();
    let follower = Follower {
        news: shared.service.events().subscribe(),
        service: Arc::clone(&shared.service),
        limits: shared.limits,
        ending: shared.ending.clone(),
        sender,
    };
    // It ends with the body, which the connection drops, or with the server.
    tokio::spawn(follower.run(since));
    Body::new(body)
}

struct Follower {
    service: Arc<dyn Service>,
    limits: Limits,
    news: watch::Receiver<u64>,
    ending: Ending,
    sender: mpsc::Sender<Bytes>,
}

impl Follower {
    async fn run(mut self, since: u64) {
        let mut cursor = self.start(since).await;
        while let Some(sent) = cursor {
            self.news.mark_unchanged();
            let list = self.service.events().since(sent, BATCH);
            cursor = if list.oldest > sent + 1 {
                let lost =
                    format!("events {} to {} are gone: you read too slowly", sent + 1, list.oldest - 1);
                self.send(format!(": {lost}; ask again with ?since={sent}\n\n")).await;
                None
            } else if list.events.is_empty() {
                self.wait().await.map(|()| sent)
            } else {
                self.send(list.events.iter().map(record).collect()).await.map(|()| last(&list, sent))
            };
        }
    }

    /// Says what is no longer kept, and from where on the reader gets all.
    async fn start(&self, since: u64) -> Option<u64> {
        let list = self.service.events().since(since, 0);
        let (from, remark) = if since > list.latest {
            (
                list.oldest - 1,
                format!("event {since} is of another start of the daemon: all that is kept follows"),
            )
        } else if list.oldest > since + 1 {
            (list.oldest - 1, format!("events {} to {} are no longer kept", since + 1, list.oldest - 1))
        } else {
            (since, "events follow".to_owned())
        };
        self.send(format!(": {remark}\n\n")).await.map(|()| from)
    }

    /// Waits for news; nothing if there will be none.
    async fn wait(&mut self) -> Option<()> {
        tokio::select! {
            news = self.news.changed() => news.ok(),
            () = self.ending.begun() => {
                self.send(": the daemon ends\n\n".to_owned()).await;
                None
            }
            () = tokio::time::sleep(self.limits.keep_alive) => self.send(":\n\n".to_owned()).await,
            () = self.sender.closed() => None,
        }
    }

    async fn send(&self, text: String) -> Option<()> {
        self.sender.send(text.into()).await.ok()
    }
}

fn last(list: &EventList, otherwise: u64) -> u64 {
    list.events.last().map_or(otherwise, |event| event.sequence)
}

/// An event as the stream has it. JSON has no line breaks, so that it is one `data` line.
fn record(event: &EventView) -> String {
    let mut text = format!("id: {}\ndata: ", event.sequence);
    match serde_json::to_string(event) {
        Ok(json) => text.push_str(&json),
        Err(error) => {
            let _ = write!(text, "\n: it cannot be written: {error}");
        }
    }
    text + "\n\n"
}
