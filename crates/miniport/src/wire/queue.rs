//! VM queue structures (ndis.md B.7, B.8).
//!
//! Revision 3 of parameters and information adds a QoS scheduler queue, which this adapter does not have; revision 2 is
//! the newest that it speaks.

use nic_switch::{ProcessorAffinity, QueueChanges, QueueId, QueueParameters as NewQueue};
use zerocopy::byteorder::little_endian::U32;

use super::array::{ArrayBounds, array_end, elements, read_element};
use super::string::CountedString;
use super::vport::GroupAffinity;
use super::{Structure, constant, flags_within, structure, zero};
use crate::payload::QueueAllocation;
use crate::refusal::Refusal;
use crate::request::OidRequest;

structure! {
    /// ndis.md B.7.
    QueueParameters = "NDIS_RECEIVE_QUEUE_PARAMETERS", padded 1096, revisions [1084, 1092] {
        flags: U32,
        queue_type: U32,
        queue_id: U32,
        queue_group_id: U32,
        _pad0: [u8; 4],
        processor_affinity: GroupAffinity,
        num_suggested_receive_buffers: U32,
        msix_table_entry: U32,
        lookahead_size: U32,
        vm_name: CountedString,
        queue_name: CountedString,
        port_id: U32,
        interrupt_coalescing_domain_id: U32,
        _pad1: [u8; 4],
    }
}

structure! {
    /// ndis.md B.7.
    QueueInfo = "NDIS_RECEIVE_QUEUE_INFO", padded 1096, revisions [1084, 1092] {
        flags: U32,
        queue_type: U32,
        queue_id: U32,
        queue_group_id: U32,
        queue_state: U32,
        processor_affinity: GroupAffinity,
        num_suggested_receive_buffers: U32,
        msix_table_entry: U32,
        lookahead_size: U32,
        vm_name: CountedString,
        queue_name: CountedString,
        num_filters: U32,
        interrupt_coalescing_domain_id: U32,
        _pad0: [u8; 4],
    }
}

structure! {
    /// ndis.md A.1, ENUM_QUEUES.
    QueueInfoArray = "NDIS_RECEIVE_QUEUE_INFO_ARRAY", padded 16, revisions [16] {
        first_element_offset: U32,
        num_elements: U32,
        element_size: U32,
    }
}

structure! {
    /// ndis.md A.1, FREE_QUEUE.
    FreeQueue = "NDIS_RECEIVE_QUEUE_FREE_PARAMETERS", padded 12, revisions [12] {
        flags: U32,
        queue_id: U32,
    }
}

structure! {
    /// ndis.md B.7; an array of [`AllocationComplete`] stands behind it.
    AllocationCompleteArray =
        "NDIS_RECEIVE_QUEUE_ALLOCATION_COMPLETE_ARRAY", padded 20, revisions [20] {
        flags: U32,
        first_element_offset: U32,
        num_elements: U32,
        element_size: U32,
    }
}

structure! {
    /// ndis.md B.7.
    AllocationComplete =
        "NDIS_RECEIVE_QUEUE_ALLOCATION_COMPLETE_PARAMETERS", padded 16, revisions [16] {
        flags: U32,
        queue_id: U32,
        completion_status: U32,
    }
}

structure! {
    /// The buffer of the indication `NDIS_STATUS_RECEIVE_QUEUE_STATE`.
    QueueState = "NDIS_RECEIVE_QUEUE_STATE", padded 16, revisions [16] {
        flags: U32,
        queue_id: U32,
        queue_state: U32,
    }
}

/// The most queues of a batch, and the least size of an element in bytes. As many as fit within
/// [`MAX_OFFSET`](super::MAX_OFFSET).
const BATCH_BOUNDS: (u32, u32) = (4096, 16);

pub(super) fn allocate_queue(input: &[u8]) -> Result<OidRequest, Refusal> {
    let wire = QueueParameters::read(input)?;
    flags_within(wire.flags.get(), constant::queue_flags::PER_QUEUE_RECEIVE_INDICATION)?;
    if wire.queue_type.get() != constant::QUEUE_TYPE_VM_QUEUE {
        return Err(Refusal::member("QueueType", wire.queue_type.get(), "1 (VM queue)"));
    }
    zero("QueueId", wire.queue_id.get())?;
    zero("QueueGroupId", wire.queue_group_id.get())?;
    zero("LookaheadSize", wire.lookahead_size.get())?;
    Ok(OidRequest::AllocateQueue(NewQueue {
        affinity: affinity(&wire.processor_affinity),
        suggested_receive_buffers: wire.num_suggested_receive_buffers.get(),
        vm_name: wire.vm_name.get()?,
        queue_name: wire.queue_name.get()?,
        port_id: wire.port_id.get(),
    }))
}

pub(super) fn free_queue(input: &[u8]) -> Result<OidRequest, Refusal> {
    let wire = FreeQueue::read(input)?;
    zero("Flags", wire.flags.get())?;
    Ok(OidRequest::FreeQueue(QueueId(wire.queue_id.get())))
}

/// A method request asks, a set request changes what has its flag.
pub(super) fn queue_parameters(input: &[u8], set: bool) -> Result<OidRequest, Refusal> {
    let wire = QueueParameters::read(input)?;
    let queue = QueueId(wire.queue_id.get());
    if !set {
        return Ok(OidRequest::QueueParameters(queue));
    }
    let flags = flags_within(wire.flags.get(), constant::queue_changed::ALL)?;
    let has = |flag| flags & flag != 0;
    let mut changes = QueueChanges::default();
    if has(constant::queue_changed::AFFINITY) {
        changes.affinity = Some(affinity(&wire.processor_affinity));
    }
    if has(constant::queue_changed::SUGGESTED_RECEIVE_BUFFERS) {
        changes.suggested_receive_buffers = Some(wire.num_suggested_receive_buffers.get());
    }
    if has(constant::queue_changed::NAME) {
        changes.queue_name = Some(wire.queue_name.get()?);
    }
    Ok(OidRequest::SetQueueParameters { queue, changes })
}

pub(super) fn complete_queue_allocation(input: &[u8]) -> Result<OidRequest, Refusal> {
    let (wire, bounds) = batch(input)?;
    zero("Flags", wire.flags.get())?;
    let queues = elements(input, usize::from(wire.header.size.get()), bounds, BATCH_BOUNDS)?;
    let queue = |bytes: &[u8]| -> Result<QueueId, Refusal> {
        let element: AllocationComplete = read_element(bytes)?;
        zero("Flags of an element", element.flags.get())?;
        Ok(QueueId(element.queue_id.get()))
    };
    Ok(OidRequest::CompleteQueueAllocation(queues.map(queue).collect::<Result<_, _>>()?))
}

fn batch(input: &[u8]) -> Result<(AllocationCompleteArray, ArrayBounds), Refusal> {
    let wire = AllocationCompleteArray::read(input)?;
    let bounds = ArrayBounds {
        offset: wire.first_element_offset.get(),
        num_elements: wire.num_elements.get(),
        element_size: wire.element_size.get(),
    };
    Ok((wire, bounds))
}

/// Bytes of a batch through its last element, as they go out again.
pub(super) fn batch_end(input: &[u8]) -> Result<usize, Refusal> {
    let (wire, bounds) = batch(input)?;
    array_end(usize::from(wire.header.size.get()), bounds)
}

/// The batch that came in, with the status of each queue.
pub(super) fn completed_batch(input: &[u8], allocations: &[QueueAllocation]) -> Result<Vec<u8>, Refusal> {
    let (_, bounds) = batch(input)?;
    let end = batch_end(input)?;
    let mut bytes = input.get(..end).ok_or_else(|| super::too_short(end, input.len()))?.to_vec();
    let (Ok(first), Ok(size)) = (usize::try_from(bounds.offset), usize::try_from(bounds.element_size)) else {
        return Ok(bytes);
    };
    let status = core::mem::offset_of!(AllocationComplete, completion_status);
    for (index, allocation) in allocations.iter().enumerate() {
        let at = first + index * size + status;
        bytes[at..at + 4].copy_from_slice(&allocation.status.value().to_le_bytes());
    }
    Ok(bytes)
}

/// Whether the mask has a CPU is for the queue to say.
fn affinity(wire: &GroupAffinity) -> ProcessorAffinity {
    ProcessorAffinity { group: wire.group.get(), mask: wire.mask.get() }
}
