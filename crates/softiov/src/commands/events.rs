//! What `events` does.

use api::Client;
use api::client::{Appetite, Notice};
use api::types::EventList;

use crate::cli::Output;
use crate::render;

/// `events`.
pub(super) fn events(client: &Client, since: u64, follow: bool, output: Output) -> anyhow::Result<()> {
    if !follow {
        let list: EventList = client.get(&format!("/v1/events?since={since}&follow=false"))?;
        return Ok(render::events(&list, output)?);
    }
    let mut last = since;
    loop {
        // The daemon ends a stream when it ends itself; or when its reader fell behind, which may ask again.
        let mut again = false;
        client.follow(last, |notice| -> anyhow::Result<Appetite> {
            match notice {
                Notice::Event(event) => {
                    last = event.sequence;
                    if !render::event(&event, output)? {
                        return Ok(Appetite::Sated);
                    }
                }
                Notice::Remark(remark) => {
                    again = remark.contains("ask again");
                    render::remark(&remark);
                }
            }
            Ok(Appetite::More)
        })?;
        if !again {
            return Ok(());
        }
    }
}
