//! State of the netdev behind a port.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use ethernet::MacAddr;

use crate::netlink::{Change, Heard, Interface, Monitor, Netlink};

/// Largest payload of a frame, of the netdev's own address, and whether frames can pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// Hardware address of the netdev.
    pub address: MacAddr,
    /// Longest payload of a frame in bytes: its length without Ethernet header and VLAN tags.
    pub mtu: u32,
    /// Switched on (`ip link set NAME up`).
    pub up: bool,
    /// Has carrier: the other end is there.
    pub carrier: bool,
}

impl LinkState {
    pub(crate) fn of(interface: &Interface) -> Self {
        let Interface { address, mtu, up, carrier, .. } = *interface;
        Self { address, mtu, up, carrier }
    }

    /// True if frames can pass.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.up && self.carrier
    }
}

/// What happened to a netdev.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// It is like this now.
    Changed(LinkState),
    /// It is gone, and does not come back: one of the same name is another one.
    Removed,
}

/// What the ports of a netdev know of it; the watcher tells them.
#[derive(Debug)]
pub(crate) struct LinkCell {
    mtu: AtomicU32,
    running: AtomicBool,
    changes: AtomicU32,
}

impl LinkCell {
    pub(crate) fn new(state: &LinkState) -> Arc<Self> {
        Arc::new(Self {
            mtu: AtomicU32::new(state.mtu),
            running: AtomicBool::new(state.is_running()),
            changes: AtomicU32::new(0),
        })
    }

    /// The MTU in bytes.
    #[inline]
    pub(crate) fn mtu(&self) -> usize {
        self.mtu.load(Ordering::Relaxed) as usize
    }

    /// True if frames can pass.
    #[inline]
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// Number of changes so far.
    #[inline]
    pub(crate) fn changes(&self) -> u32 {
        self.changes.load(Ordering::Relaxed)
    }

    fn set(&self, mtu: u32, running: bool) {
        self.mtu.store(mtu, Ordering::Relaxed);
        self.running.store(running, Ordering::Relaxed);
        self.changes.fetch_add(1, Ordering::Relaxed);
    }
}

/// Hears of changes to a netdev, for its owner and for the ports: those go by what it heard last, so it must be asked
/// whenever its descriptor is readable.
#[derive(Debug)]
pub struct LinkWatcher {
    monitor: Monitor,
    netlink: Netlink,
    index: u32,
    /// `None` once it is gone.
    state: Option<LinkState>,
    cell: Arc<LinkCell>,
}

impl LinkWatcher {
    /// Watches the interface `index`, which is in the state that is returned with it.
    pub(crate) fn new(mut netlink: Netlink, index: u32) -> io::Result<(Self, LinkState)> {
        // The ear first, then the eye: so nothing is missed in between.
        let monitor = Monitor::open()?;
        let state = LinkState::of(&netlink.by_index(index)?);
        let cell = LinkCell::new(&state);
        Ok((Self { monitor, netlink, index, state: Some(state), cell }, state))
    }

    pub(crate) fn cell(&self) -> Arc<LinkCell> {
        Arc::clone(&self.cell)
    }

    /// Interface index of the netdev.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The state that was heard of last; `None` once the netdev is gone.
    #[must_use]
    pub fn state(&self) -> Option<LinkState> {
        self.state
    }

    /// The next change, or `None` if there is none for now. Does not block.
    pub fn next_event(&mut self) -> Option<LinkEvent> {
        loop {
            let event = match self.monitor.hear(self.index) {
                Heard::Nothing => return None,
                Heard::Change(change) => self.apply(&change),
                Heard::Lost => return self.look(),
            };
            if event.is_some() {
                return event;
            }
        }
    }

    /// Asks the kernel, since a change was missed.
    fn look(&mut self) -> Option<LinkEvent> {
        let change = match self.netlink.by_index(self.index) {
            Ok(interface) => Change::Now(interface),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Change::Removed,
            // Nothing was learned; the next change tells.
            Err(_) => return None,
        };
        self.apply(&change)
    }

    fn apply(&mut self, change: &Change) -> Option<LinkEvent> {
        let before = self.state?;
        match change {
            Change::Now(interface) => {
                let now = LinkState::of(interface);
                if now == before {
                    return None;
                }
                self.state = Some(now);
                self.cell.set(now.mtu, now.is_running());
                Some(LinkEvent::Changed(now))
            }
            Change::Removed => {
                self.state = None;
                self.cell.set(before.mtu, false);
                Some(LinkEvent::Removed)
            }
        }
    }
}

impl AsFd for LinkWatcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.monitor.as_fd()
    }
}
