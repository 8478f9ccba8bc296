//! The bus: the thread that serves the sockets of all VFs.
//!
//! A VMM waits for the answer to each of its messages, and a QEMU that waited for 5 seconds gives the device up. So
//! this thread does nothing else, never blocks but on its epoll, and handles a bounded number of messages of one VMM
//! before it looks at the next.
//!
//! | file | concern |
//! |---|---|
//! | `event_loop` | what the thread waits for, and whom it serves next |
//! | `station` | one VF: its device, its listener, its client |
//! | `handover` | leaving all of it to another bus, and taking it over |

mod event_loop;
mod handover;
mod station;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use api::types::VfDeviceView;
use nic_switch::VfId;
use vf82599::VfState;

use self::event_loop::EventLoop;
use super::signal::Alarm;
use super::vf::{Surroundings, VfError, VfSpec};

/// What the bus is asked to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// Offer a VF at a socket.
    Offer { spec: Box<VfSpec>, state: VfState, path: PathBuf },
    /// Take a VF away.
    Withdraw(VfId),
    /// Function level reset by the PF.
    Reset(VfId),
    /// The PF changed config space.
    ConfigChanged(VfId, Vec<pcie::ConfigEffect>),
    /// Link up or down.
    SetLink(VfId, bool),
    /// Describe the devices.
    Inspect(Sender<BTreeMap<u16, VfDeviceView>>),
    /// End; with `leave`, everything stays in the fd store for a successor.
    Stop { leave: bool },
}

/// An order, and where its outcome goes.
type Mail = (Order, Sender<Result<(), BusError>>);

/// A running bus.
#[derive(Debug)]
pub(crate) struct Bus {
    orders: Sender<Mail>,
    alarm: Alarm,
    thread: Option<JoinHandle<()>>,
}

/// Why an order could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BusError {
    #[error(transparent)]
    Bind(#[from] sys::BindError),
    #[error(transparent)]
    Vf(#[from] VfError),
    #[error("the bus has no thread or file descriptor left")]
    Os(#[from] io::Error),
    #[error("the bus thread has ended")]
    Gone,
}

impl Bus {
    /// Starts the thread. With `rebuild` it takes over the VFs that an earlier bus left in the fd store; if that
    /// fails, they are all in the store as before.
    pub(crate) fn start(around: Surroundings, rebuild: &[VfSpec]) -> Result<Self, BusError> {
        let (orders, inbox) = channel();
        let alarm = around.alarm.clone();
        let mut bus = EventLoop::new(around, inbox)?;
        if let Err(error) = bus.take_over(rebuild) {
            bus.leave();
            return Err(error);
        }
        let thread = std::thread::Builder::new().name("bus".into()).spawn(move || bus.run())?;
        Ok(Self { orders, alarm, thread: Some(thread) })
    }

    /// Has an order carried out.
    pub(crate) fn order(&self, order: Order) -> Result<(), BusError> {
        let (reply, answer) = channel();
        self.orders.send((order, reply)).map_err(|_| BusError::Gone)?;
        self.alarm.ring();
        answer.recv().map_err(|_| BusError::Gone)?
    }

    /// The devices as they stand.
    pub(crate) fn inspect(&self) -> Result<BTreeMap<u16, VfDeviceView>, BusError> {
        let (reply, answer) = channel();
        self.order(Order::Inspect(reply))?;
        answer.recv().map_err(|_| BusError::Gone)
    }

    /// Ends the bus. Its VFs and their VMMs wait in the fd store for the next one.
    pub(crate) fn leave(mut self) {
        self.stop(true);
    }

    fn stop(&mut self, leave: bool) {
        // A bus that has ended needs no telling.
        let _ = self.order(Order::Stop { leave });
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.stop(false);
        }
    }
}
