//! VMs and their adapters, as requests of the API show and change them.

use api::types::{EventKind, PlannedChange, PlannedKind, VmAdapterView, VmView};
use api::{ApiError, MergePatch};
use virt_stack::desired::{AdapterSpec, Name, VmSpec};

use super::error::DaemonError;
use super::plan;
use super::{Changing, Core};

impl Core {
    /// Has `wanted` be all VMs that there are, and tells what that changed. If it fails nothing has changed.
    pub(super) fn commit(
        &self,
        changing: &mut Changing,
        wanted: Vec<VmSpec>,
    ) -> Result<Vec<PlannedChange>, DaemonError> {
        let changes = plan::changes(&changing.vms, &wanted);
        self.want(changing, wanted)?;
        for change in &changes {
            let about = (change.vm.as_str(), change.adapter.as_deref());
            self.chronicle.tell(EventKind::Desired, about, sentence(change));
        }
        Ok(changes)
    }

    /// How many VMs there are.
    pub(crate) fn number_of_vms(&self) -> usize {
        self.lock().vms.len()
    }

    pub(super) fn vms(&self) -> Result<Vec<VmView>, DaemonError> {
        let changing = self.lock();
        let mut synthetic = match &changing.data_path {
            Some(data_path) => data_path.netvsp.inspect()?,
            None => Default::default(),
        };
        Ok(self.vm_views(&changing, &mut synthetic))
    }

    pub(super) fn vm(&self, name: &str) -> Result<VmView, DaemonError> {
        let mut vms = self.vms()?;
        let found = vms.iter().position(|vm| vm.name == name);
        found.map(|place| vms.swap_remove(place)).ok_or_else(|| DaemonError::NoSuchVm {
            name: name.to_owned(),
            known: vms.into_iter().map(|vm| vm.name).collect(),
        })
    }

    pub(super) fn adapter_view(&self, vm: &str, name: &str) -> Result<VmAdapterView, DaemonError> {
        let mut adapters = self.vm(vm)?.adapters;
        let found = adapters.iter().position(|adapter| adapter.name == name);
        found.map(|place| adapters.swap_remove(place)).ok_or_else(|| DaemonError::NoSuchAdapter {
            vm: vm.to_owned(),
            name: name.to_owned(),
            known: adapters.into_iter().map(|adapter| adapter.name).collect(),
        })
    }

    pub(super) fn create_vm(&self, vm: VmSpec) -> Result<VmView, ApiError> {
        let name = vm.name.to_string();
        let mut changing = self.lock();
        if changing.vms.iter().any(|known| known.name == vm.name) {
            return Err(DaemonError::VmExists(name).into());
        }
        let mut wanted = changing.vms.clone();
        wanted.push(vm);
        self.commit(&mut changing, wanted)?;
        drop(changing);
        Ok(self.vm(&name)?)
    }

    pub(super) fn patch_vm(&self, name: &str, patch: &MergePatch) -> Result<VmView, ApiError> {
        let mut changing = self.lock();
        let mut wanted = changing.vms.clone();
        let vm = find_vm(&mut wanted, name)?;
        *vm = patch.apply(vm)?;
        self.commit(&mut changing, wanted)?;
        drop(changing);
        Ok(self.vm(name)?)
    }

    pub(super) fn delete_vm(&self, name: &str) -> Result<(), ApiError> {
        let mut changing = self.lock();
        let mut wanted = changing.vms.clone();
        find_vm(&mut wanted, name)?;
        wanted.retain(|vm| vm.name.as_str() != name);
        self.commit(&mut changing, wanted)?;
        Ok(())
    }

    pub(super) fn create_adapter(
        &self,
        vm_name: &str,
        mut adapter: AdapterSpec,
    ) -> Result<VmAdapterView, ApiError> {
        let mut changing = self.lock();
        let mut wanted = changing.vms.clone();
        let vm = find_vm(&mut wanted, vm_name)?;
        let taken: Vec<Name> = vm.named_adapters().map(|(name, _)| name).collect();
        let free = || (0..).map(Name::of_adapter).find(|name| !taken.contains(name));
        let Some(name) = adapter.name.clone().or_else(free) else {
            return Err(DaemonError::TooManyAdapters(self.config.daemon.max_adapters).into());
        };
        if taken.contains(&name) {
            return Err(DaemonError::AdapterExists(format!("{vm_name}/{name}")).into());
        }
        adapter.name = Some(name.clone());
        vm.adapters.push(adapter);
        self.commit(&mut changing, wanted)?;
        drop(changing);
        Ok(self.adapter_view(vm_name, name.as_str())?)
    }

    pub(super) fn patch_adapter(
        &self,
        vm_name: &str,
        name: &str,
        patch: &MergePatch,
    ) -> Result<VmAdapterView, ApiError> {
        let mut changing = self.lock();
        let mut wanted = changing.vms.clone();
        let vm = find_vm(&mut wanted, vm_name)?;
        let place = find_adapter(vm, name)?;
        let adapter = &mut vm.adapters[place];
        *adapter = patch.apply(adapter)?;
        self.commit(&mut changing, wanted)?;
        drop(changing);
        Ok(self.adapter_view(vm_name, name)?)
    }

    pub(super) fn delete_adapter(&self, vm_name: &str, name: &str) -> Result<(), ApiError> {
        let mut changing = self.lock();
        let mut wanted = changing.vms.clone();
        let vm = find_vm(&mut wanted, vm_name)?;
        let place = find_adapter(vm, name)?;
        // Those behind it keep their names, which may come from their places.
        let names: Vec<Name> = vm.named_adapters().map(|(name, _)| name).collect();
        for (adapter, name) in vm.adapters.iter_mut().zip(names).skip(place) {
            adapter.name = Some(name);
        }
        vm.adapters.remove(place);
        self.commit(&mut changing, wanted)?;
        Ok(())
    }
}

fn find_vm<'a>(vms: &'a mut [VmSpec], name: &str) -> Result<&'a mut VmSpec, DaemonError> {
    let known = vms.iter().map(|vm| vm.name.to_string()).collect();
    let found = vms.iter_mut().find(|vm| vm.name.as_str() == name);
    found.ok_or_else(|| DaemonError::NoSuchVm { name: name.to_owned(), known })
}

fn find_adapter(vm: &VmSpec, name: &str) -> Result<usize, DaemonError> {
    let found = vm.named_adapters().position(|(known, _)| known.as_str() == name);
    found.ok_or_else(|| DaemonError::NoSuchAdapter {
        vm: vm.name.to_string(),
        name: name.to_owned(),
        known: vm.named_adapters().map(|(name, _)| name.to_string()).collect(),
    })
}

fn sentence(change: &PlannedChange) -> String {
    let whose = match &change.adapter {
        Some(adapter) => format!("{}/{adapter}", change.vm),
        None => format!("VM {}", change.vm),
    };
    match change.kind {
        PlannedKind::Added => format!("{whose} is added"),
        PlannedKind::Removed => format!("{whose} is removed"),
        PlannedKind::Changed => format!("{whose} is changed: {}", change.details.join(", ")),
    }
}
