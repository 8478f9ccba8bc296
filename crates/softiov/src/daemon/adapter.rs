//! The adapter that both the control API and the guests' mailboxes reach.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use dataplane::Handle;
use miniport::pf::{Grant, PfReply, PfRequest, XcastMode};
use miniport::trace::{self, Answer, Event};
use miniport::{Action, Adapter, ClientId, NdisStatus, OidRequest, OidResponse, Payload, Refusal, Request};
use nic_switch::VfId;
use port::{GuestReply, GuestRequest, Reception};

/// The virtualization stack, as a client of the adapter.
pub(crate) const STACK: ClientId = ClientId(1);
/// Whoever asks through the control API.
pub(crate) const OPERATOR: ClientId = ClientId(2);

/// Bytes of an RSS key.
pub(crate) const RSS_KEY: usize = 40;

/// An OID request that was refused.
#[derive(Debug, thiserror::Error)]
#[error("{request} was refused: {status}{}", refusal.as_ref().map_or_else(String::new, |r| format!(": {r}")))]
pub(crate) struct OidError {
    pub(crate) request: String,
    pub(crate) status: NdisStatus,
    pub(crate) refusal: Option<Refusal>,
}

/// The adapter behind a lock: requests are short, and no frame waits for one.
#[derive(Debug)]
pub(crate) struct AdapterService {
    inner: Mutex<Inner>,
    /// The worker to which forwarding state is published; none while the data path is being rebuilt.
    publisher: ArcSwapOption<Handle>,
    /// RSS key for VFs that have none of their own: random, so that nobody can aim flows at one queue.
    rss_key: [u8; RSS_KEY],
}

#[derive(Debug)]
struct Inner {
    adapter: Adapter,
    trace: Option<BufWriter<File>>,
}

impl AdapterService {
    pub(crate) fn new(adapter: Adapter, rss_key: [u8; RSS_KEY]) -> Self {
        Self { inner: Mutex::new(Inner { adapter, trace: None }), publisher: ArcSwapOption::empty(), rss_key }
    }

    pub(crate) fn rss_key(&self) -> [u8; RSS_KEY] {
        self.rss_key
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the adapter.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Adapter) -> T) -> T {
        look(&self.lock().adapter)
    }

    /// From now on forwarding state goes to this worker, the present one at once.
    pub(crate) fn publish_to(&self, worker: Option<Handle>) {
        let inner = self.lock();
        self.publisher.store(worker.map(std::sync::Arc::new));
        self.publish(&inner.adapter);
    }

    /// Records requests and answers from now on into a new file, or no longer.
    pub(crate) fn set_trace(&self, path: Option<&Path>) -> io::Result<()> {
        let file = path.map(File::create_new).transpose()?;
        self.lock().trace = file.map(BufWriter::new);
        Ok(())
    }

    /// Has a request answered; what else is to be done comes back with the payload.
    pub(crate) fn request(
        &self,
        client: ClientId,
        request: OidRequest,
    ) -> Result<(Payload, Vec<Action>), OidError> {
        let (oid, kind) = request.oid();
        let name = format!("{kind:?} {oid:?}");
        let (response, actions) = self.raw_request(client, request.into());
        match response.status {
            NdisStatus::Success => Ok((response.payload, actions)),
            status => Err(OidError { request: name, status, refusal: response.refusal }),
        }
    }

    /// Has a request in any form answered.
    pub(crate) fn raw_request(&self, client: ClientId, request: Request) -> (OidResponse, Vec<Action>) {
        match self.event(Event::Request { client, request }) {
            (Answer::Response(response), actions) => (response, actions),
            (other, _) => unreachable!("a request is answered by a response, not {other:?}"),
        }
    }

    /// The link of the physical port went up or down.
    pub(crate) fn set_link(&self, up: bool) -> Vec<Action> {
        self.event(Event::Link { up }).1
    }

    /// Answers what a guest asks through its mailbox. Runs on the bus thread: everything that such a request changes
    /// is forwarding state.
    pub(crate) fn guest_request(&self, vf: VfId, generation: u64, request: GuestRequest) -> GuestReply {
        let request = match request {
            GuestRequest::Reset => PfRequest::Reset,
            GuestRequest::SetMac(mac) => PfRequest::SetMac(mac),
            GuestRequest::SetUnicast(list) => PfRequest::SetUnicast(list),
            GuestRequest::SetMulticast(hashes) => PfRequest::SetMulticast(hashes),
            GuestRequest::AddVlan(vid) => PfRequest::AddVlan(vid),
            GuestRequest::RemoveVlan(vid) => PfRequest::RemoveVlan(vid),
            GuestRequest::SetMaxFrame(bytes) => PfRequest::SetMaxFrame(bytes),
            GuestRequest::SetReception(reception) => PfRequest::SetXcast(match reception {
                Reception::Unicast => XcastMode::None,
                Reception::Multicast => XcastMode::Multi,
                Reception::AllMulticast => XcastMode::AllMulti,
                Reception::Promiscuous => XcastMode::Promiscuous,
            }),
        };
        match self.event(Event::VfRequest { vf, generation, request }).0 {
            Answer::Reply(PfReply::Granted(Grant::Xcast(mode))) => GuestReply::Reception(match mode {
                XcastMode::None => Reception::Unicast,
                XcastMode::Multi => Reception::Multicast,
                XcastMode::AllMulti => Reception::AllMulticast,
                XcastMode::Promiscuous => Reception::Promiscuous,
            }),
            Answer::Reply(PfReply::Granted(_)) => GuestReply::Granted,
            _ => GuestReply::Refused,
        }
    }

    /// Lets the adapter handle an event, records it, and publishes the forwarding state if it changed. That happens
    /// under the lock, so that snapshots are published in their order.
    fn event(&self, event: Event) -> (Answer, Vec<Action>) {
        let mut inner = self.lock();
        let (record, mut actions) = trace::record(&mut inner.adapter, event);
        if let Some(file) = &mut inner.trace {
            let written = writeln!(file, "{}", record.to_line()).and_then(|()| file.flush());
            if let Err(error) = written {
                tracing::error!(%error, "the OID trace ends here: it cannot be written");
                inner.trace = None;
            }
        }
        if actions.contains(&Action::PublishForwarding) {
            self.publish(&inner.adapter);
            actions.retain(|action| *action != Action::PublishForwarding);
        }
        (record.answer, actions)
    }

    fn publish(&self, adapter: &Adapter) {
        if let (Some(worker), Some(forwarding)) = (&*self.publisher.load(), adapter.forwarding()) {
            worker.publish(forwarding);
        }
    }
}
