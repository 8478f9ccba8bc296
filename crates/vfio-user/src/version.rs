//! Negotiation of version and capabilities (protocol, "VFIO_USER_VERSION").

use serde::{Deserialize, Serialize};

use crate::protocol::{MAX_DATA_XFER_SIZE, MAX_MSG_FDS, PAGE_SIZE, VERSION_MAJOR, VERSION_MINOR};
use crate::reason::Reason;

/// The longest version data that is looked at. QEMU sends 250 bytes; with this bound no nesting is deep.
const MAX_DATA: usize = 4096;

/// The most descriptors that a client can mean to take in one message; the kernel's own bound is 253.
const MAX_CLIENT_FDS: u32 = 1024;

/// What a client that says nothing about it takes in one transfer, bytes.
const DEFAULT_XFER_SIZE: u64 = 1 << 20;

/// What both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Negotiated {
    /// Minor version of the session.
    pub minor: u16,
    /// Descriptors that the client takes with one message.
    pub client_fds: u32,
    /// Data bytes that the client takes with one message.
    pub client_xfer_size: u32,
}

/// The client's version data. Unknown names are skipped: capabilities are meant to grow.
#[derive(Debug, Default, Deserialize)]
struct VersionData {
    #[serde(default)]
    capabilities: Capabilities,
}

#[derive(Debug, Default, Deserialize)]
struct Capabilities {
    max_msg_fds: Option<u32>,
    max_data_xfer_size: Option<u64>,
    pgsizes: Option<u64>,
    migration: Option<Migration>,
}

#[derive(Debug, Deserialize)]
struct Migration {
    pgsize: Option<u64>,
}

/// Judges the client's proposal.
///
/// # Errors
/// The reason for which no session is possible.
pub(crate) fn negotiate(major: u16, minor: u16, data: &[u8]) -> Result<Negotiated, Reason> {
    if major != VERSION_MAJOR {
        return Err(Reason::VersionMajor);
    }
    let capabilities = parse(data)?.capabilities;
    let client_fds = capabilities.max_msg_fds.unwrap_or(1);
    let xfer_size = capabilities.max_data_xfer_size.unwrap_or(DEFAULT_XFER_SIZE);
    let page_sizes = [capabilities.pgsizes, capabilities.migration.and_then(|migration| migration.pgsize)];
    let possible = client_fds <= MAX_CLIENT_FDS
        && xfer_size > 0
        && page_sizes.into_iter().flatten().all(|sizes| sizes != 0 && sizes.is_multiple_of(PAGE_SIZE));
    if !possible {
        return Err(Reason::VersionCapability);
    }
    Ok(Negotiated {
        minor: minor.min(VERSION_MINOR),
        client_fds,
        client_xfer_size: u32::try_from(xfer_size).unwrap_or(u32::MAX).min(MAX_DATA_XFER_SIZE),
    })
}

fn parse(data: &[u8]) -> Result<VersionData, Reason> {
    if data.is_empty() {
        return Ok(VersionData::default());
    }
    if data.len() > MAX_DATA {
        return Err(Reason::VersionData);
    }
    let json = data.strip_suffix(&[0]).ok_or(Reason::VersionData)?;
    // The JSON parser does not look at the encoding of what it skips.
    let json = str::from_utf8(json).map_err(|_| Reason::VersionData)?;
    serde_json::from_str(json).map_err(|_| Reason::VersionData)
}

/// The version data of our reply, with its NUL.
pub(crate) fn offer(max_dma_maps: u32) -> Vec<u8> {
    let offer = serde_json::json!({ "capabilities": {
        "max_msg_fds": MAX_MSG_FDS,
        "max_data_xfer_size": MAX_DATA_XFER_SIZE,
        "max_dma_maps": max_dma_maps,
        "pgsizes": PAGE_SIZE,
        "write_multiple": true,
    }});
    let mut data = offer.to_string().into_bytes();
    data.push(0);
    data
}

#[cfg(test)]
mod tests;
