//! Opening an uplink.

use std::sync::Arc;

use port::Port;

use crate::bundle::Bundle;
use crate::config::{Backend, Config, NewTap};
use crate::error::OpenError;
use crate::link::{LinkCell, LinkState, LinkWatcher};
use crate::losses::{KernelLosses, LossCounters, Losses, QueueLosses};
use crate::netlink::{Interface, Netlink};
use crate::none::Unplugged;
use crate::tap::TapQueue;
use crate::wake::Wake;
use crate::{packet, tap, xdp};

/// Longest name of a netdev in bytes (`IFNAMSIZ` with its final zero).
const NAME_MAX: usize = 15;

/// An uplink that is open. Dropping its ports closes it: what was made for it (a tap netdev, an XDP program on a netdev)
/// is gone with the last of them.
pub struct Uplink {
    /// Its ports, one per worker.
    pub ports: Vec<UplinkPort>,
    /// Changes of its netdev; [`Backend::None`] has none.
    pub watcher: Option<LinkWatcher>,
    /// Frames that it lost without telling by way of the port.
    pub losses: Losses,
}

/// The part of an uplink that one worker serves.
pub struct UplinkPort {
    /// For the worker.
    pub port: Box<dyn Port>,
    /// Wakes the worker when frames arrive.
    pub wake: Wake,
}

impl std::fmt::Debug for Uplink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uplink")
            .field("ports", &self.ports)
            .field("watcher", &self.watcher)
            .field("losses", &self.losses)
            .finish()
    }
}

impl std::fmt::Debug for UplinkPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UplinkPort").field("wake", &self.wake).finish_non_exhaustive()
    }
}

/// Opens an uplink in the network namespace of this thread.
///
/// # Errors
/// What the kernel or the configuration does not allow; nothing is left behind then.
pub fn open(config: &Config) -> Result<Uplink, OpenError> {
    let (queues, ports) = (config.queues.get(), config.ports.get());
    if ports > queues {
        return Err(OpenError::TooFewQueues { ports, queues });
    }
    let wakes = (0..ports).map(|_| Wake::new()).collect::<Result<Vec<_>, _>>();
    let wakes = wakes.map_err(|error| OpenError::refused("make", "an epoll instance", error))?;
    // Queues are dealt to the ports in turn.
    let queue_wakes: Vec<_> = wakes.iter().cycle().take(queues).cloned().collect();
    match &config.backend {
        Backend::None => {
            let bare = |wake| UplinkPort { port: Box::new(Unplugged), wake };
            Ok(Uplink {
                ports: wakes.into_iter().map(bare).collect(),
                watcher: None,
                losses: Losses::default(),
            })
        }
        Backend::Tap { name, new } => open_tap(name, new.as_ref(), &queue_wakes, wakes),
        Backend::Packet { name } => {
            let Netdev { interface, watcher, state, cell } = Netdev::find(name)?;
            let opened = packet::open(&interface, &state, &cell, &queue_wakes)?;
            let losses = opened.iter().map(|(queue, counters)| {
                let kernel = KernelLosses::Packet(Arc::downgrade(queue.socket()));
                QueueLosses::new(Arc::clone(counters), kernel)
            });
            let losses = Losses(losses.collect());
            let queues = opened.into_iter().map(|(queue, _)| queue).collect();
            Ok(Uplink { ports: deal(queues, wakes), watcher: Some(watcher), losses })
        }
        Backend::Xdp { name, mode } => {
            let Netdev { interface, watcher, state, cell } = Netdev::find(name)?;
            let queues = xdp::open(&interface, &state, &cell, *mode, &queue_wakes)?;
            let losses = queues.iter().map(|queue| {
                let kernel = KernelLosses::Xdp(Arc::downgrade(queue.socket()));
                QueueLosses::new(Arc::new(LossCounters::default()), kernel)
            });
            let losses = Losses(losses.collect());
            Ok(Uplink { ports: deal(queues, wakes), watcher: Some(watcher), losses })
        }
    }
}

fn open_tap(
    name: &str,
    new: Option<&NewTap>,
    queue_wakes: &[Wake],
    wakes: Vec<Wake>,
) -> Result<Uplink, OpenError> {
    check_name(name)?;
    let mut netlink = netlink()?;
    if new.is_none() {
        // The kernel would make it.
        look_up(&mut netlink, name)?;
    }
    let descriptors = tap::attach(name, new.is_some(), queue_wakes.len())?;
    let interface = look_up(&mut netlink, name)?;
    if let Some(wanted) = new {
        tap::set_up(&mut netlink, &interface, wanted)?;
    }
    let Netdev { watcher, cell, .. } = Netdev::watch(netlink, interface)?;
    let queues = descriptors.into_iter().zip(queue_wakes).map(|(fd, wake)| {
        TapQueue::new(fd, Arc::clone(&cell), wake.clone())
            .map_err(|error| OpenError::refused("make a receive pool for", name, error))
    });
    let queues = queues.collect::<Result<Vec<_>, _>>()?;
    Ok(Uplink { ports: deal(queues, wakes), watcher: Some(watcher), losses: Losses::default() })
}

/// Queue number `n` goes to port number `n` modulo the number of ports.
fn deal<Q: Port + 'static>(queues: Vec<Q>, wakes: Vec<Wake>) -> Vec<UplinkPort> {
    let count = wakes.len();
    let mut hands: Vec<Vec<Q>> = wakes.iter().map(|_| Vec::new()).collect();
    for (index, queue) in queues.into_iter().enumerate() {
        hands[index % count].push(queue);
    }
    let ports = hands.into_iter().zip(wakes).filter_map(|(hand, wake)| {
        let mut hand = hand.into_iter();
        let bundle = Bundle::new(hand.next()?, hand.collect());
        Some(UplinkPort { port: Box::new(bundle), wake })
    });
    ports.collect()
}

/// A netdev that is watched.
struct Netdev {
    interface: Interface,
    watcher: LinkWatcher,
    state: LinkState,
    cell: Arc<LinkCell>,
}

impl Netdev {
    fn find(name: &str) -> Result<Self, OpenError> {
        check_name(name)?;
        let mut netlink = netlink()?;
        let interface = look_up(&mut netlink, name)?;
        Self::watch(netlink, interface)
    }

    fn watch(netlink: Netlink, interface: Interface) -> Result<Self, OpenError> {
        let (watcher, state) = LinkWatcher::new(netlink, interface.index)
            .map_err(|error| OpenError::refused("watch", &interface.name, error))?;
        let cell = watcher.cell();
        Ok(Self { interface, watcher, state, cell })
    }
}

fn netlink() -> Result<Netlink, OpenError> {
    Netlink::open().map_err(|error| OpenError::refused("open", "a netlink socket", error))
}

fn look_up(netlink: &mut Netlink, name: &str) -> Result<Interface, OpenError> {
    netlink.by_name(name).map_err(|error| match error.raw_os_error() {
        Some(libc::ENODEV) => OpenError::NoSuchNetdev { name: name.to_owned() },
        _ => OpenError::refused("describe", name, error),
    })
}

/// What the kernel's `dev_valid_name` says, and no pattern of which it would make a name.
fn check_name(name: &str) -> Result<(), OpenError> {
    let length = (1..=NAME_MAX).contains(&name.len());
    let bytes = name.bytes().all(|byte| byte.is_ascii_graphic() && !b"/:%".contains(&byte));
    if length && bytes && name != "." && name != ".." {
        Ok(())
    } else {
        Err(OpenError::BadName { name: name.to_owned() })
    }
}
