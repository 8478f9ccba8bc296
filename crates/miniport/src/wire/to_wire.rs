//! Payloads to structures.

use nic_switch::{
    BumPath, Capabilities, LinkState, PortSecurity, ProcessorAffinity, QueueId, ReceiveMode,
    SwitchParameters, VPortId, VfId, VlanTest,
};
use zerocopy::FromZeros;

use super::string::CountedString;
use super::vport::GroupAffinity;
use super::{Structure, capabilities, constant, filter, queue, sriov, switch, vendor, vf, vport};
use crate::indication::QueueOperationalState;
use crate::payload::{
    FilterInfo, QueueInfo, ReceiveFilterCapabilities, ReceiveFilterGlobalParameters, SriovCapabilities,
    SwitchInfo, VPortInfo, VfInfo,
};

/// A structure with the header of its newest revision, all members zero.
fn blank<T: Structure>(with: impl FnOnce(&mut T)) -> T {
    let mut structure = T::new_zeroed();
    let header = T::header();
    structure.as_mut_bytes()[..size_of_val(&header)].copy_from_slice(zerocopy::IntoBytes::as_bytes(&header));
    with(&mut structure);
    structure
}

/// A length or an offset within an answer.
fn number(value: usize) -> u32 {
    u32::try_from(value).expect("an answer is shorter than 4 GiB")
}

/// `flag` if `on`.
fn bit(on: bool, flag: u32) -> u32 {
    if on { flag } else { 0 }
}

pub(super) fn sriov_capabilities(from: &SriovCapabilities) -> capabilities::SriovCapabilities {
    blank(|wire: &mut capabilities::SriovCapabilities| {
        wire.sriov_capabilities.set(
            bit(from.supported, constant::sriov_flags::SUPPORTED)
                | bit(from.pf_miniport, constant::sriov_flags::PF_MINIPORT)
                | bit(from.vf_miniport, constant::sriov_flags::VF_MINIPORT),
        );
    })
}

pub(super) fn nic_switch_capabilities(from: &Capabilities) -> capabilities::NicSwitchCapabilities {
    use constant::switch_flags as flags;
    blank(|wire: &mut capabilities::NicSwitchCapabilities| {
        wire.nic_switch_capabilities.set(
            bit(from.vlan_supported, flags::VLAN)
                | bit(from.per_vport_interrupt_moderation, flags::PER_VPORT_INTERRUPT_MODERATION)
                | bit(from.asymmetric_queue_pairs, flags::ASYMMETRIC_QUEUE_PAIRS)
                | bit(from.vf_rss, flags::VF_RSS)
                | bit(from.single_vport_pool, flags::SINGLE_VPORT_POOL),
        );
        wire.max_num_switches.set(1);
        wire.max_num_vports.set(from.max_vports);
        wire.max_num_vfs.set(from.max_vfs.into());
        wire.max_num_queue_pairs.set(from.max_queue_pairs);
        wire.max_num_queue_pairs_per_non_default_vport.set(from.max_queue_pairs_per_nondefault_vport);
        wire.max_num_mac_addresses.set(from.max_mac_addresses);
        wire.max_num_queue_pairs_for_default_vport.set(from.max_queue_pairs_for_default_vport);
    })
}

pub(super) fn receive_filter_capabilities(
    from: &ReceiveFilterCapabilities,
) -> capabilities::ReceiveFilterCapabilities {
    use constant::filter_flags as flags;
    blank(|wire: &mut capabilities::ReceiveFilterCapabilities| {
        wire.enabled_filter_types.set(bit(from.vmq_filters_enabled, flags::VMQ_FILTERS_ENABLED));
        wire.enabled_queue_types.set(bit(from.vm_queues_enabled, flags::VM_QUEUES_ENABLED));
        wire.num_queues.set(from.num_queues);
        wire.supported_queue_properties.set(bit(from.num_queues > 0, constant::queue_properties::ALL));
        wire.supported_filter_tests.set(flags::TEST_EQUAL);
        wire.supported_headers.set(flags::HEADER_MAC);
        wire.supported_mac_header_fields
            .set(flags::MAC_FIELD_DESTINATION | bit(from.vlan, flags::MAC_FIELD_VLAN));
        wire.max_mac_header_filters.set(from.max_mac_header_filters);
    })
}

pub(super) fn global_parameters(
    from: &ReceiveFilterGlobalParameters,
) -> capabilities::ReceiveFilterGlobalParameters {
    use constant::filter_flags as flags;
    blank(|wire: &mut capabilities::ReceiveFilterGlobalParameters| {
        wire.enabled_filter_types.set(bit(from.vmq_filters_enabled, flags::VMQ_FILTERS_ENABLED));
        wire.enabled_queue_types.set(bit(from.vm_queues_enabled, flags::VM_QUEUES_ENABLED));
    })
}

pub(super) fn switch_parameters(from: &SwitchParameters) -> switch::SwitchParameters {
    blank(|wire: &mut switch::SwitchParameters| {
        wire.switch_type.set(constant::SWITCH_TYPE_EXTERNAL);
        wire.name = CountedString::new(&from.name);
        wire.num_vfs.set(from.num_vfs.into());
        wire.num_queue_pairs_for_default_vport.set(from.queue_pairs_for_default_vport);
    })
}

pub(super) fn switch_info(from: &SwitchInfo) -> switch::SwitchInfo {
    blank(|wire: &mut switch::SwitchInfo| {
        wire.switch_type.set(constant::SWITCH_TYPE_EXTERNAL);
        wire.name = CountedString::new(&from.name);
        wire.num_vfs.set(from.num_vfs.into());
        wire.num_allocated_vfs.set(from.num_allocated_vfs);
        wire.num_vports.set(from.num_vports);
        wire.num_active_vports.set(from.num_active_vports);
        wire.num_queue_pairs_for_default_vport.set(from.queue_pairs_for_default_vport);
        wire.num_queue_pairs_for_non_default_vports.set(from.queue_pairs_for_nondefault_vports);
        wire.num_active_default_vport_mac_addresses.set(from.default_vport_macs);
        wire.num_active_non_default_vport_mac_addresses.set(from.nondefault_vport_macs);
        wire.num_active_default_vport_vlan_ids.set(from.default_vport_vlans);
        wire.num_active_non_default_vport_vlan_ids.set(from.nondefault_vport_vlans);
    })
}

pub(super) fn vf_info(from: &VfInfo) -> vf::VfParameters {
    blank(|wire: &mut vf::VfParameters| {
        wire.vm_name = CountedString::new(&from.parameters.vm_name);
        wire.vm_friendly_name = CountedString::new(&from.parameters.vm_friendly_name);
        wire.nic_name = CountedString::new(&from.parameters.nic_name);
        wire.mac_address_length.set(6);
        wire.permanent_mac_address[..6].copy_from_slice(&from.parameters.permanent_mac.0);
        wire.current_mac_address[..6].copy_from_slice(&from.parameters.current_mac.0);
        wire.vf_id.set(from.vf.0);
        wire.requestor_id.set(from.requestor_id);
    })
}

fn group_affinity(from: Option<ProcessorAffinity>) -> GroupAffinity {
    let mut wire = GroupAffinity::new_zeroed();
    if let Some(affinity) = from {
        wire.mask.set(affinity.mask);
        wire.group.set(affinity.group);
    }
    wire
}

pub(super) fn vport_parameters(from: &VPortInfo) -> vport::VPortParameters {
    blank(|wire: &mut vport::VPortParameters| {
        wire.vport_id.set(from.vport.0);
        wire.name = CountedString::new(&from.name);
        wire.attached_function_id.set(constant::function_id(from.function));
        wire.num_queue_pairs.set(from.queue_pairs);
        wire.interrupt_moderation.set(constant::interrupt_moderation_value(from.interrupt_moderation));
        wire.vport_state.set(constant::vport_state_value(from.state));
        wire.processor_affinity = group_affinity(from.affinity);
    })
}

pub(super) fn vport_info(from: &VPortInfo) -> vport::VPortInfo {
    blank(|wire: &mut vport::VPortInfo| {
        wire.vport_id.set(from.vport.0);
        wire.name = CountedString::new(&from.name);
        wire.attached_function_id.set(constant::function_id(from.function));
        wire.num_queue_pairs.set(from.queue_pairs);
        wire.interrupt_moderation.set(constant::interrupt_moderation_value(from.interrupt_moderation));
        wire.vport_state.set(constant::vport_state_value(from.state));
        wire.processor_affinity = group_affinity(from.affinity);
        wire.num_filters.set(from.num_filters);
    })
}

pub(super) fn filter_parameters(from: &FilterInfo) -> filter::FilterParameters {
    blank(|wire: &mut filter::FilterParameters| {
        wire.filter_type.set(constant::FILTER_TYPE_VM_QUEUE);
        wire.filter_id.set(from.filter.0);
        wire.queue_id.set(from.queue.0);
        wire.vport_id.set(from.vport.0);
    })
}

pub(super) fn filter_info(from: &FilterInfo) -> filter::FilterInfo {
    blank(|wire: &mut filter::FilterInfo| {
        wire.filter_type.set(constant::FILTER_TYPE_VM_QUEUE);
        wire.filter_id.set(from.filter.0);
    })
}

pub(super) fn filter_info_array(vport: VPortId) -> filter::FilterInfoArray {
    blank(|wire: &mut filter::FilterInfoArray| {
        wire.flags.set(constant::ENUM_FILTERS_VPORT_ID_SPECIFIED);
        wire.vport_id.set(vport.0);
    })
}

pub(super) fn queue_filter_info_array(id: QueueId) -> filter::FilterInfoArray {
    blank(|wire: &mut filter::FilterInfoArray| wire.queue_id.set(id.0))
}

pub(super) fn queue_parameters(from: &QueueInfo) -> queue::QueueParameters {
    blank(|wire: &mut queue::QueueParameters| {
        wire.flags.set(constant::queue_flags::PER_QUEUE_RECEIVE_INDICATION);
        wire.queue_type.set(constant::QUEUE_TYPE_VM_QUEUE);
        wire.queue_id.set(from.queue.0);
        wire.processor_affinity = group_affinity(from.affinity);
        wire.num_suggested_receive_buffers.set(from.suggested_receive_buffers);
        wire.msix_table_entry.set(from.msix_table_entry);
        wire.vm_name = CountedString::new(&from.vm_name);
        wire.queue_name = CountedString::new(&from.queue_name);
        wire.port_id.set(from.port_id);
        wire.interrupt_coalescing_domain_id.set(from.interrupt_coalescing_domain);
    })
}

pub(super) fn queue_info(from: &QueueInfo) -> queue::QueueInfo {
    blank(|wire: &mut queue::QueueInfo| {
        wire.flags.set(constant::queue_flags::PER_QUEUE_RECEIVE_INDICATION);
        wire.queue_type.set(constant::QUEUE_TYPE_VM_QUEUE);
        wire.queue_id.set(from.queue.0);
        wire.queue_state.set(QueueOperationalState::from(from.state).value());
        wire.processor_affinity = group_affinity(from.affinity);
        wire.num_suggested_receive_buffers.set(from.suggested_receive_buffers);
        wire.msix_table_entry.set(from.msix_table_entry);
        wire.vm_name = CountedString::new(&from.vm_name);
        wire.queue_name = CountedString::new(&from.queue_name);
        wire.num_filters.set(number(from.filters.len()));
        wire.interrupt_coalescing_domain_id.set(from.interrupt_coalescing_domain);
    })
}

pub(super) fn queue_info_array() -> queue::QueueInfoArray {
    blank(|_| ())
}

/// The buffer of the indication `NDIS_STATUS_RECEIVE_QUEUE_STATE`.
pub(crate) fn queue_state(id: QueueId, state: QueueOperationalState) -> Vec<u8> {
    let wire = blank(|wire: &mut queue::QueueState| {
        wire.queue_id.set(id.0);
        wire.queue_state.set(state.value());
    });
    wire.to_bytes()
}

pub(super) fn switch_info_array() -> switch::SwitchInfoArray {
    blank(|_| ())
}

pub(super) fn vf_info_array() -> vf::VfInfoArray {
    blank(|_| ())
}

pub(super) fn vport_info_array() -> vport::VPortInfoArray {
    blank(|_| ())
}

pub(super) fn vendor_device_id(vf: VfId, vendor: u16, device: u16) -> sriov::VendorDeviceId {
    blank(|wire: &mut sriov::VendorDeviceId| {
        wire.vf_id.set(vf.0);
        wire.vendor_id.set(vendor);
        wire.device_id.set(device);
    })
}

pub(super) fn pf_luid(luid: u64) -> sriov::PfLuid {
    blank(|wire: &mut sriov::PfLuid| wire.luid.set(luid))
}

pub(super) fn serial_number(serial_number: u32) -> sriov::SerialNumber {
    blank(|wire: &mut sriov::SerialNumber| wire.serial_number.set(serial_number))
}

/// The structure and the six register values behind it.
pub(super) fn probed_bars(bars: [u32; 6]) -> Vec<u8> {
    let wire = blank(|wire: &mut sriov::ProbedBars| {
        wire.base_register_values_offset.set(number(size_of::<sriov::ProbedBars>()));
    });
    let mut bytes = wire.to_bytes();
    bytes.extend(bars.into_iter().flat_map(u32::to_le_bytes));
    bytes
}

/// The structure and the memory descriptor behind it.
pub(super) fn bar_resources(vf: VfId, bar: u16, start: u64, length: u32) -> Vec<u8> {
    let wire = blank(|wire: &mut sriov::BarResources| {
        wire.vf_id.set(vf.0);
        wire.bar_index.set(bar);
        wire.bar_resources_offset.set(number(size_of::<sriov::BarResources>()));
    });
    let mut descriptor = sriov::MemoryDescriptor::new_zeroed();
    descriptor.resource_type = constant::RESOURCE_TYPE_MEMORY;
    descriptor.share_disposition = constant::SHARE_DEVICE_EXCLUSIVE;
    descriptor.start.set(start);
    descriptor.length.set(length);
    let mut bytes = wire.to_bytes();
    bytes.extend_from_slice(zerocopy::IntoBytes::as_bytes(&descriptor));
    bytes
}

pub(super) fn port_security(vport: VPortId, from: &PortSecurity) -> vendor::PortSecurity {
    use vendor::security_flags as flags;
    blank(|wire: &mut vendor::PortSecurity| {
        wire.vport_id.set(vport.0);
        wire.flags.set(
            bit(from.mac_spoof_check, flags::MAC_SPOOF_CHECK)
                | bit(from.vlan_check, flags::VLAN_CHECK)
                | bit(from.trusted, flags::TRUSTED)
                | bit(from.accept_bum, flags::ACCEPT_BUM)
                | bit(from.sends_as.is_some(), flags::SENDS_AS),
        );
        if let Some(test) = from.sends_as {
            wire.sends_as_mac = test.mac.0;
            wire.sends_as_vlan.set(match test.vlan {
                VlanTest::UntaggedOrZero => 0,
                VlanTest::Id(vlan) => vlan,
                VlanTest::Any => vendor::ANY_VLAN,
            });
        }
        wire.link.set(match from.link {
            LinkState::Auto => 0,
            LinkState::Enable => 1,
            LinkState::Disable => 2,
        });
        wire.bum_path.set(match from.bum_path {
            BumPath::Vf => 0,
            BumPath::Synthetic => 1,
        });
        wire.allowed_vlans = vendor::set_bytes(from.allowed_vlans.iter());
    })
}

/// The structure and the array of addresses behind it.
pub(super) fn receive_mode(vport: VPortId, from: &ReceiveMode) -> Vec<u8> {
    use vendor::receive_flags as flags;
    let wire = blank(|wire: &mut vendor::ReceiveModeParameters| {
        wire.vport_id.set(vport.0);
        wire.flags.set(
            bit(from.broadcast, flags::BROADCAST)
                | bit(from.all_multicast, flags::ALL_MULTICAST)
                | bit(from.promiscuous, flags::PROMISCUOUS),
        );
        wire.first_element_offset.set(number(size_of::<vendor::ReceiveModeParameters>()));
        wire.num_elements.set(number(from.unicast.len()));
        wire.element_size.set(6);
        wire.multicast = vendor::set_bytes(from.multicast.iter());
        wire.vlans = vendor::set_bytes(from.vlans.iter());
    });
    let mut bytes = wire.to_bytes();
    bytes.extend(from.unicast.iter().flat_map(|mac| mac.0));
    bytes
}
