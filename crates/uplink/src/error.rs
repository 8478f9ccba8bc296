//! Why an uplink cannot be opened.

use std::io;

use ethernet::MacAddr;

/// Why an uplink cannot be opened: what was asked for, what the kernel said, what would be right.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No netdev can have that name.
    #[error(
        "{name:?} is no name of a netdev: it must have 1 to 15 bytes, without spaces, '/', ':' and '%', and not be \
         \".\" or \"..\""
    )]
    BadName {
        /// The name asked for.
        name: String,
    },
    /// More ports than queues.
    #[error("{ports} ports cannot share {queues} queues: open at least as many queues as ports")]
    TooFewQueues {
        /// Ports asked for.
        ports: usize,
        /// Queues asked for.
        queues: usize,
    },
    /// There is no such netdev.
    #[error("there is no netdev {name:?} in this network namespace; `ip link` lists those that there are")]
    NoSuchNetdev {
        /// Its name.
        name: String,
    },
    /// A netdev with the name of the tap to be made is there.
    #[error(
        "a netdev {name:?} is there already: choose another name, or remove it with `ip link delete {name}`"
    )]
    Exists {
        /// Its name.
        name: String,
    },
    /// The tap netdev is in use, or has as many queues as it was made for.
    #[error("the tap netdev {name:?} is used by another process, or was made for a single queue")]
    Busy {
        /// Its name.
        name: String,
    },
    /// The netdev is not the kind of tap that is needed.
    #[error(
        "the netdev {name:?} is no tap, or one with other flags: make it with \
         `ip tuntap add {name} mode tap vnet_hdr`, and `multi_queue` for several queues"
    )]
    NotThisTap {
        /// Its name.
        name: String,
    },
    /// A tap has no more queues.
    #[error("the tap netdev {name:?} takes no more queues: the kernel allows 256")]
    TooManyQueues {
        /// Its name.
        name: String,
    },
    /// The kernel has no taps.
    #[error("/dev/net/tun is not there: load the module with `modprobe tun`")]
    NoTun,
    /// No netdev can have this address.
    #[error("{address} cannot be the address of a netdev: it must be a unicast address other than zero")]
    BadAddress {
        /// The address asked for.
        address: MacAddr,
    },
    /// The kernel does not give a tap this MTU.
    #[error("the MTU {mtu} is not possible for a tap: it must be {least} to {most} bytes")]
    BadMtu {
        /// The MTU asked for in bytes.
        mtu: u32,
        /// Least that is possible.
        least: u32,
        /// Most that is possible.
        most: u32,
    },
    /// Frames of the netdev do not fit the buffers of AF_XDP.
    #[error(
        "the MTU of {name:?} is {mtu}, but AF_XDP takes at most {most} bytes: set it lower, or use a packet socket"
    )]
    MtuTooLarge {
        /// Name of the netdev.
        name: String,
        /// Its MTU in bytes.
        mtu: u32,
        /// Most that fits.
        most: usize,
    },
    /// AF_XDP needs a netdev that is switched on.
    #[error("the netdev {name:?} is switched off: switch it on with `ip link set {name} up`")]
    Down {
        /// Its name.
        name: String,
    },
    /// Another XDP program is attached.
    #[error("another XDP program is attached to {name:?}: detach it with `ip link set dev {name} xdp off`")]
    XdpBusy {
        /// Name of the netdev.
        name: String,
    },
    /// Another AF_XDP socket has the queue.
    #[error("queue {queue} of {name:?} belongs to another AF_XDP socket: end the program that holds it")]
    QueueBusy {
        /// Name of the netdev.
        name: String,
        /// Number of the queue.
        queue: u32,
    },
    /// The netdev has no such queue, or its driver cannot do what the mode asks for.
    #[error(
        "{name:?} has no queue {queue} that AF_XDP could have in this mode: `ethtool -l {name}` shows its queues"
    )]
    NoSuchQueue {
        /// Name of the netdev.
        name: String,
        /// Number of the queue.
        queue: u32,
    },
    /// The process may not lock the memory of the pool.
    #[error(
        "the kernel does not let this process lock {bytes} bytes for AF_XDP: raise RLIMIT_MEMLOCK or give it CAP_IPC_LOCK"
    )]
    MemoryLocked {
        /// Size of the pool in bytes.
        bytes: usize,
    },
    /// The process may not do that.
    #[error(
        "this process may not {what}: it needs CAP_NET_ADMIN and CAP_NET_RAW in its network namespace, and CAP_BPF \
         for AF_XDP"
    )]
    Permission {
        /// What it may not do.
        what: &'static str,
    },
    /// The kernel refused for a reason of its own.
    #[error("the kernel refused to {what} {name}")]
    Refused {
        /// What it refused to do.
        what: &'static str,
        /// The netdev or file that it was to be done to.
        name: String,
        /// What the kernel said.
        #[source]
        error: io::Error,
    },
}

impl OpenError {
    pub(crate) fn refused(what: &'static str, name: &str, error: io::Error) -> Self {
        Self::Refused { what, name: name.to_owned(), error }
    }

    /// True if the netdev's driver cannot do it, so that another way may do.
    pub(crate) fn is_unsupported(&self) -> bool {
        /// A code of the kernel's own that drivers let out.
        const ENOTSUPP: i32 = 524;
        match self {
            Self::Refused { error, .. } => {
                matches!(
                    error.raw_os_error(),
                    Some(libc::EOPNOTSUPP | libc::EINVAL | libc::ENOSYS | ENOTSUPP)
                )
            }
            Self::NoSuchQueue { .. } => true,
            _ => false,
        }
    }
}
