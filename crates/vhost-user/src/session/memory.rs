//! Changes of the memory table.

use super::state::{State, refused};
use crate::backend::{Backend, MemoryChange};
use crate::memory::{MemoryRegion, SharedRegion, Table};
use crate::reason::{Counters, Reason};

impl State {
    /// A new table in place of the one before. The rings pause meanwhile and go on where they stood, those at least
    /// that are in the new table, too.
    pub(super) fn set_mem_table(
        &mut self,
        regions: impl IntoIterator<Item = SharedRegion>,
        backend: &mut dyn Backend,
        counters: &mut Counters,
    ) -> Result<(), Reason> {
        let table = Table::new(regions)?;
        if table.regions().len() > self.limits.memory_slots.into() {
            return Err(Reason::RegionCount);
        }
        self.pause_all(backend);
        self.memory = table;
        if let Err(errno) = backend.change_memory(MemoryChange::Replace(self.memory.regions())) {
            self.memory = Table::default();
            return Err(refused(errno));
        }
        self.start_fit(backend, counters);
        Ok(())
    }

    pub(super) fn add_region(
        &mut self,
        region: SharedRegion,
        backend: &mut dyn Backend,
        counters: &mut Counters,
    ) -> Result<(), Reason> {
        self.memory.check(&region.region)?;
        if self.memory.regions().len() >= self.limits.memory_slots.into() {
            return Err(Reason::RegionCount);
        }
        backend.change_memory(MemoryChange::Add(&region)).map_err(refused)?;
        self.memory.push(region);
        // A log that covered the table before may be too small now.
        self.stop_unfit(backend);
        self.start_fit(backend, counters);
        Ok(())
    }

    pub(super) fn remove_region(
        &mut self,
        name: &MemoryRegion,
        backend: &mut dyn Backend,
        counters: &mut Counters,
    ) -> Result<(), Reason> {
        let at = self.memory.find(name).ok_or(Reason::RegionUnknown)?;
        let region = self.memory.remove(at);
        self.stop_unfit(backend);
        let removed = backend.change_memory(MemoryChange::Remove(&region.region)).map_err(refused);
        if removed.is_err() {
            self.memory.push(region);
        }
        self.start_fit(backend, counters);
        removed
    }
}
