//! What the VMM of one VF may take of what the process has.
//!
//! Each DMA map costs a file descriptor, a mapping, and address space. A process has bounds for all three, and a VMM
//! that takes everything must not leave the others, or whoever wants to see what is going on, with nothing: so each
//! VF has a share that the rest cannot use.

use virt_stack::desired::VmSpec;

use crate::config::Config;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that no VF may use: standard streams, threads, the control socket and its clients, a trace.
const RESERVED_FDS: u64 = 256;
/// Descriptors of a VF that is offered, besides those of its DMA maps: state pages, listener, client and eventfds, each
/// in use and in the fd store, and those that come with one message.
const FDS_OF_A_VF: u64 = 32;
/// Descriptors of any VF: its state pages and its rings.
const FDS_OF_STATE: u64 = 2;
/// Descriptors of a synthetic adapter, besides those of memory and rings: state pages, listener, client, log. A second
/// front end, while a VM migrates, takes from the reserve.
const FDS_OF_SYNTHETIC: u64 = 6;
/// Descriptors of the events of a queue pair: doorbell and interrupt of two rings.
const FDS_OF_A_PAIR: u64 = 4;
/// Memory regions of a front end without which no guest can run; QEMU needs two or three.
const FEWEST_SLOTS: u64 = 6;
/// Memory regions of a front end at most.
const MOST_SLOTS: u64 = 40;
/// DMA maps without which no guest can run; QEMU needs some twenty.
const FEWEST_MAPS: u64 = 24;
/// DMA maps of a VF at most: QEMU with hot-plugged memory devices needs some hundreds.
const MOST_MAPS: u64 = 4096;
/// Guest memory of all VMMs at most, half of what a process can address on x86-64.
const ADDRESS_SPACE: u64 = 64 << 40;
/// Guest memory of one VMM at most: more than the largest guests have.
const MOST_BYTES: u64 = 2 << 40;

/// The share of one VF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// DMA maps at a time.
    pub(crate) dma_maps: u32,
    /// Bytes of guest memory of one VMM at a time.
    pub(crate) bytes: u64,
    /// Memory regions of the front end of a synthetic adapter.
    pub(crate) memory_slots: u16,
}

/// What there is to serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    /// VFs that there are.
    pub(crate) total_vfs: u16,
    /// VFs that VMs have.
    pub(crate) offered: usize,
    /// Synthetic adapters.
    pub(crate) synthetic: usize,
    /// Their queue pairs, all together.
    pub(crate) queue_pairs: usize,
}

/// What there is to serve if all that can be configured at run time is.
pub(crate) fn capacity(config: &Config) -> Demand {
    let adapters = config.daemon.max_adapters as usize;
    Demand {
        total_vfs: config.adapter.total_vfs.0,
        offered: adapters.min(config.num_vfs().into()),
        synthetic: adapters,
        queue_pairs: adapters,
    }
}

/// What there is to serve with these VMs.
pub(crate) fn demand(config: &Config, vms: &[VmSpec]) -> Demand {
    let adapters = || vms.iter().flat_map(|vm| &vm.adapters);
    let with_vf = adapters().filter(|adapter| adapter.iov_weight.0 > 0).count();
    Demand {
        total_vfs: config.adapter.total_vfs.0,
        offered: with_vf.min(config.num_vfs().into()),
        synthetic: adapters().count(),
        queue_pairs: adapters().map(|adapter| usize::from(adapter.queue_pairs.0)).sum(),
    }
}

/// The process may not open as many files as its VFs need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} VFs for VMs, of {}, and {} synthetic adapters need {needed} file descriptors, and this process may have {limit}: raise its limit (ulimit -Hn, LimitNOFILE=), or configure fewer",
    .demand.offered, .demand.total_vfs, .demand.synthetic
)]
pub(crate) struct TooFewFds {
    demand: Demand,
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
    /// The share of each device, in a process that may have `limit` descriptors.
    pub(crate) fn new(demand: Demand, limit: u64) -> Result<Self, TooFewFds> {
        let vfs = demand.offered as u64;
        let (synthetic, pairs) = (demand.synthetic as u64, demand.queue_pairs as u64);
        let of_rings = synthetic * FDS_OF_SYNTHETIC + pairs * FDS_OF_A_PAIR;
        let fixed = RESERVED_FDS + FDS_OF_STATE * u64::from(demand.total_vfs) + of_rings;
        let of_memory = synthetic * FEWEST_SLOTS;
        let needed = fixed + of_memory + vfs * (FDS_OF_A_VF + FEWEST_MAPS);
        if limit < needed {
            return Err(TooFewFds { demand, needed, limit });
        }
        let maps = ((limit - fixed - of_memory) / vfs.max(1)).saturating_sub(FDS_OF_A_VF).min(MOST_MAPS);
        let left = limit - fixed - vfs * (FDS_OF_A_VF + maps);
        let slots = (left / synthetic.max(1)).clamp(FEWEST_SLOTS, MOST_SLOTS);
        Ok(Self {
            dma_maps: u32::try_from(maps).unwrap_or(u32::MAX),
            // Two front ends while a VM migrates.
            bytes: (ADDRESS_SPACE / (vfs + 2 * synthetic).max(1)).min(MOST_BYTES),
            memory_slots: u16::try_from(slots).unwrap_or(u16::MAX),
        })
    }
}

#[cfg(test)]
mod tests;
