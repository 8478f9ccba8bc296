//! Files of frames in the oldest and simplest pcap format.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

const MAGIC: u32 = 0xa1b2_c3d4;
const VERSION: u32 = 2 | 4 << 16;
const SNAPSHOT: u32 = 65_535;
const ETHERNET: u32 = 1;
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

/// Writes frames to a file.
pub(super) fn write(path: &Path, frames: &[&Vec<u8>]) -> Result<()> {
    let mut file = Vec::new();
    for word in [MAGIC, VERSION, 0, 0, SNAPSHOT, ETHERNET] {
        file.extend(word.to_le_bytes());
    }
    for frame in frames {
        let length = u32::try_from(frame.len()).context("a frame is short")?.to_le_bytes();
        file.extend([[0; 4], [0; 4], length, length].as_flattened());
        file.extend(*frame);
    }
    fs::write(path, file).with_context(|| format!("cannot write {}", path.display()))
}

/// Reads the frames of a file.
pub(super) fn read(path: &Path) -> Result<Vec<Vec<u8>>> {
    let file = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut rest = file.get(FILE_HEADER..).with_context(|| format!("{} is no pcap file", path.display()))?;
    let mut frames = Vec::new();
    while let Some((header, behind)) = rest.split_first_chunk::<RECORD_HEADER>() {
        let [.., a, b, c, d, _, _, _, _] = *header;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        ensure!(length <= behind.len(), "{} is cut in frame {}", path.display(), frames.len());
        let (frame, later) = behind.split_at(length);
        frames.push(frame.to_vec());
        rest = later;
    }
    ensure!(rest.is_empty(), "{} is cut behind frame {}", path.display(), frames.len());
    Ok(frames)
}
