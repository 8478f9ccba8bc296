//! NetVSP: what is behind the synthetic adapters of VMs. The thread that serves their vhost-user sockets.
//!
//! | file | concern |
//! |---|---|
//! | `event_loop` | what the thread waits for, and whom it serves next |
//! | `station` | one adapter: its socket, and the front ends at it |
//! | `front_end` | one front end: what it says about memory and rings |
//! | `calls` | how its interrupts leave softiov |
//!
//! A VMM waits for the answer to most of its messages, so this thread never blocks but on its epoll, and handles a
//! bounded number of messages of one front end before it looks at the next.

mod calls;
mod event_loop;
mod front_end;
mod station;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use api::types::SyntheticDeviceView;
use dataplane::PortCounters;
use ethernet::MacAddr;

use self::event_loop::EventLoop;
use super::signal::Alarm;
use super::vf::Surroundings;
use virt_stack::desired::VhostUser;

/// All that is needed to make a synthetic adapter, now and after a rebuild.
#[derive(Clone, Debug)]
pub(crate) struct SyntheticSpec {
    /// Number of its NIC on the extensible switch.
    pub(crate) nic: u32,
    /// `VM/ADAPTER`, for people.
    pub(crate) name: String,
    pub(crate) mac: MacAddr,
    /// Largest payload of a frame that the guest may be told to send, in bytes.
    pub(crate) mtu: Option<u16>,
    pub(crate) queue_pairs: u16,
    pub(crate) role: VhostUser,
    pub(crate) path: PathBuf,
    pub(crate) counters: Arc<PortCounters>,
}

impl SyntheticSpec {
    /// Prefix of the adapter's names in the fd store.
    fn store_prefix(&self) -> String {
        format!("net/{}/", self.nic)
    }
}

/// Where the outcome of an order goes.
type Reply<T> = Sender<Result<T, NetVspError>>;

/// What the thread is asked to do.
#[derive(Debug)]
enum Order {
    /// Serve one more adapter.
    Add(Box<SyntheticSpec>, Reply<()>),
    /// Serve an adapter no longer: its front ends are closed.
    Remove(u32, Reply<()>),
    /// Describe the adapters, by the numbers of their NICs.
    Inspect(Sender<BTreeMap<u32, SyntheticDeviceView>>),
    /// End; with `leave`, everything stays in the fd store for a successor.
    Stop { leave: bool },
}

/// Why adapters cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetVspError {
    #[error(transparent)]
    Bind(#[from] sys::BindError),
    #[error("NetVSP has no thread or file descriptor left")]
    Os(#[from] io::Error),
    #[error("the NetVSP thread has ended")]
    Gone,
}

/// The running thread.
#[derive(Debug)]
pub(crate) struct NetVsp {
    orders: Sender<Order>,
    alarm: Alarm,
    thread: Option<JoinHandle<()>>,
}

impl NetVsp {
    /// Starts to serve `adapters`. What an earlier NetVSP left of them in the fd store is taken over.
    pub(crate) fn start(around: Surroundings, adapters: &[SyntheticSpec]) -> Result<Self, NetVspError> {
        let (orders, inbox) = channel();
        let around = Surroundings { alarm: Alarm::new()?, ..around };
        let alarm = around.alarm.clone();
        around.outside.tell(alarm.clone());
        let mut serving = EventLoop::new(around, inbox)?;
        for adapter in adapters {
            if let Err(error) = serving.add(adapter) {
                // What was taken over goes back for the next attempt.
                serving.leave();
                return Err(error);
            }
        }
        let thread = std::thread::Builder::new().name("netvsp".into()).spawn(move || serving.run())?;
        Ok(Self { orders, alarm, thread: Some(thread) })
    }

    /// Serves one more adapter.
    pub(crate) fn add(&self, spec: SyntheticSpec) -> Result<(), NetVspError> {
        let (reply, answer) = channel();
        self.order(Order::Add(Box::new(spec), reply))?;
        answer.recv().map_err(|_| NetVspError::Gone)?
    }

    /// Closes the front ends of the adapter whose NIC has the number `nic`, and its socket.
    pub(crate) fn remove(&self, nic: u32) -> Result<(), NetVspError> {
        let (reply, answer) = channel();
        self.order(Order::Remove(nic, reply))?;
        answer.recv().map_err(|_| NetVspError::Gone)?
    }

    fn order(&self, order: Order) -> Result<(), NetVspError> {
        self.orders.send(order).map_err(|_| NetVspError::Gone)?;
        self.alarm.ring();
        Ok(())
    }

    /// The adapters as they stand, by the numbers of their NICs.
    pub(crate) fn inspect(&self) -> Result<BTreeMap<u32, SyntheticDeviceView>, NetVspError> {
        let (reply, answer) = channel();
        self.order(Order::Inspect(reply))?;
        answer.recv().map_err(|_| NetVspError::Gone)
    }

    /// Ends the thread. Its adapters and their front ends wait in the fd store for the next one.
    pub(crate) fn leave(mut self) {
        self.stop(true);
    }

    fn stop(&mut self, leave: bool) {
        // A thread that has ended needs no telling.
        let _ = self.order(Order::Stop { leave });
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for NetVsp {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.stop(false);
        }
    }
}
