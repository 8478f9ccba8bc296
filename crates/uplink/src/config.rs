//! What an uplink is to be.

use std::num::NonZeroUsize;

use ethernet::MacAddr;

/// An uplink to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What is behind it.
    pub backend: Backend,
    /// Queues to be opened. The kernel spreads the frames that it receives over them by flow.
    pub queues: NonZeroUsize,
    /// Ports to be made of the queues, one per worker; at most as many as there are queues. Each serves the same number
    /// of them, or one more.
    pub ports: NonZeroUsize,
}

/// What an uplink leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Nowhere: no frame comes, none is taken.
    None,
    /// The host's own network stack, by a tap netdev.
    Tap {
        /// Name of the netdev: 1 to 15 bytes.
        name: String,
        /// How it is set up. `None`: it is there already, set up by someone else.
        new: Option<NewTap>,
    },
    /// A netdev, by packet sockets: any kind of it, with its offloads.
    Packet {
        /// Name of the netdev.
        name: String,
    },
    /// A netdev, by AF_XDP sockets on its receive queues from number 0 on. As many queues as the netdev has
    /// (`ethtool -l NAME`) should be opened: the host's stack keeps the frames of the others.
    Xdp {
        /// Name of the netdev.
        name: String,
        /// How frames get from and to it.
        mode: XdpMode,
    },
}

/// A tap netdev to be made: the host's virtual adapter on the switch. It is switched on, and gone when the last port of
/// its uplink is dropped, or with the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewTap {
    /// Its hardware address; `None` leaves it to the kernel.
    pub address: Option<MacAddr>,
    /// Its MTU in bytes; `None` leaves it to the kernel: 1500.
    pub mtu: Option<u32>,
}

/// How frames get from a netdev to an AF_XDP socket and back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XdpMode {
    /// The first of the others that the netdev's driver can.
    #[default]
    Best,
    /// The netdev reads and writes the socket's buffers itself.
    ZeroCopy,
    /// The driver runs the program, and the kernel copies.
    Copy,
    /// The network stack runs the program, and the kernel copies: for any driver.
    Generic,
}
