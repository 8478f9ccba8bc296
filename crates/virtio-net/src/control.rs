//! The control queue (VIRTIO 1.3 section 5.1.6.5), for front ends that leave it to the device.
//!
//! Runs on the control thread. A command is copied once, up to a limit, and answered in its last byte; what concerns
//! the physical function becomes a [`GuestRequest`], which others decide.

mod command;

use guest_memory::{DmaDomain, Gather, MemoryView};
use port::{Cycles, GuestReply, GuestRequest};

use self::command::{Command, reception};
use crate::dirty::{DirtyLog, DirtyLogSlot};
use crate::notify::Notify;
use crate::ring::{Buffer, Chain, RingError, RingMemory, Used};
use crate::state::AdapterState;
use crate::virtqueue::Virtqueue;

/// Bytes of a command that are looked at; a table of 600 addresses fits.
const MAX_COMMAND: usize = 4096;
/// Commands served at a time: the control thread has other things to do.
const MAX_COMMANDS: usize = 64;
/// Parts of a ring.
const PARTS: usize = 3;

/// Answers (`virtio_net_ctrl_ack`).
const OK: u8 = 0;
const ERROR: u8 = 1;

/// The control queue of an adapter.
#[derive(Debug)]
pub struct ControlQueue {
    state: AdapterState,
    log: DirtyLogSlot,
    ring: Virtqueue,
    rings: Gather,
    chain: Box<Chain>,
    command: Box<[u8; MAX_COMMAND]>,
}

impl ControlQueue {
    /// The control queue of the adapter with `state`. What is written is logged in `log`, if there is one in it.
    #[must_use]
    pub fn new(state: AdapterState, log: DirtyLogSlot) -> Self {
        let ring = Virtqueue::new(&state, state.control_ring());
        let (rings, chain) = (Gather::new(PARTS), Box::new(Chain::new()));
        Self { state, log, ring, rings, chain, command: Box::new([0; MAX_COMMAND]) }
    }

    /// Serves what the driver made available in the memory of `domain`, a bounded number of commands; true if there may
    /// be more. To be called when the driver kicks. `request` asks the physical function.
    pub fn serve(
        &mut self,
        domain: &DmaDomain,
        notify: &dyn Notify,
        now: Cycles,
        request: &mut dyn FnMut(GuestRequest) -> GuestReply,
    ) -> bool {
        if domain.faulted() {
            return false;
        }
        let log = self.log.load_full();
        let view = domain.view();
        self.rings.begin(domain.view());
        let served = if self.ring.open(&mut self.rings, self.state.features(), notify) {
            self.commands(&view, log.as_deref(), request)
        } else {
            Ok(false)
        };
        self.ring.end_round(&self.rings, log.as_deref());
        self.rings.clear();
        self.ring.call(notify, 0, now);
        served.unwrap_or_else(|error| {
            self.ring.fail(error, notify);
            false
        })
    }

    fn commands(
        &mut self,
        view: &MemoryView,
        log: Option<&DirtyLog>,
        request: &mut dyn FnMut(GuestRequest) -> GuestReply,
    ) -> Result<bool, RingError> {
        let Self { state, ring, rings, chain, command, .. } = self;
        let Some(memory) = ring.memory(rings, log) else { return Ok(false) };
        for _ in 0..MAX_COMMANDS {
            let mut at = ring.next();
            if !ring.chain(&memory, view, &mut at, chain)? {
                ring.arm(&memory, at);
                if ring.is_waiting(&memory, at) {
                    // Came meanwhile.
                    continue;
                }
                return Ok(false);
            }
            let length = match execute(chain, view, &mut command[..], state, request) {
                Some(answer) => acknowledge(chain, view, &memory, answer),
                None => 0,
            };
            ring.give_back(&memory, Used { id: chain.id, length, slots: chain.slots });
        }
        Ok(true)
    }
}

/// Carries out the command in `chain`; the answer, or `None` if the chain has no place for one.
fn execute(
    chain: &Chain,
    view: &MemoryView,
    buffer: &mut [u8],
    state: &AdapterState,
    request: &mut dyn FnMut(GuestRequest) -> GuestReply,
) -> Option<u8> {
    if chain.fault.is_some() || chain.writable().is_empty() {
        return None;
    }
    let command = copy_command(chain.readable(), view, buffer)
        .and_then(|length| Command::parse(buffer.get(..length)?, state.features(), state.max_pairs()));
    Some(if command.is_some_and(|command| apply(command, state, request)) { OK } else { ERROR })
}

fn apply(
    command: Command,
    state: &AdapterState,
    request: &mut dyn FnMut(GuestRequest) -> GuestReply,
) -> bool {
    let (promiscuous, all_multicast) = state.reception();
    match command {
        Command::Promiscuous(on) => listen(state, (on, all_multicast), request),
        Command::AllMulticast(on) => listen(state, (promiscuous, on), request),
        Command::Requests(requests) => requests.into_iter().all(|one| granted(request(one))),
        Command::SetMac(mac) => {
            let granted = granted(request(GuestRequest::SetMac(mac)));
            if granted {
                state.set_mac(mac);
            }
            granted
        }
        Command::Pairs(pairs) => {
            state.set_rss(None);
            state.set_pairs(pairs);
            true
        }
        Command::Rss(config, pairs) => {
            state.set_rss(Some(&config));
            state.set_pairs(pairs);
            true
        }
        Command::Offloads(offloads) => {
            state.set_guest_offloads(offloads);
            true
        }
        Command::Announced => {
            state.set_announcing(false);
            true
        }
    }
}

/// Asks for what the two switches amount to, and keeps them if that is granted whole.
fn listen(
    state: &AdapterState,
    switches: (bool, bool),
    request: &mut dyn FnMut(GuestRequest) -> GuestReply,
) -> bool {
    let wanted = reception(switches.0, switches.1);
    let granted = match request(GuestRequest::SetReception(wanted)) {
        GuestReply::Granted => true,
        GuestReply::Reception(most) => most >= wanted,
        GuestReply::Refused => false,
    };
    if granted {
        state.set_reception(switches);
    }
    granted
}

fn granted(reply: GuestReply) -> bool {
    !matches!(reply, GuestReply::Refused)
}

/// Copies the command out; its length, or `None` if it is too long or lies in no memory.
fn copy_command(buffers: &[Buffer], view: &MemoryView, to: &mut [u8]) -> Option<usize> {
    let mut length = 0_usize;
    for buffer in buffers {
        let end = length.checked_add(buffer.length as usize)?;
        view.read_bytes(buffer.address, to.get_mut(length..end)?).ok()?;
        length = end;
    }
    Some(length)
}

/// Writes the answer into the last byte that the device may write, where drivers have it; the bytes written.
fn acknowledge(chain: &Chain, view: &MemoryView, memory: &RingMemory<'_>, answer: u8) -> u32 {
    let Some(buffer) = chain.writable().last() else { return 0 };
    let Some(address) = buffer.address.checked_add(u64::from(buffer.length) - 1) else { return 0 };
    if view.write_bytes(address, &[answer]).is_err() {
        return 0;
    }
    if let Some(log) = memory.log {
        log.mark(address, 1);
    }
    1
}

#[cfg(test)]
mod tests;
