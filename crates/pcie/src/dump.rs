//! Config space as text, in the form that `lspci -xxxx` prints and `lspci -F` reads.

use std::fmt::Write;

use crate::rid::Rid;

/// Bytes to a row.
const ROW: usize = 16;

/// The dump of one function: a title, rows of 16 bytes with their offset, an empty line.
///
/// Dumps of several functions can be joined. lspci takes 64 (header), 256 or 4096 bytes of `config`.
#[must_use]
pub fn lspci_dump(rid: Rid, name: &str, config: &[u8]) -> String {
    // A name is one line and nothing in it can pass for a row.
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    let mut text = format!("{rid} {name}\n");
    for (row, bytes) in config.chunks(ROW).enumerate() {
        write!(text, "{:02x}:", row * ROW).expect("a String takes all that is written");
        for byte in bytes {
            write!(text, " {byte:02x}").expect("a String takes all that is written");
        }
        text.push('\n');
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
