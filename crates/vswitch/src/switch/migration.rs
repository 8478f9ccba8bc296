//! What moves with a NIC to another host (`spec/ndis.md` C.8, E.6).
//!
//! The source saves; then it disconnects and deletes the NIC. The target, which has tried the policies on a validation
//! port before, creates port and NIC, and restores what extensions saved. Records come over a network: nothing in them is
//! trusted.

use port::Cycles;
use serde::{Deserialize, Serialize};

use std::sync::Arc;

use super::VSwitch;
use crate::extension::Event;
use crate::extension::connections::{Connections, MAX_CONNECTIONS};
use crate::{Guid, NicParameters, NicState, PortId, PortParameters, PortPolicy, SwitchError};

/// The most bytes of a record (`NDIS_SWITCH_NIC_SAVE_STATE_MAX_DATA_SIZE`; a record's length is a 16-bit number).
pub const MAX_SAVE_DATA: usize = 65_000;

/// The most records that one extension can save of a NIC: a faulty one must not go on for ever.
const MAX_RECORDS: usize = 1024;

/// The GUID under which the built-in ACL saves the port's connections.
const ACL: Guid = Guid(0x8a0b_6d0e_51f3_4c5c_9e63_70b5_2f0e_a1c1);
const ACL_NAME: &str = "port ACL";

/// One record, `NDIS_SWITCH_NIC_SAVE_STATE`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedRecord {
    /// Whose it is.
    pub extension: Guid,
    /// `ExtensionFriendlyName`.
    pub name: String,
    /// Known to the extension only; at most [`MAX_SAVE_DATA`] bytes.
    pub data: Vec<u8>,
}

/// All that another switch needs to take over a NIC. Its port there may have another number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedNic {
    /// For PORT_CREATE.
    pub port: PortParameters,
    /// For PORT_PROPERTY_ADD.
    pub policy: PortPolicy,
    /// For NIC_CREATE.
    pub nic: NicParameters,
    /// For NIC_RESTORE.
    pub records: Vec<SavedRecord>,
}

/// Which record of a NIC comes next. Source number 0 is the built-in ACL, then come the extensions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SaveProgress {
    source: usize,
    record: usize,
}

impl VSwitch {
    /// `OID_SWITCH_NIC_SAVE`: the next record, `None` after the last. Of one NIC, records come in one sequence, ended by
    /// [`VSwitch::complete_nic_save`]; the sequences of several NICs may interleave.
    ///
    /// # Errors
    /// There is no connected NIC; the record has more than `room` bytes of data (asked again with enough, it comes); or an
    /// extension saved too much.
    pub fn save_nic(
        &mut self,
        port: PortId,
        room: usize,
        now: Cycles,
    ) -> Result<Option<SavedRecord>, SwitchError> {
        self.nic_in(port, NicState::Connected, "NIC_SAVE")?;
        let mut progress = self.saves.get(&port).copied().unwrap_or_default();
        let record = loop {
            if progress.source > self.extensions.len() {
                break None;
            }
            match self.record(port, progress, now) {
                Some(record) if progress.record < MAX_RECORDS => break Some(record),
                _ => progress = SaveProgress { source: progress.source + 1, record: 0 },
            }
        };
        if let Some(record) = &record {
            let length = record.data.len();
            if length > MAX_SAVE_DATA {
                return Err(SwitchError::RecordTooLong { id: record.extension, length });
            }
            if length > room {
                self.saves.insert(port, progress);
                return Err(SwitchError::BufferTooShort { needed: length, given: room });
            }
            progress.record += 1;
        }
        self.saves.insert(port, progress);
        Ok(record)
    }

    /// `OID_SWITCH_NIC_SAVE_COMPLETE`: the sequence is over; the next save begins anew.
    ///
    /// # Errors
    /// There is no connected NIC.
    pub fn complete_nic_save(&mut self, port: PortId) -> Result<(), SwitchError> {
        self.nic_in(port, NicState::Connected, "NIC_SAVE_COMPLETE")?;
        self.saves.remove(&port);
        self.changed(port, Event::NicSaveComplete);
        Ok(())
    }

    /// Saves the NIC with its port in one sequence.
    ///
    /// # Errors
    /// As [`VSwitch::save_nic`].
    pub fn save_whole_nic(&mut self, port: PortId, now: Cycles) -> Result<SavedNic, SwitchError> {
        let nic = self.nic_in(port, NicState::Connected, "NIC_SAVE")?.parameters.clone();
        self.saves.remove(&port);
        let mut records = Vec::new();
        while let Some(record) = self.save_nic(port, MAX_SAVE_DATA, now)? {
            records.push(record);
        }
        self.complete_nic_save(port)?;
        let found = self.existing(port)?;
        Ok(SavedNic { port: found.parameters.clone(), policy: found.policy.clone(), nic, records })
    }

    /// `OID_SWITCH_NIC_RESTORE`: gives a record to the extension that it is of; one that is not here passes it over.
    ///
    /// # Errors
    /// There is no connected NIC, or the record is damaged.
    pub fn restore_nic(
        &mut self,
        port: PortId,
        record: &SavedRecord,
        now: Cycles,
    ) -> Result<(), SwitchError> {
        self.nic_in(port, NicState::Connected, "NIC_RESTORE")?;
        let length = record.data.len();
        if length > MAX_SAVE_DATA {
            return Err(SwitchError::RecordTooLong { id: record.extension, length });
        }
        if record.extension == ACL {
            self.restore_connections(port, &record.data, now)?;
        } else if let Some(owner) = self.extensions.iter_mut().find(|owner| owner.id() == record.extension) {
            owner.restore(port, &record.data);
        }
        self.existing_mut(port)?.restoring = true;
        self.touch();
        Ok(())
    }

    /// `OID_SWITCH_NIC_RESTORE_COMPLETE`.
    ///
    /// # Errors
    /// There is no connected NIC.
    pub fn complete_nic_restore(&mut self, port: PortId) -> Result<(), SwitchError> {
        self.nic_in(port, NicState::Connected, "NIC_RESTORE_COMPLETE")?;
        self.existing_mut(port)?.restoring = false;
        self.changed(port, Event::NicRestoreComplete);
        Ok(())
    }

    fn record(&mut self, port: PortId, progress: SaveProgress, now: Cycles) -> Option<SavedRecord> {
        let Some(index) = progress.source.checked_sub(1) else {
            let table = self.port(port)?.connections.as_ref().filter(|_| progress.record == 0)?;
            let data = encode(table, self.cycles_per_second, now);
            return Some(SavedRecord { extension: ACL, name: ACL_NAME.to_owned(), data });
        };
        let extension = self.extensions.get_mut(index)?;
        let data = extension.save(port, progress.record)?;
        Some(SavedRecord { extension: extension.id(), name: extension.name().to_owned(), data })
    }

    fn restore_connections(&mut self, port: PortId, data: &[u8], now: Cycles) -> Result<(), SwitchError> {
        let clock = self.cycles_per_second;
        let found = self.existing_mut(port)?;
        let Some(table) = &found.connections else { return Ok(()) };
        let restored = decode(data, table.idle(), clock, now)
            .map_err(|reason| SwitchError::RecordInvalid { what: ACL_NAME, reason })?;
        found.connections = Some(Arc::new(restored));
        Ok(())
    }
}

/// The key, then fingerprint and idle milliseconds of each connection; all numbers of 8 bytes, big-endian.
fn encode(table: &Connections, clock: u64, now: Cycles) -> Vec<u8> {
    let mut words = vec![table.key()];
    for (fingerprint, idle) in table.save(now) {
        let milliseconds = u128::from(idle) * 1000 / u128::from(clock.max(1));
        words.extend([fingerprint, u64::try_from(milliseconds).unwrap_or(u64::MAX)]);
    }
    words.into_iter().flat_map(u64::to_be_bytes).collect()
}

fn decode(data: &[u8], idle: Cycles, clock: u64, now: Cycles) -> Result<Connections, &'static str> {
    let (words, rest) = data.as_chunks::<8>();
    let words: Vec<u64> = words.iter().map(|&word| u64::from_be_bytes(word)).collect();
    let [key, connections @ ..] = &*words else { return Err("it has no key") };
    let (connections, odd) = connections.as_chunks::<2>();
    if !rest.is_empty() || !odd.is_empty() {
        return Err("its length is not that of whole connections");
    }
    if connections.len() > MAX_CONNECTIONS {
        return Err("it has more connections than a port can have");
    }
    let table = Connections::new(*key, idle);
    for &[fingerprint, milliseconds] in connections {
        let age = u128::from(milliseconds) * u128::from(clock) / 1000;
        table.restore((fingerprint, u64::try_from(age).unwrap_or(u64::MAX)), now);
    }
    Ok(table)
}
