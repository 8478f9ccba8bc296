//! BAR 0.

use super::Control;
use super::reset::Extent;
use crate::host::Host;
use crate::register_map::{Access, Register, register_at};
use crate::registers::{
    CONTROL, ENABLE, HEAD, REGISTER_BYTES, TAIL, VFCTRL_RST, VFGORC_LSB, VFGORC_MSB, VFGOTC_MSB,
    VFLINKS_SPEED_10G, VFLINKS_UP, VTEICR, VTEIMS, rx, tx,
};
use crate::rejection::Rejection;
use crate::state::word;

/// How long a transmit queue that is closed may go on sending, in microseconds: a driver takes the queue for closed 2
/// ms after it has written so.
const SEND_REST: u64 = 1000;
/// How long a queue is closed without that after one for which it was in vain, in microseconds.
const WAIT_AGAIN: u64 = 100_000;
/// Looks at a queue that is to go on sending, at most. Each is a round of the worker, the shortest of which take
/// about a microsecond.
const MAX_LOOKS: u32 = 4096;

/// VFLINKS beside the up bit and the speed, while the link is up: its status latch.
const VFLINKS_LATCHED: u32 = 1 << 7;

impl Control {
    /// Reads `data.len()` bytes at `offset` of BAR 0.
    ///
    /// Registers are 32 bits wide. Other accesses are made of the registers that they touch, each read once: a byte
    /// of a register that reading clears clears all of it. Where there is no register the bytes are 0. All ones,
    /// which drivers take for the end of the device, come only from a function that does not decode its BAR.
    pub fn bar0_read(&mut self, offset: u64, data: &mut [u8], host: &dyn Host) {
        if !self.decodes_memory() {
            self.reject(Rejection::NotDecoded);
            data.fill(0xff);
            return;
        }
        data.fill(0);
        let mut done = 0;
        while done < data.len() {
            let at = offset.checked_add(done as u64).filter(|at| *at < REGISTER_BYTES);
            let Some(at) = at.and_then(|at| u32::try_from(at).ok()) else {
                self.reject(Rejection::OutOfRange);
                return;
            };
            let first = (at % 4) as usize;
            let count = (4 - first).min(data.len() - done);
            let value = self.read_register(at & !3, host).to_le_bytes();
            data[done..done + count].copy_from_slice(&value[first..first + count]);
            done += count;
        }
    }

    /// Writes `data` at `offset` of BAR 0. Returns when all that the write asks for is done: the server may answer
    /// it.
    ///
    /// Only writes of 4 bytes at multiples of 4 have an effect.
    pub fn bar0_write(&mut self, offset: u64, data: &[u8], host: &mut dyn Host) {
        if let Err(reason) = self.write(offset, data, host) {
            self.reject(reason);
        }
    }

    fn write(&mut self, offset: u64, data: &[u8], host: &mut dyn Host) -> Result<(), Rejection> {
        if !self.decodes_memory() {
            return Err(Rejection::NotDecoded);
        }
        if offset >= REGISTER_BYTES {
            return Err(Rejection::OutOfRange);
        }
        let offset = u32::try_from(offset).map_err(|_| Rejection::OutOfRange)?;
        let bytes: [u8; 4] = data.try_into().map_err(|_| Rejection::WriteWidth)?;
        if !offset.is_multiple_of(4) {
            return Err(Rejection::WriteWidth);
        }
        let register = register_at(offset).ok_or(Rejection::Undefined)?;
        self.write_register(register, offset, u32::from_le_bytes(bytes), host)
    }

    fn read_register(&mut self, offset: u32, host: &dyn Host) -> u32 {
        let Some(register) = register_at(offset) else { return 0 };
        let value = match register.access {
            Access::ReadOnly | Access::Stored | Access::Head | Access::Tail | Access::QueueControl => {
                self.state.register(offset)
            }
            Access::Rss if self.profile.rss_registers => self.state.register(offset),
            Access::Rss | Access::Control => 0,
            Access::Link if self.state.private.load(word::LINK) == 0 => 0,
            Access::Link => VFLINKS_UP | VFLINKS_SPEED_10G | VFLINKS_LATCHED,
            Access::Timer => self.interrupts.microseconds(host.now()),
            Access::Causes => self.interrupts.take_causes(),
            Access::SetCauses => self.state.register(VTEICR),
            Access::Enable | Access::Disable => self.state.register(VTEIMS),
            Access::Mailbox => self.mailbox.read(),
            Access::OctetsLow => {
                let sent = offset != VFGORC_LSB;
                let high = self.state.register(if sent { VFGOTC_MSB } else { VFGORC_MSB });
                self.state.private.store(word::OCTETS_HIGH + usize::from(sent), high);
                self.state.register(offset)
            }
            Access::OctetsHigh => {
                self.state.private.load(word::OCTETS_HIGH + usize::from(offset != VFGORC_MSB))
            }
        };
        value & register.mask
    }

    fn write_register(
        &mut self,
        register: &Register,
        offset: u32,
        value: u32,
        host: &mut dyn Host,
    ) -> Result<(), Rejection> {
        let value = match register.access {
            // VFCTRL has no bits to keep.
            Access::Control => value,
            _ => value & register.mask,
        };
        match register.access {
            Access::Stored => self.state.set_register(offset, value),
            Access::Rss if self.profile.rss_registers => self.state.set_register(offset, value),
            Access::Rss => return Err(Rejection::Undefined),
            Access::Tail => {
                self.state.set_register(offset, value);
                host.kick();
            }
            Access::Enable => {
                if self.interrupts.unmask(value, host.now()) {
                    host.kick();
                }
            }
            Access::Disable => self.interrupts.mask(value),
            Access::Causes => self.interrupts.clear_causes(value),
            Access::SetCauses => {
                if self.interrupts.raise(value, host.now()) {
                    host.kick();
                }
            }
            Access::Head => {
                if self.state.register(offset - HEAD + CONTROL) & ENABLE != 0 {
                    return Err(Rejection::HeadWhileEnabled);
                }
                self.state.set_register(offset, value);
            }
            Access::QueueControl => self.write_queue_control(offset, value, host),
            Access::Control if value & VFCTRL_RST != 0 => self.reset_device(Extent::Driver, host),
            Access::Control => {}
            Access::Mailbox => {
                if self.mailbox.write(value, host) {
                    self.raise_misc(host);
                }
            }
            Access::ReadOnly | Access::Link | Access::Timer | Access::OctetsLow | Access::OctetsHigh => {
                return Err(Rejection::ReadOnly);
            }
        }
        Ok(())
    }

    /// RXDCTL and TXDCTL. The generation goes first: a worker that sees the queue enabled again also sees that it is
    /// not the queue that it knew.
    fn write_queue_control(&mut self, offset: u32, value: u32, host: &mut dyn Host) {
        let queue = offset % rx(0, 0) / (rx(1, 0) - rx(0, 0));
        let transmits = offset >= tx(0, 0);
        let generations = if transmits { word::TX_GENERATION } else { word::RX_GENERATION };
        let was_enabled = self.state.register(offset) & ENABLE != 0;
        let closes = was_enabled && value & ENABLE == 0;
        if closes && transmits {
            self.send_rest(queue, host);
        }
        self.state.private.fetch_add(generations + queue as usize, 1);
        self.state.set_register(offset, value);
        if value & ENABLE != 0 {
            host.kick();
        } else if closes {
            host.quiesce();
        }
        self.look_for_sign(host);
    }

    /// Before a transmit queue is closed: lets the worker send what the driver has shown in it. Hardware has mostly
    /// done so by then, and drivers wait for 10 to 20 ms, if at all, before they close it. What cannot be sent in
    /// time is left unsent, as hardware leaves it. A guest whose queue was waited for in vain is not waited for again
    /// soon: the thread serves others, too.
    fn send_rest(&mut self, queue: u32, host: &mut dyn Host) {
        let position = |register| self.state.register(tx(queue, register)) & 0xffff;
        let (tail, began) = (position(TAIL), host.now());
        if began < self.next_wait || self.state.private.load(word::DMA_ENABLED) == 0 {
            return;
        }
        for _ in 0..MAX_LOOKS {
            if position(HEAD) == tail {
                return;
            }
            if host.now().saturating_sub(began) >= self.interrupts.cycles(SEND_REST) {
                break;
            }
            host.kick();
            host.quiesce();
        }
        self.next_wait = host.now() + self.interrupts.cycles(WAIT_AGAIN);
    }
}
