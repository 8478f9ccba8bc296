//! What NDIS answers itself, and the queries that the driver answers.

use nic_switch::{
    FilterId, FunctionId, NicSwitch, QueueCapabilities, QueueId, SwitchParameters, VPort, VPortId, Vf, VfId,
};

use super::Adapter;
use crate::keywords::Mode;
use crate::payload::{
    FilterInfo, Payload, ReceiveFilterCapabilities, ReceiveFilterGlobalParameters, SriovCapabilities,
    SwitchInfo, VPortInfo, VfInfo,
};
use crate::refusal::Refusal;
use crate::request::OidRequest;

impl Adapter {
    /// Answers a request that changes nothing.
    pub(crate) fn query(&self, request: &OidRequest) -> Result<Payload, Refusal> {
        match *request {
            OidRequest::SriovHardwareCapabilities | OidRequest::SriovCurrentCapabilities => {
                Ok(Payload::Sriov(SriovCapabilities {
                    supported: true,
                    pf_miniport: true,
                    vf_miniport: false,
                }))
            }
            OidRequest::NicSwitchHardwareCapabilities | OidRequest::NicSwitchCurrentCapabilities => {
                Ok(Payload::NicSwitch(self.config.capabilities.clone()))
            }
            OidRequest::ReceiveFilterHardwareCapabilities => {
                Ok(Payload::ReceiveFilter(self.receive_filters(&(&self.config.capabilities).into())))
            }
            OidRequest::ReceiveFilterCurrentCapabilities => {
                Ok(Payload::ReceiveFilter(self.receive_filters(&self.current_queue_capabilities())))
            }
            OidRequest::ReceiveFilterGlobalParameters => {
                Ok(Payload::ReceiveFilterGlobal(ReceiveFilterGlobalParameters {
                    vmq_filters_enabled: true,
                    vm_queues_enabled: self.mode() == Mode::Vmq,
                }))
            }
            OidRequest::SwitchParameters => Ok(Payload::Switch(switch_parameters(self.standing()?))),
            OidRequest::EnumSwitches => Ok(Payload::Switches(vec![switch_info(self.standing()?)])),
            OidRequest::VfParameters(vf) => Ok(Payload::Vf(self.vf_info(vf)?)),
            OidRequest::EnumVfs => {
                let vfs = self.standing()?.vfs().map(|vf| self.vf_info(vf.id()));
                Ok(Payload::Vfs(vfs.collect::<Result<_, _>>()?))
            }
            OidRequest::VPortParameters(vport) => Ok(Payload::VPort(self.vport_info(vport)?)),
            OidRequest::EnumVPorts { function } => self.enum_vports(function),
            OidRequest::EnumFilters(vport) => self.enum_filters(vport),
            OidRequest::FilterParameters(filter) => Ok(Payload::Filter(self.filter_info(filter)?)),
            OidRequest::ReadVfConfigSpace { vf, offset, length } => {
                self.driver.read_config_space(vf, offset, length).map(Payload::Bytes)
            }
            OidRequest::ReadVfConfigBlock { vf, block, length } => {
                self.driver.read_config_block(vf, block, length).map(Payload::Bytes)
            }
            OidRequest::VfVendorDeviceId(vf) => {
                let (vendor, device) = self.driver.vendor_device_id(vf)?;
                Ok(Payload::VendorDeviceId { vf, vendor, device })
            }
            OidRequest::ProbedBars => Ok(Payload::ProbedBars(self.driver.probed_bars())),
            OidRequest::BarResources { vf, bar } => {
                let (start, length) = self.driver.bar_resources(vf, bar)?;
                Ok(Payload::BarResources { vf, bar, start, length })
            }
            OidRequest::PfLuid => Ok(Payload::PfLuid(self.config.luid)),
            OidRequest::PortSecurity(vport) => {
                let security = Box::new(self.nondefault_vport(vport)?.security().clone());
                Ok(Payload::PortSecurity { vport, security })
            }
            OidRequest::ReceiveMode(vport) => {
                let mode = Box::new(self.nondefault_vport(vport)?.receive_mode().clone());
                Ok(Payload::ReceiveMode { vport, mode })
            }
            _ => Err(Refusal::NotSupported { oid: request.oid().0 }),
        }
    }

    /// What of the VM queues is in use: with SR-IOV on there are none, but the same filters (ndis.md B.6).
    fn current_queue_capabilities(&self) -> QueueCapabilities {
        match self.mode() {
            Mode::Vmq => self.queue_capabilities(),
            _ => QueueCapabilities { max_queues: 0, ..(&self.config.capabilities).into() },
        }
    }

    /// What is enabled goes by the adapter's mode, whatever the hardware could do.
    fn receive_filters(&self, capabilities: &QueueCapabilities) -> ReceiveFilterCapabilities {
        ReceiveFilterCapabilities {
            vmq_filters_enabled: matches!(self.mode(), Mode::SrIov | Mode::Vmq),
            vm_queues_enabled: self.mode() == Mode::Vmq,
            vlan: capabilities.vlan_filtering,
            max_mac_header_filters: capabilities.max_filters,
            num_queues: capabilities.max_queues,
        }
    }

    fn standing(&self) -> Result<&NicSwitch, Refusal> {
        self.switch().ok_or(Refusal::NoSwitch)
    }

    fn vport(&self, vport: VPortId) -> Result<&VPort, Refusal> {
        self.standing()?.vport(vport).ok_or(Refusal::UnknownVPort { vport })
    }

    /// The default VPort has neither a port security nor a receive mode.
    fn nondefault_vport(&self, vport: VPortId) -> Result<&VPort, Refusal> {
        if vport == VPortId::DEFAULT {
            return Err(nic_switch::SwitchError::DefaultVPort.into());
        }
        self.vport(vport)
    }

    /// The VF, if it is allocated.
    pub(super) fn vf_info(&self, vf: VfId) -> Result<VfInfo, Refusal> {
        let allocated: &Vf = self.standing()?.vf(vf).ok_or(Refusal::UnknownVf { vf })?;
        Ok(VfInfo {
            vf,
            // Segment 0.
            requestor_id: self.driver.rid(vf)?.to_bits().into(),
            generation: self.driver.generation(vf)?,
            parameters: allocated.parameters().clone(),
        })
    }

    /// The VPort, if it exists.
    pub(super) fn vport_info(&self, id: VPortId) -> Result<VPortInfo, Refusal> {
        let vport = self.vport(id)?;
        Ok(VPortInfo {
            vport: id,
            function: vport.function(),
            queue_pairs: vport.queue_pairs(),
            interrupt_moderation: vport.interrupt_moderation(),
            state: vport.state(),
            affinity: vport.affinity(),
            name: vport.name().to_owned(),
            num_filters: count(self.standing()?.filters_on(id).count()),
        })
    }

    fn enum_vports(&self, function: Option<FunctionId>) -> Result<Payload, Refusal> {
        if let Some(FunctionId::Vf(vf)) = function {
            self.vf_info(vf)?;
        }
        let wanted = |vport: &&VPort| function.is_none_or(|function| vport.function() == function);
        let vports = self.standing()?.vports().filter(wanted).map(|vport| self.vport_info(vport.id()));
        Ok(Payload::VPorts(vports.collect::<Result<_, _>>()?))
    }

    /// The filter, if it exists.
    pub(super) fn filter_info(&self, filter: FilterId) -> Result<FilterInfo, Refusal> {
        let found = self.standing()?.filter(filter).ok_or(Refusal::UnknownFilter { filter })?;
        Ok(FilterInfo { filter, vport: found.vport(), queue: QueueId::DEFAULT, test: found.test() })
    }

    fn enum_filters(&self, vport: VPortId) -> Result<Payload, Refusal> {
        self.vport(vport)?;
        let filters = self.standing()?.filters_on(vport).map(|filter| self.filter_info(filter.id()));
        Ok(Payload::Filters { vport, filters: filters.collect::<Result<_, _>>()? })
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn switch_parameters(switch: &NicSwitch) -> SwitchParameters {
    SwitchParameters {
        num_vfs: switch.num_vfs(),
        queue_pairs_for_default_vport: switch.info().num_queue_pairs_for_default_vport,
        name: switch.name().to_owned(),
    }
}

fn switch_info(switch: &NicSwitch) -> SwitchInfo {
    let info = switch.info();
    SwitchInfo {
        name: switch.name().to_owned(),
        num_vfs: info.num_vfs,
        num_allocated_vfs: count(info.num_allocated_vfs),
        num_vports: info.num_vports,
        num_active_vports: count(info.num_active_vports),
        queue_pairs_for_default_vport: info.num_queue_pairs_for_default_vport,
        queue_pairs_for_nondefault_vports: info.num_queue_pairs_for_nondefault_vports,
        default_vport_macs: count(info.num_default_vport_macs),
        nondefault_vport_macs: count(info.num_nondefault_vport_macs),
        default_vport_vlans: count(info.num_default_vport_vlans),
        nondefault_vport_vlans: count(info.num_nondefault_vport_vlans),
    }
}
