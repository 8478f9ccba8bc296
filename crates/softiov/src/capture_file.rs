//! The file of a capture: whole blocks only, wherever the stream that they come in ends.

#[cfg(test)]
mod tests;

use std::io::{self, Write};

const ENHANCED_PACKET: u32 = 6;
const INTERFACE_STATISTICS: u32 = 5;
/// Where the number of missed frames stands in a block of statistics as softiov writes it.
const MISSED_AT: usize = 36;

/// A pcapng file that is being written.
pub(crate) struct CaptureFile<W> {
    out: W,
    /// The beginning of a block that has not come whole.
    rest: Vec<u8>,
    frames: u64,
    missed: u64,
}

impl<W: Write> CaptureFile<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, rest: Vec::new(), frames: 0, missed: 0 }
    }

    /// Takes the next bytes of the stream.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.rest.extend_from_slice(bytes);
        let mut whole = 0;
        while let Some(block) = first_block(&self.rest[whole..])? {
            match word(block, 0) {
                Some(ENHANCED_PACKET) => self.frames += 1,
                Some(INTERFACE_STATISTICS) => {
                    let missed = block.get(MISSED_AT..).and_then(<[u8]>::first_chunk);
                    self.missed += missed.map_or(0, |bytes| u64::from_le_bytes(*bytes));
                }
                _ => {}
            }
            whole += block.len();
        }
        self.out.write_all(&self.rest[..whole])?;
        self.out.flush()?;
        self.rest.drain(..whole);
        Ok(())
    }

    /// Frames in the file.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// Frames that the daemon had no room for.
    pub(crate) fn missed(&self) -> u64 {
        self.missed
    }
}

/// The block at the beginning of `bytes`, if it is whole.
fn first_block(bytes: &[u8]) -> io::Result<Option<&[u8]>> {
    let Some(length) = word(bytes, 4) else { return Ok(None) };
    if length < 12 || length % 4 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a block of {length} bytes is no pcapng"),
        ));
    }
    Ok(bytes.get(..length as usize))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}
