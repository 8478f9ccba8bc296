//! Payloads to the bytes of an output buffer.

use core::mem::offset_of;

use zerocopy::{FromBytes, IntoBytes};

use super::array::{array, with_payload};
use super::{
    ObjectHeader, Structure, constant, filter, payload_range, queue, sriov, to_wire, too_short, vf, vport,
};
use crate::oid::{Oid, RequestType};
use crate::payload::{Payload, QueueInfo};
use crate::refusal::Refusal;
use crate::request::RawRequest;

/// Checks that the output of a request that changes something fits, before anything is changed: the structure that came
/// in goes out completed, and a read answers into the same buffer.
pub(crate) fn check_output(oid: Oid, raw: &RawRequest) -> Result<(), Refusal> {
    if raw.request_type != RequestType::Method {
        return Ok(());
    }
    let needed = match oid {
        Oid::NicSwitchCreateSwitch
        | Oid::NicSwitchAllocateVf
        | Oid::NicSwitchCreateVPort
        | Oid::ReceiveFilterSetFilter
        | Oid::ReceiveFilterAllocateQueue => structure_size(&raw.input),
        Oid::ReceiveFilterQueueAllocationComplete => queue::batch_end(&raw.input)?,
        Oid::SriovReadVfConfigSpace => {
            let wire = sriov::ConfigSpace::read(&raw.input)?;
            payload_range(size_of::<sriov::ConfigSpace>(), wire.buffer_offset.get(), wire.length.get())?.1
        }
        Oid::SriovReadVfConfigBlock => {
            let wire = sriov::ConfigBlock::read(&raw.input)?;
            payload_range(size_of::<sriov::ConfigBlock>(), wire.buffer_offset.get(), wire.length.get())?.1
        }
        _ => 0,
    };
    fits(needed, raw.output_length)
}

/// The output buffer of `raw`, whose answer is `payload`. Fails if it does not fit.
pub(crate) fn encode_payload(oid: Oid, raw: &RawRequest, payload: &Payload) -> Result<Vec<u8>, Refusal> {
    let bytes = bytes(oid, raw, payload)?;
    fits(bytes.len(), raw.output_length)?;
    Ok(bytes)
}

fn bytes(oid: Oid, raw: &RawRequest, payload: &Payload) -> Result<Vec<u8>, Refusal> {
    Ok(match payload {
        Payload::None => Vec::new(),
        Payload::Raw(bytes) => bytes.clone(),
        Payload::Sriov(capabilities) => to_wire::sriov_capabilities(capabilities).to_bytes(),
        Payload::NicSwitch(capabilities) => to_wire::nic_switch_capabilities(capabilities).to_bytes(),
        Payload::ReceiveFilter(capabilities) => to_wire::receive_filter_capabilities(capabilities).to_bytes(),
        Payload::ReceiveFilterGlobal(parameters) => to_wire::global_parameters(parameters).to_bytes(),
        Payload::Switch(_) if oid == Oid::NicSwitchCreateSwitch => completed(&raw.input, &[]),
        Payload::Switch(parameters) => in_revision(&to_wire::switch_parameters(parameters), &raw.input),
        Payload::Switches(switches) => {
            array(to_wire::switch_info_array(), switches.iter().map(to_wire::switch_info))
        }
        Payload::Vf(info) if oid == Oid::NicSwitchAllocateVf => completed(
            &raw.input,
            &[
                (offset_of!(vf::VfParameters, vf_id), &info.vf.0.to_le_bytes()),
                (offset_of!(vf::VfParameters, requestor_id), &info.requestor_id.to_le_bytes()),
            ],
        ),
        Payload::Vf(info) => to_wire::vf_info(info).to_bytes(),
        Payload::Vfs(vfs) => array(to_wire::vf_info_array(), vfs.iter().map(to_wire::vf_info)),
        Payload::VPort(info) if oid == Oid::NicSwitchCreateVPort => completed(
            &raw.input,
            &[
                (offset_of!(vport::VPortParameters, vport_id), &info.vport.0.to_le_bytes()),
                (
                    offset_of!(vport::VPortParameters, vport_state),
                    &constant::vport_state_value(info.state).to_le_bytes(),
                ),
            ],
        ),
        Payload::VPort(info) => to_wire::vport_parameters(info).to_bytes(),
        Payload::VPorts(vports) => array(to_wire::vport_info_array(), vports.iter().map(to_wire::vport_info)),
        Payload::Filter(info) if oid == Oid::ReceiveFilterSetFilter => completed(
            &raw.input,
            &[(offset_of!(filter::FilterParameters, filter_id), &info.filter.0.to_le_bytes())],
        ),
        Payload::Filter(info) => array(to_wire::filter_parameters(info), filter::fields(info.test)),
        Payload::Filters { vport, filters } => {
            array(to_wire::filter_info_array(*vport), filters.iter().map(to_wire::filter_info))
        }
        Payload::Queue(info) if oid == Oid::ReceiveFilterAllocateQueue => allocated_queue(&raw.input, info),
        Payload::Queue(info) => in_revision(&to_wire::queue_parameters(info), &raw.input),
        Payload::Queues(queues) => array(to_wire::queue_info_array(), queues.iter().map(to_wire::queue_info)),
        Payload::QueueAllocations(allocations) => queue::completed_batch(&raw.input, allocations)?,
        Payload::QueueFilters { queue, filters } => {
            array(to_wire::queue_filter_info_array(*queue), filters.iter().map(to_wire::filter_info))
        }
        Payload::Bytes(data) if oid == Oid::SriovReadVfConfigBlock => {
            let offset = sriov::ConfigBlock::read(&raw.input)?.buffer_offset.get();
            with_payload(&raw.input, size_of::<sriov::ConfigBlock>(), offset, data)?
        }
        Payload::Bytes(data) => {
            let offset = sriov::ConfigSpace::read(&raw.input)?.buffer_offset.get();
            with_payload(&raw.input, size_of::<sriov::ConfigSpace>(), offset, data)?
        }
        Payload::VendorDeviceId { vf, vendor, device } => {
            to_wire::vendor_device_id(*vf, *vendor, *device).to_bytes()
        }
        Payload::ProbedBars(bars) => to_wire::probed_bars(*bars),
        Payload::BarResources { vf, bar, start, length } => {
            to_wire::bar_resources(*vf, *bar, *start, *length)
        }
        Payload::PfLuid(luid) => to_wire::pf_luid(*luid).to_bytes(),
        Payload::SerialNumber(serial_number) => to_wire::serial_number(*serial_number).to_bytes(),
        Payload::PortSecurity { vport, security } => to_wire::port_security(*vport, security).to_bytes(),
        Payload::ReceiveMode { vport, mode } => to_wire::receive_mode(*vport, mode),
    })
}

fn fits(needed: usize, given: u32) -> Result<(), Refusal> {
    if u32::try_from(needed).is_ok_and(|needed| needed <= given) {
        return Ok(());
    }
    Err(too_short(needed, usize::try_from(given).unwrap_or(usize::MAX)))
}

/// Bytes of the structure at the front of `input`, as its header says.
fn structure_size(input: &[u8]) -> usize {
    ObjectHeader::read_from_prefix(input).map_or(0, |(header, _)| usize::from(header.size.get()))
}

/// The structure that came in, with the members that the request assigned.
fn completed(input: &[u8], members: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = input[..structure_size(input).min(input.len())].to_vec();
    for (offset, member) in members {
        bytes[*offset..*offset + member.len()].copy_from_slice(member);
    }
    bytes
}

/// The parameters that came in, with what the adapter chose; the coalescing domain is of revision 2.
fn allocated_queue(input: &[u8], info: &QueueInfo) -> Vec<u8> {
    use queue::QueueParameters as Wire;
    let flags = constant::queue_flags::PER_QUEUE_RECEIVE_INDICATION.to_le_bytes();
    let (id, entry) = (info.queue.0.to_le_bytes(), info.msix_table_entry.to_le_bytes());
    let domain = info.interrupt_coalescing_domain.to_le_bytes();
    let members = [
        (offset_of!(Wire, flags), &flags[..]),
        (offset_of!(Wire, queue_id), &id[..]),
        (offset_of!(Wire, msix_table_entry), &entry[..]),
        (offset_of!(Wire, interrupt_coalescing_domain_id), &domain[..]),
    ];
    let of_revision = if revision(input) < 2 { &members[..3] } else { &members[..] };
    completed(input, of_revision)
}

fn revision(input: &[u8]) -> usize {
    ObjectHeader::read_from_prefix(input).map_or(0, |(header, _)| usize::from(header.revision))
}

/// The structure in the revision of the one that came in.
fn in_revision<T: Structure>(structure: &T, input: &[u8]) -> Vec<u8> {
    let known = revision(input).clamp(1, T::SIZES.len());
    let mut bytes = structure.to_bytes();
    bytes.truncate(T::SIZES[known - 1]);
    bytes[..size_of::<ObjectHeader>()].copy_from_slice(T::header_of(known).as_bytes());
    bytes
}
