//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng): section header, interfaces, packets, statistics. All that a
//! file of one section needs; times in nanoseconds, little endian.

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const LINKTYPE_ETHERNET: u16 = 1;

/// Options of all blocks, then those of one kind each.
const END_OF_OPTIONS: u16 = 0;
const COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;
const ISB_IFRECV: u16 = 4;
const ISB_IFDROP: u16 = 5;

/// Which way a packet went, for `epb_flags`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Inbound = 1,
    Outbound = 2,
}

/// A packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) interface: u32,
    /// Nanoseconds since 1970.
    pub(super) time: u64,
    pub(super) direction: Direction,
    /// Length of the whole frame; `bytes` may be less.
    pub(super) length: usize,
    pub(super) bytes: &'a [u8],
    pub(super) comment: Option<&'a str>,
}

/// Begins a file.
pub(super) fn section(out: &mut Vec<u8>, application: &str) {
    block(out, SECTION_HEADER, |out| {
        out.extend(BYTE_ORDER_MAGIC.to_le_bytes());
        // Version 1.0; a section of unknown length.
        out.extend([1, 0, 0, 0]);
        out.extend(u64::MAX.to_le_bytes());
        option(out, SHB_USERAPPL, application.as_bytes());
        option(out, END_OF_OPTIONS, &[]);
    });
}

/// Declares the next interface; they are numbered from 0.
pub(super) fn interface(out: &mut Vec<u8>, name: &str, snaplen: usize) {
    block(out, INTERFACE_DESCRIPTION, |out| {
        out.extend(LINKTYPE_ETHERNET.to_le_bytes());
        out.extend([0, 0]);
        out.extend(word(snaplen));
        option(out, IF_NAME, name.as_bytes());
        option(out, IF_TSRESOL, &[9]);
        option(out, END_OF_OPTIONS, &[]);
    });
}

pub(super) fn packet(out: &mut Vec<u8>, packet: Packet<'_>) {
    block(out, ENHANCED_PACKET, |out| {
        out.extend(packet.interface.to_le_bytes());
        out.extend(time(packet.time));
        out.extend(word(packet.bytes.len()));
        out.extend(word(packet.length));
        out.extend(packet.bytes);
        pad(out);
        option(out, EPB_FLAGS, &(packet.direction as u32).to_le_bytes());
        if let Some(comment) = packet.comment {
            option(out, COMMENT, comment.as_bytes());
        }
        option(out, END_OF_OPTIONS, &[]);
    });
}

/// Says at `now` what an interface has seen, and how much of it was missed.
pub(super) fn statistics(out: &mut Vec<u8>, interface: u32, now: u64, seen: u64, missed: u64) {
    block(out, INTERFACE_STATISTICS, |out| {
        out.extend(interface.to_le_bytes());
        out.extend(time(now));
        option(out, ISB_IFRECV, &seen.to_le_bytes());
        option(out, ISB_IFDROP, &missed.to_le_bytes());
        option(out, END_OF_OPTIONS, &[]);
    });
}

/// A block: type, length, what `body` writes, and the length again.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(kind.to_le_bytes());
    out.extend([0; 4]);
    body(out);
    let length = word(out.len() - start + 4);
    out[start + 4..start + 8].copy_from_slice(&length);
    out.extend(length);
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    out.extend(code.to_le_bytes());
    out.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend(value);
    pad(out);
}

/// Everything begins at a multiple of four bytes: what stands before, too.
fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

/// A time as blocks have it: the upper half first.
fn time(nanoseconds: u64) -> [u8; 8] {
    nanoseconds.rotate_left(32).to_le_bytes()
}

fn word(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
}
