//! The physical function and its virtual functions (PCIe 9.2, 9.3).

use std::sync::Arc;

use sys::Words;

use crate::bar::BarWidth;
use crate::config_space::{self, AccessError, ConfigSpace, ResetKind, StorageError};
use crate::effects::{ConfigEffect, ConfigEffects, PowerState};
use crate::layout::{ConfigLayout, LayoutError};
use crate::profile::PfProfile;
use crate::registers::{bar::ATTRIBUTES, sriov};
use crate::rid::{Rid, RidOverflow};
use crate::sriov::{SriovParameters, vf_bar_size};

/// Which function of the adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// The PF.
    Physical,
    /// The VF of this index, from zero: the specification's VF 1 is index 0.
    Virtual(u16),
}

/// The memory of a PF and of all its VFs, [`ConfigSpace::WORDS`] each.
#[derive(Clone, Debug)]
pub struct PfStorage {
    /// Config space of the PF.
    pub physical: Words,
    /// Config space of each VF that there can be; as many as TotalVFs.
    pub virtuals: Vec<Words>,
}

impl PfStorage {
    /// Memory that ends with the process.
    #[must_use]
    pub fn heap(total_vfs: u16) -> Self {
        let space = || Words::heap(ConfigSpace::WORDS);
        Self { physical: space(), virtuals: (0..total_vfs).map(|_| space()).collect() }
    }
}

/// Why there is no such physical function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PfError {
    /// The profile describes no function.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The VFs do not fit behind the PF.
    #[error(transparent)]
    Rid(#[from] RidOverflow),
    /// The memory of one function is too small or holds something else.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is not one memory for each VF.
    #[error("there is memory for {found} VFs; TotalVFs is {total_vfs}")]
    VfStorage {
        /// TotalVFs.
        total_vfs: u16,
        /// Memories there.
        found: usize,
    },
    /// The memory says that more VFs are enabled than there can be.
    #[error("the memory has VF Enable set with {num_vfs} VFs; it can only be 1 to {total_vfs}")]
    NumVfs {
        /// TotalVFs.
        total_vfs: u16,
        /// NumVFs in the memory.
        num_vfs: u16,
    },
}

/// Why virtualization was not enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VirtualizationError {
    /// It is enabled already.
    #[error("{num_vfs} VFs are enabled; disable virtualization before enabling it with another number")]
    AlreadyEnabled {
        /// VFs that are enabled.
        num_vfs: u16,
    },
    /// The number of VFs is out of range.
    #[error("{requested} VFs cannot be enabled; the adapter has 1 to {total_vfs}")]
    NumVfs {
        /// VFs asked for.
        requested: u16,
        /// TotalVFs.
        total_vfs: u16,
    },
}

/// A VF that is not enabled was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("VF index {index} does not exist; {num_vfs} VFs are enabled")]
pub struct NoSuchVf {
    /// The index that was named.
    pub index: u16,
    /// VFs that are enabled.
    pub num_vfs: u16,
}

/// The memory range of one VF in a VF BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VfBarRange {
    /// First address.
    pub address: u64,
    /// Bytes.
    pub size: u64,
}

/// A virtual function. Its config space answers only while VF Enable is set and NumVFs covers it.
#[derive(Clone, Debug)]
pub struct VirtualFunction {
    index: u16,
    rid: Rid,
    config: ConfigSpace,
}

impl VirtualFunction {
    /// Index from zero.
    #[must_use]
    pub fn index(&self) -> u16 {
        self.index
    }

    /// Requester id, which names its DMA domain.
    #[must_use]
    pub fn rid(&self) -> Rid {
        self.rid
    }

    /// Config space; a clone of it stays a handle to this VF and goes dead with it.
    #[must_use]
    pub fn config(&self) -> &ConfigSpace {
        &self.config
    }
}

/// The physical function with its virtual functions.
#[derive(Debug)]
pub struct PhysicalFunction {
    rid: Rid,
    config: ConfigSpace,
    /// Every VF that there can be, present or not.
    vfs: Vec<VirtualFunction>,
}

impl PhysicalFunction {
    /// The PF after power-on, without VFs.
    ///
    /// # Errors
    /// [`PfError`] if the profile, the routing ids or the memory do not fit.
    pub fn create(rid: Rid, profile: &PfProfile, storage: PfStorage) -> Result<Self, PfError> {
        let config = ConfigSpace::create(Arc::new(profile.layout(rid)?), storage.physical)?;
        Self::with_vfs(rid, profile, config, storage.virtuals, 0)
    }

    /// Goes on with the PF and the VFs that a process has left in `storage`.
    ///
    /// # Errors
    /// [`PfError`] if `storage` does not hold a PF of this profile.
    pub fn attach(rid: Rid, profile: &PfProfile, storage: PfStorage) -> Result<Self, PfError> {
        let config = ConfigSpace::attach(Arc::new(profile.layout(rid)?), storage.physical)?;
        let enabled = config.word(sriov::CONTROL_WORD) & sriov::VF_ENABLE != 0;
        let num_vfs = if enabled { config.num_vfs_register() } else { 0 };
        if enabled && !(1..=profile.total_vfs).contains(&num_vfs) {
            return Err(PfError::NumVfs { total_vfs: profile.total_vfs, num_vfs });
        }
        Self::with_vfs(rid, profile, config, storage.virtuals, num_vfs)
    }

    /// Joins `config` with its VFs, of which the first `num_vfs` were enabled by a process before.
    fn with_vfs(
        rid: Rid,
        profile: &PfProfile,
        config: ConfigSpace,
        storage: Vec<Words>,
        num_vfs: u16,
    ) -> Result<Self, PfError> {
        let total_vfs = profile.total_vfs;
        if storage.len() != usize::from(total_vfs) {
            return Err(PfError::VfStorage { total_vfs, found: storage.len() });
        }
        let layout = Arc::new(profile.vf.layout()?);
        let vfs = (0..total_vfs)
            .zip(storage)
            .map(|(index, words)| {
                let rid = profile.routing.rid(rid, index)?;
                let config = vf_config(&layout, words, index < num_vfs)?;
                Ok(VirtualFunction { index, rid, config })
            })
            .collect::<Result<_, PfError>>()?;
        Ok(Self { rid, config, vfs })
    }

    /// Requester id of the PF.
    #[must_use]
    pub fn rid(&self) -> Rid {
        self.rid
    }

    /// The SR-IOV capability.
    #[must_use]
    pub fn sriov(&self) -> &SriovParameters {
        self.config.layout().sriov().expect("PfProfile::layout adds the SR-IOV capability")
    }

    /// Number of VFs that exist now: NumVFs while VF Enable is set, else 0.
    #[must_use]
    pub fn num_vfs(&self) -> u16 {
        if self.config.word(sriov::CONTROL_WORD) & sriov::VF_ENABLE == 0 {
            return 0;
        }
        self.config.num_vfs_register()
    }

    /// Requester id of the VF `index`, enabled or not.
    ///
    /// # Errors
    /// [`RidOverflow`] if `index` is so large that no function can lie there.
    pub fn vf_rid(&self, index: u16) -> Result<Rid, RidOverflow> {
        self.sriov().routing.rid(self.rid, index)
    }

    /// The function that answers at `rid` now.
    #[must_use]
    pub fn function_at(&self, rid: Rid) -> Option<Function> {
        if rid == self.rid {
            return Some(Function::Physical);
        }
        let index = self.sriov().routing.index_of(self.rid, rid)?;
        (index < self.num_vfs()).then_some(Function::Virtual(index))
    }

    /// The VF `index`.
    ///
    /// # Errors
    /// [`NoSuchVf`] if it is not enabled.
    pub fn virtual_function(&self, index: u16) -> Result<&VirtualFunction, NoSuchVf> {
        self.virtual_functions()
            .get(usize::from(index))
            .ok_or_else(|| NoSuchVf { index, num_vfs: self.num_vfs() })
    }

    /// The VFs that exist now, by index.
    #[must_use]
    pub fn virtual_functions(&self) -> &[VirtualFunction] {
        &self.vfs[..usize::from(self.num_vfs())]
    }

    /// Reads config space of the function at `rid`, as [`ConfigSpace::read`]; without a function all ones.
    ///
    /// # Errors
    /// [`AccessError`] for another width or a range that leaves config space.
    pub fn config_read(&self, rid: Rid, offset: u16, length: usize) -> Result<u32, AccessError> {
        match self.function_at(rid) {
            Some(function) => self.space(function).read(offset, length),
            None => {
                config_space::check_access(offset, length)?;
                Ok(u32::MAX >> (32 - 8 * length))
            }
        }
    }

    /// Reads any number of bytes, as [`ConfigSpace::read_bytes`]; without a function all ones.
    ///
    /// # Errors
    /// [`AccessError::Range`] for a range that leaves config space.
    pub fn config_read_bytes(&self, rid: Rid, offset: u16, data: &mut [u8]) -> Result<(), AccessError> {
        match self.function_at(rid) {
            Some(function) => self.space(function).read_bytes(offset, data),
            None => {
                config_space::check_range(offset, data.len())?;
                data.fill(0xff);
                Ok(())
            }
        }
    }

    /// Writes config space of the function at `rid`, as [`ConfigSpace::write`]; without a function it is ignored.
    ///
    /// A PF write that changes VF Enable makes the VFs appear or vanish before it returns; the owner ends the DMA of
    /// VFs that vanished before it answers the access.
    ///
    /// # Errors
    /// [`AccessError`] for another width or a range that leaves config space.
    pub fn config_write(
        &mut self,
        rid: Rid,
        offset: u16,
        data: &[u8],
    ) -> Result<Option<(Function, ConfigEffects)>, AccessError> {
        config_space::check_access(offset, data.len())?;
        let Some(function) = self.function_at(rid) else { return Ok(None) };
        let effects = self.space(function).write(offset, data)?;
        if function == Function::Physical {
            self.follow(&effects);
        }
        Ok(Some((function, effects)))
    }

    /// Sets NumVFs, VF Enable and VF MSE, as `NdisMEnableVirtualization` does for the PF's driver.
    ///
    /// # Errors
    /// [`VirtualizationError`] if VFs are enabled already or `num_vfs` is not 1..=TotalVFs.
    pub fn enable_virtualization(&mut self, num_vfs: u16) -> Result<ConfigEffects, VirtualizationError> {
        let total_vfs = self.sriov().total_vfs;
        if self.num_vfs() > 0 {
            return Err(VirtualizationError::AlreadyEnabled { num_vfs: self.num_vfs() });
        }
        if !(1..=total_vfs).contains(&num_vfs) {
            return Err(VirtualizationError::NumVfs { requested: num_vfs, total_vfs });
        }
        Ok(self.change_sriov(|config| {
            config.write_word(sriov::NUM_VFS_WORD, u32::from(num_vfs), sriov::NUM_VFS);
            let enable = sriov::VF_ENABLE | sriov::VF_MSE;
            config.write_word(sriov::CONTROL_WORD, enable, enable);
        }))
    }

    /// Clears VF Enable, VF MSE and NumVFs. Without effect if no VF is enabled.
    pub fn disable_virtualization(&mut self) -> ConfigEffects {
        self.change_sriov(|config| {
            config.write_word(sriov::CONTROL_WORD, 0, sriov::VF_ENABLE | sriov::VF_MSE);
            config.write_word(sriov::NUM_VFS_WORD, 0, sriov::NUM_VFS);
        })
    }

    /// Resets the PF, and with it takes all VFs away (PCIe 9.2.2.2, 9.2.2.3).
    pub fn reset(&mut self, kind: ResetKind) -> ConfigEffects {
        let effects = self.config.reset(kind);
        self.follow(&effects);
        effects
    }

    /// Function level reset of one VF, as its own Device Control would do; no other function notices.
    ///
    /// # Errors
    /// [`NoSuchVf`] if it is not enabled.
    pub fn reset_vf(&mut self, index: u16) -> Result<ConfigEffects, NoSuchVf> {
        Ok(self.virtual_function(index)?.config.reset(ResetKind::FunctionLevel))
    }

    /// Power state of one VF.
    ///
    /// # Errors
    /// [`NoSuchVf`] if it is not enabled.
    pub fn set_vf_power_state(&mut self, index: u16, state: PowerState) -> Result<ConfigEffects, NoSuchVf> {
        Ok(self.virtual_function(index)?.config.set_power_state(state))
    }

    /// What the six VF BARs read after all ones are written to them; 0 where there is none.
    #[must_use]
    pub fn probed_vf_bars(&self) -> [u32; 6] {
        std::array::from_fn(|index| {
            let word = sriov::VF_BAR0_WORD + index;
            let register = self.config.layout().register(word);
            self.config.ruled(word, 0, register.reset | register.writable)
        })
    }

    /// Where the VF `index` answers for its BAR `bar`, by the VF BARs of the SR-IOV capability: every VF takes the
    /// range after that of the VF before. `None` if the VF is not enabled or has no such BAR.
    #[must_use]
    pub fn vf_bar(&self, index: u16, bar: u8) -> Option<VfBarRange> {
        self.virtual_function(index).ok()?;
        let bar = self.sriov().vf_bar(bar)?;
        let size = vf_bar_size(bar, self.config.word(sriov::SYSTEM_PAGE_SIZE_WORD));
        let first = sriov::VF_BAR0_WORD + usize::from(bar.index);
        let high = if bar.width == BarWidth::Bits64 { self.config.word(first + 1) } else { 0 };
        let base = u64::from(high) << 32 | u64::from(self.config.word(first) & !ATTRIBUTES);
        let address = size.checked_mul(u64::from(index)).and_then(|distance| base.checked_add(distance))?;
        Some(VfBarRange { address, size })
    }

    fn space(&self, function: Function) -> &ConfigSpace {
        match function {
            Function::Physical => &self.config,
            Function::Virtual(index) => &self.vfs[usize::from(index)].config,
        }
    }

    /// Changes the PF's SR-IOV registers and reports it like a write.
    fn change_sriov(&mut self, change: impl FnOnce(&ConfigSpace)) -> ConfigEffects {
        let effects = self.config.effects_of(|_| change(&self.config));
        self.follow(&effects);
        effects
    }

    /// Lets VFs appear and vanish as VF Enable says.
    fn follow(&mut self, effects: &ConfigEffects) {
        for effect in effects {
            if let ConfigEffect::VfEnableChanged { enabled, num_vfs } = *effect {
                for vf in &self.vfs[..usize::from(num_vfs)] {
                    if enabled { vf.config.power_on() } else { vf.config.vanish() }
                }
            }
        }
    }
}

/// Config space of a VF: if it is `enabled` the one left there, else one that is absent.
///
/// A process can end between VF Enable and the birth of the VF: then the VF is born now.
fn vf_config(layout: &Arc<ConfigLayout>, words: Words, enabled: bool) -> Result<ConfigSpace, StorageError> {
    let layout = Arc::clone(layout);
    if enabled && ConfigSpace::is_left_present(&words) {
        return ConfigSpace::attach(layout, words);
    }
    let config = ConfigSpace::create(layout, words)?;
    if !enabled {
        config.vanish();
    }
    Ok(config)
}

#[cfg(test)]
mod tests;
