//! Register offsets in BAR 0 and their bits (82599 VF, X540 VF, X550 VF).
//!
//! Every register is a 32-bit word; the file is 16 KiB: page 0x0000 control, mailbox and interrupts, 0x1000 receive
//! rings, 0x2000 transmit rings, 0x3000 RSS.

/// Words of the register file.
pub const REGISTER_WORDS: usize = 0x1000;
/// Bytes of the register file (BAR 0).
pub const REGISTER_BYTES: u64 = 4 * REGISTER_WORDS as u64;
/// Queue pairs that have registers.
pub const QUEUES: u32 = 8;
/// MSI-X vectors: two for queues, one for mailbox and link.
pub const VECTORS: u32 = 3;

/// Control: [`VFCTRL_RST`].
pub const VFCTRL: u32 = 0x0000;
/// Resets the function.
pub const VFCTRL_RST: u32 = 1 << 26;
/// Status: read to flush posted writes.
pub const VFSTATUS: u32 = 0x0008;
/// Link: [`VFLINKS_UP`] and speed.
pub const VFLINKS: u32 = 0x0010;
/// The link is up.
pub const VFLINKS_UP: u32 = 1 << 30;
/// Speed bits for 10 Gbit/s.
pub const VFLINKS_SPEED_10G: u32 = 3 << 28;
/// Free running timer.
pub const VFFRTIMER: u32 = 0x0048;
/// Interrupt causes, cleared by reading; bit n is vector n.
pub const VTEICR: u32 = 0x0100;
/// Sets causes.
pub const VTEICS: u32 = 0x0104;
/// Interrupt mask: sets enable bits.
pub const VTEIMS: u32 = 0x0108;
/// Clears enable bits.
pub const VTEIMC: u32 = 0x010c;
/// Causes cleared when their message is sent.
pub const VTEIAC: u32 = 0x0110;
/// Causes masked when their message is sent.
pub const VTEIAM: u32 = 0x0114;
/// Vector of queue causes, four of them: a byte each for receive and transmit of two queues.
pub const VTIVAR: u32 = 0x0120;
/// Vector of mailbox and link causes.
pub const VTIVAR_MISC: u32 = 0x0140;
/// The byte of a VTIVAR register names a vector.
pub const IVAR_VALID: u32 = 0x80;
/// Receive side coalescing interrupt registers; stored only.
pub const VTRSCINT: u32 = 0x0180;
/// Mailbox buffer, 16 words.
pub const VFMBMEM: u32 = 0x0200;
/// Words of the mailbox buffer.
pub const MAILBOX_WORDS: u32 = 16;
/// Mailbox control.
pub const VFMAILBOX: u32 = 0x02fc;
/// Header types for packet split and queues per pool.
pub const VFPSRTYPE: u32 = 0x0300;
/// Interrupt throttling, one register a vector: bits 11:3 are the interval in units of 2 us.
pub const VTEITR: u32 = 0x0820;
/// Header split memory wrap; register dumps read it.
pub const VFRXMEMWRAP: u32 = 0x3190;

/// First register of receive queue `queue`.
#[must_use]
pub const fn rx(queue: u32, register: u32) -> u32 {
    0x1000 + 0x40 * queue + register
}

/// First register of transmit queue `queue`.
#[must_use]
pub const fn tx(queue: u32, register: u32) -> u32 {
    0x2000 + 0x40 * queue + register
}

/// Ring address, low half (128-byte aligned). Same place in receive and transmit blocks, as the next four.
pub const BAL: u32 = 0x00;
/// Ring address, high half.
pub const BAH: u32 = 0x04;
/// Ring length in bytes, a multiple of 128.
pub const LEN: u32 = 0x08;
/// Direct cache access hints; stored only.
pub const DCA: u32 = 0x0c;
/// Head: the next descriptor of the device.
pub const HEAD: u32 = 0x10;
/// Tail: the first descriptor that is not the device's.
pub const TAIL: u32 = 0x18;
/// Queue control: [`ENABLE`] and more.
pub const CONTROL: u32 = 0x28;
/// Split and replication receive control (receive block).
pub const SRRCTL: u32 = 0x14;
/// Receive side coalescing control (receive block); reads 0.
pub const RSCCTL: u32 = 0x2c;
/// Head write-back address, low (transmit block); bit 0 enables.
pub const TDWBAL: u32 = 0x38;
/// Head write-back address, high (transmit block).
pub const TDWBAH: u32 = 0x3c;

/// The queue is enabled (RXDCTL, TXDCTL).
pub const ENABLE: u32 = 1 << 25;
/// Strip VLAN tags (RXDCTL).
pub const RXDCTL_VME: u32 = 1 << 30;
/// The length limit of RXDCTL holds (X540 and later).
pub const RXDCTL_RLPML_EN: u32 = 1 << 15;
/// Longest frame in bytes (RXDCTL).
pub const RXDCTL_RLPML: u32 = 0x3fff;

/// Statistics: good packets received, 32 bits.
pub const VFGPRC: u32 = 0x101c;
/// Good octets received, low word of 36 bits.
pub const VFGORC_LSB: u32 = 0x1020;
/// Good octets received, high 4 bits.
pub const VFGORC_MSB: u32 = 0x1024;
/// Multicast packets received.
pub const VFMPRC: u32 = 0x1034;
/// Good packets sent.
pub const VFGPTC: u32 = 0x201c;
/// Good octets sent, low word of 36 bits.
pub const VFGOTC_LSB: u32 = 0x2020;
/// Good octets sent, high 4 bits.
pub const VFGOTC_MSB: u32 = 0x2024;

/// RSS control (X550): bit 0 enables, bits 31:16 name hash types.
pub const VFMRQC: u32 = 0x3000;
/// RSS key, 10 words.
pub const VFRSSRK: u32 = 0x3100;
/// RSS indirection table, 16 words of 4 entries.
pub const VFRETA: u32 = 0x3200;
