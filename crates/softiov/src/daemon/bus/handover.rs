//! Leaving the VFs to another bus, and taking them over: `softiov datapath rebuild`.
//!
//! Why nothing is lost on the way, step by step:
//!
//! 1. *The old bus ends between two turns.* No message is half handled. What it has read of one that is not complete,
//!    its descriptors, and what waits to be sent, are in the session's state, which goes into the store with the
//!    socket. What it has not read is in the socket, which stays open because the store has it. That is all doorbells
//!    and requests from now on.
//! 2. *The old worker ends between two rounds.* Until then it goes on forwarding and raising interrupts. No frame is
//!    half copied: how much of a frame that waits for room was delivered is in the VF's pages, as are ring positions,
//!    causes, masks, and the interrupts that moderation holds.
//! 3. *Devices are made from the pages.* Doorbells are tail registers; the worker looks at each port that it gets, so
//!    that one that nobody saw is seen now. Vectors that the old worker raised and nobody relayed are in no page, and a
//!    guest may have masked them until it sees them: so each vector of each VF is signalled once more
//!    (`vf82599::Control::attach`). A message too many does no harm.
//! 4. *Guests send only when all VFs are there* ([`Handle::start_fetching`](dataplane::Handle::start_fetching)): a
//!    receiver that is not there yet would cost the frame.
//! 5. *The forwarding state* is the adapter's, which does not end. What guests ask in between waits in their sockets.

use std::path::PathBuf;

use sys::Listener;
use vf82599::VfState;
use vfio_user::{Connection, SessionState};

use super::BusError;
use super::event_loop::EventLoop;
use super::station::Station;
use crate::daemon::fd_store::Entry;
use crate::daemon::vf::{Vf, VfError, VfSpec};

impl EventLoop {
    /// Ends, leaving sockets and sessions to a successor.
    pub(super) fn leave(self) {
        let store = &self.around.store;
        for station in self.stations.into_values() {
            let Station { vf, listener, connection, .. } = station;
            if let Some(connection) = connection {
                let (stream, state, fds) = connection.into_parts();
                // The state is plain data: it always has a JSON form.
                vf.keep_client(stream.into(), &serde_json::to_string(&state).unwrap_or_default());
                let pending = pending_name(&vf.spec);
                for (number, fd) in fds.into_iter().enumerate() {
                    store.put(&format!("{pending}{number:04}"), fd, "");
                }
            }
            // The path stays; the socket is in the store.
            let _ = listener.into_parts();
        }
    }

    /// Makes VFs from what an earlier bus left.
    pub(super) fn take_over(&mut self, specs: &[VfSpec]) -> Result<(), BusError> {
        for spec in specs {
            self.take_over_one(spec)?;
        }
        Ok(())
    }

    fn take_over_one(&mut self, spec: &VfSpec) -> Result<(), BusError> {
        let id = spec.vf.0;
        let prefix = VfSpec::store_prefix(spec.vf);
        let one = |name: &str| self.around.store.entries(&format!("{prefix}{name}")).into_iter().next();
        // Without these the VF was withdrawn.
        let (Some(state), Some(rings), Some(socket)) = (one("state"), one("rings"), one("listener")) else {
            return Ok(());
        };
        let client = one("client");
        let state = VfState::open(state.fd.try_clone()?, rings.fd.try_clone()?)
            .map_err(|error| VfError::State(spec.vf, error))?;
        let (vf, memory) = Vf::attach(spec.clone(), state, &self.around)?;
        let listener = Listener::from_parts(socket.fd.try_clone()?, PathBuf::from(socket.note));
        // Before anything else can fail: what is in a station is left again, and its path not removed.
        self.stations.insert(id, Station::new(vf, listener));
        match (client, memory) {
            (None, _) => {}
            (Some(_), Err(lost)) => self.close(id, lost),
            (Some(client), Ok(())) => self.take_over_client(id, &client)?,
        }
        self.watch_listener(id, &self.stations[&id].listener)
    }

    fn take_over_client(&mut self, id: u16, client: &Entry) -> Result<(), BusError> {
        let Some(station) = self.stations.get_mut(&id) else { return Ok(()) };
        let pending = pending_name(&station.vf.spec);
        let entries = self.around.store.entries(&pending);
        let fds = entries.iter().map(|entry| entry.fd.try_clone()).collect::<Result<_, _>>()?;
        let state = match serde_json::from_str::<SessionState>(&client.note) {
            Ok(state) => state,
            Err(error) => {
                self.close(id, format_args!("the last data path has not left its session: {error}"));
                return Ok(());
            }
        };
        match Connection::from_parts(client.fd.try_clone()?.into(), state, fds) {
            Ok(connection) => station.connection = Some(connection),
            Err(error) => {
                self.close(id, error);
                return Ok(());
            }
        }
        self.around.store.remove(&pending);
        self.busy.push(id);
        match &self.stations[&id].connection {
            Some(connection) => self.watch_client(id, connection),
            None => Ok(()),
        }
    }
}

/// Where the descriptors of messages are that are under way.
fn pending_name(spec: &VfSpec) -> String {
    format!("{}pending/", VfSpec::store_prefix(spec.vf))
}
