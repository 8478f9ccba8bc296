//! The registers of BAR 0: where they are, who may write which bits, what they hold after reset.

use crate::mailbox::VFMAILBOX_RSTD;
use crate::registers::{
    BAH, BAL, CONTROL, DCA, HEAD, LEN, MAILBOX_WORDS, QUEUES, REGISTER_WORDS, RSCCTL, SRRCTL, TAIL, TDWBAH,
    TDWBAL, VECTORS, VFCTRL, VFFRTIMER, VFGORC_LSB, VFGORC_MSB, VFGOTC_LSB, VFGOTC_MSB, VFGPRC, VFGPTC,
    VFLINKS, VFMAILBOX, VFMBMEM, VFMPRC, VFMRQC, VFPSRTYPE, VFRETA, VFRSSRK, VFRXMEMWRAP, VFSTATUS, VTEIAC,
    VTEIAM, VTEICR, VTEICS, VTEIMC, VTEIMS, VTEITR, VTIVAR, VTIVAR_MISC, VTRSCINT, rx, tx,
};

/// What an access to a register does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reads the word, which only the device changes.
    ReadOnly,
    /// Reads and writes the word.
    Stored,
    /// As `Stored`, in personalities with RSS registers; in the others there is no such register.
    Rss,
    /// VFCTRL: reads 0, writing RST resets the function.
    Control,
    /// VFLINKS: made of the link's state.
    Link,
    /// VFFRTIMER: microseconds.
    Timer,
    /// VTEICR: reading clears, writing ones clears.
    Causes,
    /// VTEICS: reads the causes and clears none, writing ones sets them.
    SetCauses,
    /// VTEIMS: reads the enable bits, writing ones sets them.
    Enable,
    /// VTEIMC: reads the enable bits, writing ones clears them.
    Disable,
    /// VFMAILBOX.
    Mailbox,
    /// Head of a ring: the driver's while the queue is disabled.
    Head,
    /// Tail of a ring: a doorbell.
    Tail,
    /// Control of receive queue `0..8` or transmit queue `8..16`, found by the offset.
    QueueControl,
    /// Low word of an octet counter; reading it keeps the high word for the read that follows.
    OctetsLow,
    /// High word of an octet counter, as it was when the low word was read.
    OctetsHigh,
}

/// One register, or a row of alike ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Register {
    /// Offset of the first.
    pub(crate) offset: u32,
    /// How many.
    pub(crate) count: u32,
    /// Bytes from one to the next.
    pub(crate) stride: u32,
    /// What an access does.
    pub(crate) access: Access,
    /// Bits that exist; the others read 0 and ignore writes.
    pub(crate) mask: u32,
    /// Value after reset.
    pub(crate) reset: u32,
}

const ALL: u32 = u32::MAX;
/// Interrupt causes, a bit per vector.
const CAUSES: u32 = (1 << VECTORS) - 1;
/// Valid bit and vector, in each byte.
const IVAR: u32 = 0x8383_8383;
/// Bytes from a queue's registers to those of the next.
const QUEUE_STRIDE: u32 = rx(1, 0) - rx(0, 0);

const fn one(offset: u32, access: Access, mask: u32) -> Register {
    row(offset, 1, access, mask)
}

const fn row(offset: u32, count: u32, access: Access, mask: u32) -> Register {
    Register { offset, count, stride: 4, access, mask, reset: 0 }
}

/// A register that each of the eight queues has in its block.
const fn queues(offset: u32, access: Access, mask: u32) -> Register {
    Register { offset, count: QUEUES, stride: QUEUE_STRIDE, access, mask, reset: 0 }
}

const fn reset_to(register: Register, reset: u32) -> Register {
    Register { reset, ..register }
}

/// Every register.
pub(crate) const REGISTERS: &[Register] = &[
    one(VFCTRL, Access::Control, 0),
    // Never all ones: drivers take that for a function that is gone.
    reset_to(one(VFSTATUS, Access::ReadOnly, ALL), 0x0008_0000),
    one(VFLINKS, Access::Link, ALL),
    one(VFFRTIMER, Access::Timer, ALL),
    one(VTEICR, Access::Causes, CAUSES),
    one(VTEICS, Access::SetCauses, CAUSES),
    one(VTEIMS, Access::Enable, CAUSES),
    one(VTEIMC, Access::Disable, CAUSES),
    one(VTEIAC, Access::Stored, CAUSES),
    one(VTEIAM, Access::Stored, CAUSES),
    row(VTIVAR, QUEUES / 2, Access::Stored, IVAR),
    one(VTIVAR_MISC, Access::Stored, IVAR & 0xff),
    row(VTRSCINT, VECTORS, Access::Stored, ALL),
    row(VFMBMEM, MAILBOX_WORDS, Access::Stored, ALL),
    reset_to(one(VFMAILBOX, Access::Mailbox, ALL), VFMAILBOX_RSTD),
    one(VFPSRTYPE, Access::Stored, ALL),
    // Bit 31 (do not reset the interval counter) and the interval.
    row(VTEITR, VECTORS, Access::Stored, 0x8000_0ff8),
    one(VFRXMEMWRAP, Access::ReadOnly, ALL),
    queues(rx(0, BAL), Access::Stored, 0xffff_ff80),
    queues(rx(0, BAH), Access::Stored, ALL),
    queues(rx(0, LEN), Access::Stored, 0x000f_ff80),
    queues(rx(0, DCA), Access::Stored, ALL),
    queues(rx(0, HEAD), Access::Head, 0xffff),
    queues(rx(0, SRRCTL), Access::Stored, ALL),
    queues(rx(0, TAIL), Access::Tail, 0xffff),
    queues(rx(0, CONTROL), Access::QueueControl, ALL),
    queues(rx(0, RSCCTL), Access::ReadOnly, 0),
    queues(tx(0, BAL), Access::Stored, 0xffff_ff80),
    queues(tx(0, BAH), Access::Stored, ALL),
    queues(tx(0, LEN), Access::Stored, 0x000f_ff80),
    queues(tx(0, DCA), Access::Stored, ALL),
    queues(tx(0, HEAD), Access::Head, 0xffff),
    queues(tx(0, TAIL), Access::Tail, 0xffff),
    queues(tx(0, CONTROL), Access::QueueControl, ALL),
    queues(tx(0, TDWBAL), Access::Stored, ALL),
    queues(tx(0, TDWBAH), Access::Stored, ALL),
    one(VFGPRC, Access::ReadOnly, ALL),
    one(VFGORC_LSB, Access::OctetsLow, ALL),
    one(VFGORC_MSB, Access::OctetsHigh, 0xf),
    one(VFMPRC, Access::ReadOnly, ALL),
    one(VFGPTC, Access::ReadOnly, ALL),
    one(VFGOTC_LSB, Access::OctetsLow, ALL),
    one(VFGOTC_MSB, Access::OctetsHigh, 0xf),
    one(VFMRQC, Access::Rss, ALL),
    row(VFRSSRK, 10, Access::Rss, ALL),
    row(VFRETA, 16, Access::Rss, ALL),
];

const NONE: u8 = u8::MAX;
/// For each word of the BAR its place in [`REGISTERS`]: a doorbell is looked up at each frame.
static PLACES: [u8; REGISTER_WORDS] = places();

const fn places() -> [u8; REGISTER_WORDS] {
    assert!(REGISTERS.len() < NONE as usize);
    let mut places = [NONE; REGISTER_WORDS];
    let mut index = 0;
    while index < REGISTERS.len() {
        let register = REGISTERS[index];
        let mut n = 0;
        while n < register.count {
            let word = (register.offset + n * register.stride) as usize / 4;
            assert!(places[word] == NONE, "two registers at one offset");
            #[expect(clippy::cast_possible_truncation, reason = "the table has less than 255 rows")]
            let place = index as u8;
            places[word] = place;
            n += 1;
        }
        index += 1;
    }
    places
}

/// The register at `offset`, a multiple of 4; `None` where there is none.
pub(crate) fn register_at(offset: u32) -> Option<&'static Register> {
    REGISTERS.get(usize::from(*PLACES.get(offset as usize / 4)?))
}

#[cfg(test)]
mod tests;
