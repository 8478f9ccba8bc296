//! Tap netdevs made and opened.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use libc::c_ulong;
use rustix::fs::{Mode, OFlags};

use crate::config::NewTap;
use crate::error::OpenError;
use crate::netlink::{Interface, Netlink};
use crate::syscall::{tun_attach, tun_set_offload};

const TUN: &str = "/dev/net/tun";
const FLAGS: i32 = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;

/// What the kernel may leave to us: checksums, TCP segmentation (also of packets that carry ECN marks) ...
const OFFLOADS: c_ulong =
    (libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN) as c_ulong;
/// ... and that of UDP, since Linux 6.2.
const UDP_OFFLOADS: c_ulong = (libc::TUN_F_USO4 | libc::TUN_F_USO6) as c_ulong;

/// Opens `queues` queues of the tap netdev `name`, which is made if `new` says so, and which must be there already
/// otherwise. One that was made here is gone when the last queue is closed.
pub(crate) fn attach(name: &str, new: bool, queues: usize) -> Result<Vec<OwnedFd>, OpenError> {
    let several = if queues > 1 { libc::IFF_MULTI_QUEUE } else { 0 };
    (0..queues)
        .map(|queue| {
            let exclusive = if new && queue == 0 { libc::IFF_TUN_EXCL } else { 0 };
            attach_queue(name, FLAGS | several | exclusive, new)
        })
        .collect()
}

fn attach_queue(name: &str, flags: i32, new: bool) -> Result<OwnedFd, OpenError> {
    let access = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = rustix::fs::open(TUN, access, Mode::empty()).map_err(|error| match error {
        rustix::io::Errno::NOENT | rustix::io::Errno::NODEV => OpenError::NoTun,
        rustix::io::Errno::ACCESS | rustix::io::Errno::PERM => {
            OpenError::Permission { what: "open /dev/net/tun" }
        }
        error => OpenError::refused("open", TUN, error.into()),
    })?;
    tun_attach(fd.as_fd(), name, flags).map_err(|error| attach_error(name, new, error))?;
    match tun_set_offload(fd.as_fd(), OFFLOADS | UDP_OFFLOADS) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => tun_set_offload(fd.as_fd(), OFFLOADS),
        result => result,
    }
    .map_err(|error| OpenError::refused("set the offloads of", name, error))?;
    Ok(fd)
}

fn attach_error(name: &str, new: bool, error: io::Error) -> OpenError {
    let name_owned = || name.to_owned();
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => OpenError::Permission { what: "make or open a tap netdev" },
        Some(libc::EBUSY) if new => OpenError::Exists { name: name_owned() },
        Some(libc::EBUSY) => OpenError::Busy { name: name_owned() },
        Some(libc::EINVAL) if !new => OpenError::NotThisTap { name: name_owned() },
        Some(libc::EINVAL) => OpenError::Exists { name: name_owned() },
        Some(libc::E2BIG) => OpenError::TooManyQueues { name: name_owned() },
        _ => OpenError::refused("open the tap netdev", name, error),
    }
}

/// Sets a new tap up as `wanted`, and switches it on.
pub(crate) fn set_up(netlink: &mut Netlink, tap: &Interface, wanted: &NewTap) -> Result<(), OpenError> {
    let name = &tap.name;
    if let Some(address) = wanted.address {
        if address.is_multicast() || address == ethernet::MacAddr::default() {
            return Err(OpenError::BadAddress { address });
        }
        netlink
            .set_address(tap.index, address)
            .map_err(|error| OpenError::refused("set the hardware address of", name, error))?;
    }
    if let Some(mtu) = wanted.mtu {
        netlink.set_mtu(tap.index, mtu).map_err(|error| match error.raw_os_error() {
            Some(libc::EINVAL) => OpenError::BadMtu { mtu, least: 68, most: 65_521 },
            _ => OpenError::refused("set the MTU of", name, error),
        })?;
    }
    netlink.set_up(tap.index).map_err(|error| OpenError::refused("switch on", name, error))
}
