//! What the VMM of one VF may take of what the process has.
//!
//! Each DMA map costs a file descriptor, a mapping, and address space. A process has bounds for all three, and a VMM
//! that takes everything must not leave the others, or whoever wants to see what is going on, with nothing: so each
//! VF has a share that the rest cannot use.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that no VF may use: standard streams, threads, the control socket and its clients, a trace.
const RESERVED_FDS: u64 = 256;
/// Descriptors of a VF that is offered, besides those of its DMA maps: state pages, listener, client and eventfds, each
/// in use and in the fd store, and those that come with one message.
const FDS_OF_A_VF: u64 = 32;
/// Descriptors of any VF: its state pages and its rings.
const FDS_OF_STATE: u64 = 2;
/// DMA maps without which no guest can run; QEMU needs some twenty.
const FEWEST_MAPS: u64 = 32;
/// DMA maps of a VF at most: QEMU with hot-plugged memory devices needs some hundreds.
const MOST_MAPS: u64 = 4096;
/// Guest memory of all VFs at most, half of what a process can address on x86-64.
const ADDRESS_SPACE: u64 = 64 << 40;
/// Guest memory of one VF at most: more than the largest guests have.
const MOST_BYTES: u64 = 2 << 40;

/// The share of one VF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// DMA maps at a time.
    pub(crate) dma_maps: u32,
    /// Bytes of guest memory at a time.
    pub(crate) bytes: u64,
}

/// The process may not open as many files as its VFs need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{offered} VFs for VMs, of {total}, need {needed} file descriptors, and this process may have {limit}: raise its limit (ulimit -Hn, LimitNOFILE=), or configure fewer"
)]
pub(crate) struct TooFewFds {
    offered: usize,
    total: u16,
    needed: u64,
    limit: u64,
}

/// Raises the number of descriptors that this process may have as far as it can be; that number.
pub(crate) fn raise_fd_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // A process may always raise it to the maximum; if something forbids even that, the present limit holds.
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum.unwrap_or(u64::MAX),
        Err(_) => current.unwrap_or(u64::MAX),
    }
}

impl Share {
    /// The share of each of `offered` VFs, of `total` that there are, in a process that may have `limit` descriptors.
    pub(crate) fn new(offered: usize, total: u16, limit: u64) -> Result<Self, TooFewFds> {
        let vfs = offered.max(1) as u64;
        let fixed = RESERVED_FDS + FDS_OF_STATE * u64::from(total);
        let needed = fixed + vfs * (FDS_OF_A_VF + FEWEST_MAPS);
        if limit < needed {
            return Err(TooFewFds { offered, total, needed, limit });
        }
        let maps = ((limit - fixed) / vfs - FDS_OF_A_VF).min(MOST_MAPS);
        Ok(Self {
            dma_maps: u32::try_from(maps).unwrap_or(u32::MAX),
            bytes: (ADDRESS_SPACE / vfs).min(MOST_BYTES),
        })
    }
}

#[cfg(test)]
mod tests;
