//! The adapter that both the control API and the guests' mailboxes reach.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use dataplane::Handle;
use miniport::pf::{Grant, PfReply, PfRequest, XcastMode};
use miniport::trace::{self, Answer, Event, Record};
use miniport::{Action, Adapter, ClientId, NdisStatus, OidRequest, OidResponse, Payload, Refusal, Request};
use nic_switch::VfId;
use port::{GuestReply, GuestRequest, Reception};
use vswitch::VfPath;

use super::pace::Pace;
use super::switchboard::Switchboard;

/// The virtualization stack, as a client of the adapter.
pub(crate) const STACK: ClientId = ClientId(1);
/// Whoever asks through the control API.
pub(crate) const OPERATOR: ClientId = ClientId(2);

/// A trace grows to this many bytes: guests can make it grow, and the disk is not theirs to fill.
const TRACE_BYTES: usize = 256 << 20;
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
    /// Guests have changed the forwarding state since it was published.
    unpublished: AtomicBool,
    /// RSS key for VFs that have none of their own: random, so that nobody can aim flows at one queue.
    rss_key: [u8; RSS_KEY],
}

#[derive(Debug)]
struct Inner {
    adapter: Adapter,
    trace: Option<Trace>,
    pace: Pace,
}

/// A trace that is being written.
#[derive(Debug)]
struct Trace {
    file: BufWriter<File>,
    /// Bytes that it may still grow by.
    room: usize,
}

impl AdapterService {
    pub(crate) fn new(adapter: Adapter, rss_key: [u8; RSS_KEY]) -> Self {
        let inner = Inner { adapter, trace: None, pace: Pace::default() };
        Self {
            inner: Mutex::new(inner),
            publisher: ArcSwapOption::empty(),
            unpublished: AtomicBool::new(false),
            rss_key,
        }
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
        let mut inner = self.lock();
        self.publisher.store(worker.map(Arc::new));
        self.publish(&mut inner);
    }

    /// Records requests and answers from now on into a file, or no longer.
    pub(crate) fn set_trace(&self, file: Option<File>) {
        self.lock().trace = file.map(|file| Trace { file: BufWriter::new(file), room: TRACE_BYTES });
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

    /// Has a request in any form answered. When this returns no frame is decided by the forwarding state of before.
    pub(crate) fn raw_request(&self, client: ClientId, request: Request) -> (OidResponse, Vec<Action>) {
        let mut inner = self.lock();
        let (answer, mut actions) = inner.handle(Event::Request { client, request });
        self.settle(&mut inner, &actions);
        let mut response = match answer {
            Answer::Response(response) => response,
            other => unreachable!("a request is answered by a response, not {other:?}"),
        };
        // The worker has let go of a queue that is freed, and holds no frame of it: so nobody has to wait.
        let stopped = actions.iter().find_map(|action| match action {
            Action::StopQueue { queue, generation } => Some((*queue, *generation)),
            _ => None,
        });
        if let Some((queue, generation)) = stopped {
            self.quiesce();
            for event in
                [Event::QueueDmaStopped { queue, generation }, Event::QueueReturned { queue, generation }]
            {
                let further = inner.handle(event).1;
                self.settle(&mut inner, &further);
                actions.extend(further);
            }
        }
        for action in &actions {
            if let Action::CompleteFreeQueue { status, .. } = action {
                response.status = *status;
            }
        }
        (response, actions)
    }

    /// Has a request of the stack answered; if it succeeds, the path of a NIC on the extensible switch changes in the same
    /// instant: in between, a broadcast would reach its guest twice or never.
    pub(crate) fn request_with_path(
        &self,
        request: OidRequest,
        switchboard: &Switchboard,
        path: (u32, VfPath),
    ) -> Result<(Payload, Vec<Action>), OidError> {
        let (oid, kind) = request.oid();
        let name = format!("{kind:?} {oid:?}");
        let mut inner = self.lock();
        let (answer, actions) = inner.handle(Event::Request { client: STACK, request: request.into() });
        let Answer::Response(response) = answer else {
            unreachable!("a request is answered by a response, not {answer:?}");
        };
        if response.status != NdisStatus::Success {
            return Err(OidError { request: name, status: response.status, refusal: response.refusal });
        }
        let set = switchboard.set_vf_with(path, |switches| {
            if let (Some(worker), Some(forwarding)) = (&*self.publisher.load(), inner.adapter.forwarding()) {
                worker.publish(forwarding, switches);
                self.unpublished.store(false, Ordering::Relaxed);
            }
        });
        if let Err(error) = set {
            tracing::error!(%error, "the path of a NIC cannot be set");
        }
        self.quiesce();
        Ok((response.payload, actions))
    }

    /// Gives the worker the forwarding state if it changed, and waits until the old one is out of use.
    fn settle(&self, inner: &mut Inner, actions: &[Action]) {
        if actions.contains(&Action::PublishForwarding) {
            self.publish(inner);
            self.quiesce();
        }
    }

    fn quiesce(&self) {
        if let Some(worker) = &*self.publisher.load() {
            worker.quiesce();
        }
    }

    /// The link of the physical port went up or down.
    pub(crate) fn set_link(&self, up: bool) -> Vec<Action> {
        self.lock().handle(Event::Link { up }).1
    }

    /// Answers what a guest asks through its mailbox. Runs on the bus thread: everything that such a request changes
    /// is forwarding state. It is in force when this returns, or, if guests change it very often, a little later.
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
        let mut inner = self.lock();
        let (answer, actions) = inner.handle(Event::VfRequest { vf, generation, request });
        if actions.contains(&Action::PublishForwarding) {
            if inner.pace.wait(Instant::now()).is_zero() {
                self.publish(&mut inner);
            } else {
                self.unpublished.store(true, Ordering::Relaxed);
            }
        }
        match answer {
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

    /// Publishes what guests have changed, unless that would be too often: then it says how long it has to wait. The
    /// bus thread comes by in each of its rounds.
    pub(crate) fn publish_changes(&self) -> Option<Duration> {
        if !self.unpublished.load(Ordering::Relaxed) {
            return None;
        }
        let mut inner = self.lock();
        let wait = inner.pace.wait(Instant::now());
        if wait.is_zero() {
            self.publish(&mut inner);
            return None;
        }
        Some(wait)
    }

    /// Gives the worker the forwarding state as it is. Under the lock, so that snapshots are published in their order.
    fn publish(&self, inner: &mut Inner) {
        let began = Instant::now();
        if let (Some(worker), Some(forwarding)) = (&*self.publisher.load(), inner.adapter.forwarding()) {
            worker.publish_nic_switch(forwarding);
        }
        self.unpublished.store(false, Ordering::Relaxed);
        inner.pace.spent(began, Instant::now());
    }
}

impl Inner {
    /// Lets the adapter handle an event, and records it.
    fn handle(&mut self, event: Event) -> (Answer, Vec<Action>) {
        let (record, actions) = trace::record(&mut self.adapter, event);
        if let Some(trace) = &mut self.trace
            && let Err(error) = trace.write(&record)
        {
            tracing::error!(%error, "the OID trace ends here");
            self.trace = None;
        }
        (record.answer, actions)
    }
}

impl Trace {
    /// Writes a record, so that it is in the file whatever happens to this process.
    fn write(&mut self, record: &Record) -> io::Result<()> {
        let line = record.to_line();
        self.room = self.room.checked_sub(line.len() + 1).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("it has reached its bound of {TRACE_BYTES} bytes"),
            )
        })?;
        writeln!(self.file, "{line}")?;
        self.file.flush()
    }
}
