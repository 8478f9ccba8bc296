//! Structures to typed requests.

use ethernet::MacAddr;
use nic_switch::{BumPath, FilterTest, LinkState, MulticastTable, VlanSet, VlanTest};
use nic_switch::{
    FilterId, PortSecurity, QueueId, ReceiveMode, SwitchParameters, VPortChanges, VPortId, VfId, VfParameters,
};

use super::array::{ArrayBounds, elements};
use super::{
    Structure, capabilities, constant, filter, flags_within, payload, payload_range, queue, sriov, switch,
    vendor, vf, vport, zero,
};
use crate::oid::{Oid, RequestType};
use crate::refusal::Refusal;
use crate::request::{NewVPort, OidRequest, RawRequest, SwitchChanges};

/// Reads a request whose OID and type the adapter answers.
pub(crate) fn decode_request(oid: Oid, raw: &RawRequest) -> Result<OidRequest, Refusal> {
    let input = raw.input.as_slice();
    let set = raw.request_type == RequestType::Set;
    match oid {
        Oid::SriovHardwareCapabilities => Ok(OidRequest::SriovHardwareCapabilities),
        Oid::SriovCurrentCapabilities => Ok(OidRequest::SriovCurrentCapabilities),
        Oid::NicSwitchHardwareCapabilities => Ok(OidRequest::NicSwitchHardwareCapabilities),
        Oid::NicSwitchCurrentCapabilities => Ok(OidRequest::NicSwitchCurrentCapabilities),
        Oid::ReceiveFilterHardwareCapabilities => Ok(OidRequest::ReceiveFilterHardwareCapabilities),
        Oid::ReceiveFilterCurrentCapabilities => Ok(OidRequest::ReceiveFilterCurrentCapabilities),
        Oid::ReceiveFilterGlobalParameters => global_parameters(raw),
        Oid::NicSwitchCreateSwitch => create_switch(input),
        Oid::NicSwitchParameters if set => set_switch_parameters(input),
        Oid::NicSwitchParameters => {
            switch_zero(switch::SwitchParameters::read(input)?.switch_id.get())?;
            Ok(OidRequest::SwitchParameters)
        }
        Oid::NicSwitchDeleteSwitch => {
            switch_zero(switch::DeleteSwitch::read(input)?.switch_id.get())?;
            Ok(OidRequest::DeleteSwitch)
        }
        Oid::NicSwitchEnumSwitches => Ok(OidRequest::EnumSwitches),
        Oid::NicSwitchAllocateVf => allocate_vf(input),
        Oid::NicSwitchFreeVf => Ok(OidRequest::FreeVf(VfId(vf::FreeVf::read(input)?.vf_id.get()))),
        Oid::NicSwitchVfParameters => {
            Ok(OidRequest::VfParameters(VfId(vf::VfParameters::read(input)?.vf_id.get())))
        }
        Oid::NicSwitchEnumVfs => enum_vfs(input),
        Oid::NicSwitchCreateVPort => create_vport(input),
        Oid::NicSwitchVPortParameters if set => set_vport_parameters(input),
        Oid::NicSwitchVPortParameters => {
            Ok(OidRequest::VPortParameters(VPortId(vport::VPortParameters::read(input)?.vport_id.get())))
        }
        Oid::NicSwitchEnumVPorts => enum_vports(input),
        Oid::NicSwitchDeleteVPort => {
            Ok(OidRequest::DeleteVPort(VPortId(vport::DeleteVPort::read(input)?.vport_id.get())))
        }
        Oid::ReceiveFilterSetFilter => set_filter(input),
        Oid::ReceiveFilterClearFilter => {
            let clear = filter::ClearFilter::read(input)?;
            let filter = FilterId(clear.filter_id.get());
            Ok(match QueueId(clear.queue_id.get()) {
                QueueId::DEFAULT => OidRequest::ClearFilter(filter),
                queue => OidRequest::ClearQueueFilter { queue, filter },
            })
        }
        Oid::ReceiveFilterMoveFilter => move_filter(input),
        Oid::ReceiveFilterEnumFilters => enum_filters(input),
        Oid::ReceiveFilterParameters => {
            Ok(OidRequest::FilterParameters(FilterId(filter::FilterParameters::read(input)?.filter_id.get())))
        }
        Oid::SriovReadVfConfigSpace | Oid::SriovWriteVfConfigSpace => config_space(input, set),
        Oid::SriovReadVfConfigBlock | Oid::SriovWriteVfConfigBlock => config_block(input, set),
        Oid::SriovResetVf => Ok(OidRequest::ResetVf(VfId(sriov::ResetVf::read(input)?.vf_id.get()))),
        Oid::SriovSetVfPowerState => {
            let power = sriov::SetVfPowerState::read(input)?;
            Ok(OidRequest::SetVfPowerState {
                vf: VfId(power.vf_id.get()),
                state: constant::power_state(power.power_state.get())?,
                wake_enable: power.wake_enable != 0,
            })
        }
        Oid::SriovVfVendorDeviceId => {
            Ok(OidRequest::VfVendorDeviceId(VfId(sriov::VendorDeviceId::read(input)?.vf_id.get())))
        }
        Oid::SriovProbedBars => Ok(OidRequest::ProbedBars),
        Oid::SriovBarResources => {
            let bar = sriov::BarResources::read(input)?;
            Ok(OidRequest::BarResources { vf: VfId(bar.vf_id.get()), bar: bar.bar_index.get() })
        }
        Oid::SriovPfLuid => Ok(OidRequest::PfLuid),
        Oid::SriovVfSerialNumber => Ok(OidRequest::VfSerialNumber),
        Oid::VPortPortSecurity => port_security(input, set),
        Oid::VPortReceiveMode => receive_mode(input, set),
        Oid::VfSerialNumber => {
            let serial = vendor::VfSerialNumber::read(input)?;
            Ok(OidRequest::SetVfSerialNumber {
                vf: VfId(serial.vf_id.get()),
                serial_number: serial.serial_number.get(),
            })
        }
        Oid::ReceiveFilterAllocateQueue => queue::allocate_queue(input),
        Oid::ReceiveFilterFreeQueue => queue::free_queue(input),
        Oid::ReceiveFilterEnumQueues => Ok(OidRequest::EnumQueues),
        Oid::ReceiveFilterQueueParameters => queue::queue_parameters(input, set),
        Oid::ReceiveFilterQueueAllocationComplete => queue::complete_queue_allocation(input),
        Oid::PacketCoalescingFilterMatchCount
        | Oid::SriovConfigState
        | Oid::SriovOverlyingAdapterInfo
        | Oid::SriovVfInvalidateConfigBlock => Err(Refusal::NotSupported { oid }),
    }
}

/// The only switch is 0, `NDIS_DEFAULT_SWITCH_ID`.
fn switch_zero(found: u32) -> Result<(), Refusal> {
    zero("SwitchId", found)
}

fn num_vfs(found: u32) -> Result<u16, Refusal> {
    u16::try_from(found).map_err(|_| Refusal::member("NumVFs", found, "no more than MaxNumVFs"))
}

/// A method request passes a structure in; a query passes nothing.
fn global_parameters(raw: &RawRequest) -> Result<OidRequest, Refusal> {
    if raw.request_type == RequestType::Method {
        capabilities::ReceiveFilterGlobalParameters::read(&raw.input)?;
    }
    Ok(OidRequest::ReceiveFilterGlobalParameters)
}

fn create_switch(input: &[u8]) -> Result<OidRequest, Refusal> {
    let wire = switch::SwitchParameters::read(input)?;
    zero("Flags", wire.flags.get())?;
    switch_zero(wire.switch_id.get())?;
    if wire.switch_type.get() != constant::SWITCH_TYPE_EXTERNAL {
        return Err(Refusal::member("SwitchType", wire.switch_type.get(), "1 (external)"));
    }
    // Revision 1 has no such member: one queue pair.
    let queue_pairs = wire.num_queue_pairs_for_default_vport.get().max(1);
    Ok(OidRequest::CreateSwitch(SwitchParameters {
        num_vfs: num_vfs(wire.num_vfs.get())?,
        queue_pairs_for_default_vport: queue_pairs,
        name: wire.name.get()?,
    }))
}

fn set_switch_parameters(input: &[u8]) -> Result<OidRequest, Refusal> {
    let wire = switch::SwitchParameters::read(input)?;
    switch_zero(wire.switch_id.get())?;
    let flags = flags_within(wire.flags.get(), constant::SWITCH_NAME_CHANGED)?;
    let name = if flags == 0 { None } else { Some(wire.name.get()?) };
    Ok(OidRequest::SetSwitchParameters(SwitchChanges { name, num_vfs: num_vfs(wire.num_vfs.get())? }))
}

fn allocate_vf(input: &[u8]) -> Result<OidRequest, Refusal> {
    let wire = vf::VfParameters::read(input)?;
    zero("Flags", wire.flags.get())?;
    switch_zero(wire.switch_id.get())?;
    if wire.vf_id.get() != constant::INVALID_VF_ID {
        return Err(Refusal::member("VFId", wire.vf_id.get(), "0xffff: the miniport chooses it"));
    }
    if wire.requestor_id.get() != constant::INVALID_RID {
        return Err(Refusal::member(
            "RequestorId",
            wire.requestor_id.get(),
            "0xffffffff: the miniport chooses it",
        ));
    }
    let mac = |bytes: &[u8; vf::MAX_PHYS_ADDRESS_LENGTH]| match wire.mac_address_length.get() {
        0 => Ok(MacAddr::ZERO),
        6 => Ok(MacAddr([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5]])),
        other => Err(Refusal::member("MacAddressLength", other, "6, or 0 for no addresses")),
    };
    Ok(OidRequest::AllocateVf(VfParameters {
        permanent_mac: mac(&wire.permanent_mac_address)?,
        current_mac: mac(&wire.current_mac_address)?,
        vm_name: wire.vm_name.get()?,
        vm_friendly_name: wire.vm_friendly_name.get()?,
        nic_name: wire.nic_name.get()?,
    }))
}

fn enum_vfs(input: &[u8]) -> Result<OidRequest, Refusal> {
    let wire = vf::VfInfoArray::read(input)?;
    if flags_within(wire.flags.get(), constant::ENUM_VFS_ON_SPECIFIC_SWITCH)? != 0 {
        switch_zero(wire.switch_id.get())?;
    }
    Ok(OidRequest::EnumVfs)
}

fn create_vport(input: &[u8]) -> Result<OidRequest, Refusal> {
    let wire = vport::VPortParameters::read(input)?;
    zero("Flags", wire.flags.get())?;
    switch_zero(wire.switch_id.get())?;
    zero("VPortId", wire.vport_id.get())?;
    zero("LookaheadSize", wire.lookahead_size.get())?;
    // What a caller puts there is without meaning, but it must be a state.
    constant::vport_state(wire.vport_state.get())?;
    Ok(OidRequest::CreateVPort(NewVPort {
        function: constant::function(wire.attached_function_id.get()),
        queue_pairs: wire.num_queue_pairs.get(),
        interrupt_moderation: constant::interrupt_moderation(wire.interrupt_moderation.get())?,
        affinity: constant::affinity(&wire.processor_affinity),
        name: wire.name.get()?,
    }))
}

fn set_vport_parameters(input: &[u8]) -> Result<OidRequest, Refusal> {
    let wire = vport::VPortParameters::read(input)?;
    switch_zero(wire.switch_id.get())?;
    let flags = flags_within(wire.flags.get(), constant::vport_changed::ALL)?;
    let has = |flag| flags & flag != 0;
    let mut changes = VPortChanges::default();
    if has(constant::vport_changed::NAME) {
        changes.name = Some(wire.name.get()?);
    }
    if has(constant::vport_changed::INTERRUPT_MODERATION) {
        changes.interrupt_moderation = Some(constant::interrupt_moderation(wire.interrupt_moderation.get())?);
    }
    if has(constant::vport_changed::STATE) {
        let state = constant::vport_state(wire.vport_state.get())?;
        changes.state = Some(state.ok_or_else(|| Refusal::member("VPortState", 0_u32, "1 or 2"))?);
    }
    if has(constant::vport_changed::PROCESSOR_AFFINITY) {
        let affinity = constant::affinity(&wire.processor_affinity);
        let none = || Refusal::member("ProcessorAffinity.Mask", 0_u32, "a mask with one CPU");
        changes.affinity = Some(affinity.ok_or_else(none)?);
    }
    Ok(OidRequest::SetVPortParameters { vport: VPortId(wire.vport_id.get()), changes })
}

fn enum_vports(input: &[u8]) -> Result<OidRequest, Refusal> {
    use constant::enum_vports::{ON_SPECIFIC_FUNCTION, ON_SPECIFIC_SWITCH};
    let wire = vport::VPortInfoArray::read(input)?;
    let flags = flags_within(wire.flags.get(), ON_SPECIFIC_FUNCTION | ON_SPECIFIC_SWITCH)?;
    if flags & ON_SPECIFIC_SWITCH != 0 {
        switch_zero(wire.switch_id.get())?;
    }
    let function =
        (flags & ON_SPECIFIC_FUNCTION != 0).then(|| constant::function(wire.attached_function_id.get()));
    Ok(OidRequest::EnumVPorts { function })
}

fn set_filter(input: &[u8]) -> Result<OidRequest, Refusal> {
    let wire = filter::FilterParameters::read(input)?;
    zero("Flags", wire.flags.get())?;
    if wire.filter_type.get() != constant::FILTER_TYPE_VM_QUEUE {
        return Err(Refusal::member("FilterType", wire.filter_type.get(), "1 (VM queue)"));
    }
    zero("FilterId", wire.filter_id.get())?;
    zero("RequestedFilterIdBitCount", wire.requested_filter_id_bit_count.get())?;
    zero("MaxCoalescingDelay", wire.max_coalescing_delay.get())?;
    let bounds = ArrayBounds {
        offset: wire.field_array_offset.get(),
        num_elements: wire.field_array_num_elements.get(),
        element_size: wire.field_array_element_size.get(),
    };
    let structure_size = usize::from(wire.header.size.get());
    let test = filter::test(&mut elements(input, structure_size, bounds, filter::FIELD_BOUNDS)?)?;
    match (QueueId(wire.queue_id.get()), VPortId(wire.vport_id.get())) {
        (QueueId::DEFAULT, vport) => Ok(OidRequest::SetFilter { vport, test }),
        (queue, VPortId::DEFAULT) => Ok(OidRequest::SetQueueFilter { queue, test }),
        (queue, _) => Err(Refusal::member("QueueId", queue.0, "0 if a VPort is named")),
    }
}

fn move_filter(input: &[u8]) -> Result<OidRequest, Refusal> {
    let wire = filter::MoveFilter::read(input)?;
    zero("SourceQueueId", wire.source_queue_id.get())?;
    zero("DestQueueId", wire.dest_queue_id.get())?;
    Ok(OidRequest::MoveFilter {
        filter: FilterId(wire.filter_id.get()),
        from: VPortId(wire.source_vport_id.get()),
        to: VPortId(wire.dest_vport_id.get()),
    })
}

/// Without the flag, thus always with revision 1, the queue is meant, and queue 0 is the default VPort's.
fn enum_filters(input: &[u8]) -> Result<OidRequest, Refusal> {
    let wire = filter::FilterInfoArray::read(input)?;
    let queue = QueueId(wire.queue_id.get());
    if flags_within(wire.flags.get(), constant::ENUM_FILTERS_VPORT_ID_SPECIFIED)? != 0 {
        zero("QueueId", queue.0)?;
        return Ok(OidRequest::EnumFilters(VPortId(wire.vport_id.get())));
    }
    Ok(match queue {
        QueueId::DEFAULT => OidRequest::EnumFilters(VPortId::DEFAULT),
        queue => OidRequest::EnumQueueFilters(queue),
    })
}

fn config_space(input: &[u8], write: bool) -> Result<OidRequest, Refusal> {
    let wire = sriov::ConfigSpace::read(input)?;
    let (vf, offset, length) = (VfId(wire.vf_id.get()), wire.offset.get(), wire.length.get());
    let structure_size = size_of::<sriov::ConfigSpace>();
    if write {
        let data = payload(input, structure_size, wire.buffer_offset.get(), length)?.to_vec();
        return Ok(OidRequest::WriteVfConfigSpace { vf, offset, data });
    }
    payload_range(structure_size, wire.buffer_offset.get(), length)?;
    Ok(OidRequest::ReadVfConfigSpace { vf, offset, length })
}

fn config_block(input: &[u8], write: bool) -> Result<OidRequest, Refusal> {
    let wire = sriov::ConfigBlock::read(input)?;
    let (vf, block, length) = (VfId(wire.vf_id.get()), wire.block_id.get(), wire.length.get());
    let structure_size = size_of::<sriov::ConfigBlock>();
    if write {
        let data = payload(input, structure_size, wire.buffer_offset.get(), length)?.to_vec();
        return Ok(OidRequest::WriteVfConfigBlock { vf, block, data });
    }
    payload_range(structure_size, wire.buffer_offset.get(), length)?;
    Ok(OidRequest::ReadVfConfigBlock { vf, block, length })
}

fn vlan_set(member: &'static str, bytes: &[u8; vendor::SET_BYTES]) -> Result<VlanSet, Refusal> {
    VlanSet::of(vendor::set_members(bytes))
        .map_err(|error| Refusal::member(member, error.number, "a VLAN id up to 4094"))
}

fn port_security(input: &[u8], set: bool) -> Result<OidRequest, Refusal> {
    let wire = vendor::PortSecurity::read(input)?;
    let vport = VPortId(wire.vport_id.get());
    if !set {
        return Ok(OidRequest::PortSecurity(vport));
    }
    let flags = flags_within(wire.flags.get(), vendor::security_flags::ALL)?;
    let security = PortSecurity {
        mac_spoof_check: flags & vendor::security_flags::MAC_SPOOF_CHECK != 0,
        vlan_check: flags & vendor::security_flags::VLAN_CHECK != 0,
        trusted: flags & vendor::security_flags::TRUSTED != 0,
        accept_bum: flags & vendor::security_flags::ACCEPT_BUM != 0,
        allowed_vlans: vlan_set("AllowedVlans", &wire.allowed_vlans)?,
        link: match wire.link.get() {
            0 => LinkState::Auto,
            1 => LinkState::Enable,
            2 => LinkState::Disable,
            other => return Err(Refusal::member("Link", other, "0, 1 or 2")),
        },
        bum_path: match wire.bum_path.get() {
            0 => BumPath::Vf,
            1 => BumPath::Synthetic,
            other => return Err(Refusal::member("BumPath", other, "0 or 1")),
        },
        sends_as: (flags & vendor::security_flags::SENDS_AS != 0).then(|| sends_as(&wire)).transpose()?,
    };
    Ok(OidRequest::SetPortSecurity { vport, security: Box::new(security) })
}

fn sends_as(wire: &vendor::PortSecurity) -> Result<FilterTest, Refusal> {
    let vlan = match wire.sends_as_vlan.get() {
        0 => VlanTest::UntaggedOrZero,
        vendor::ANY_VLAN => VlanTest::Any,
        vlan @ 1..=4094 => VlanTest::Id(vlan),
        other => return Err(Refusal::member("SendsAsVlan", other, "0 to 4094, or 0xFFFF")),
    };
    Ok(FilterTest { mac: MacAddr(wire.sends_as_mac), vlan })
}

fn receive_mode(input: &[u8], set: bool) -> Result<OidRequest, Refusal> {
    let wire = vendor::ReceiveModeParameters::read(input)?;
    let vport = VPortId(wire.vport_id.get());
    if !set {
        return Ok(OidRequest::ReceiveMode(vport));
    }
    let flags = flags_within(wire.flags.get(), vendor::receive_flags::ALL)?;
    let bounds = ArrayBounds {
        offset: wire.first_element_offset.get(),
        num_elements: wire.num_elements.get(),
        element_size: wire.element_size.get(),
    };
    let structure_size = usize::from(wire.header.size.get());
    let addresses = elements(input, structure_size, bounds, (vendor::MAX_UNICAST, 6))?;
    let mode = ReceiveMode {
        unicast: addresses.map(|b| MacAddr([b[0], b[1], b[2], b[3], b[4], b[5]])).collect(),
        multicast: MulticastTable::of(vendor::set_members(&wire.multicast)).expect("members are below 4096"),
        all_multicast: flags & vendor::receive_flags::ALL_MULTICAST != 0,
        promiscuous: flags & vendor::receive_flags::PROMISCUOUS != 0,
        broadcast: flags & vendor::receive_flags::BROADCAST != 0,
        vlans: vlan_set("Vlans", &wire.vlans)?,
    };
    Ok(OidRequest::SetReceiveMode { vport, mode: Box::new(mode) })
}
