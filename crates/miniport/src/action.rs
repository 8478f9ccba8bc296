//! What the data path has to do because of a request. The adapter decides, the daemon executes.

use ethernet::MacAddr;
use nic_switch::{InterruptModeration, ProcessorAffinity, QueueId, VPortId, VfId};
use pcie::{ConfigEffects, Rid};

use crate::adapter::ClientId;
use crate::indication::StatusIndication;
use crate::request::PowerState;
use crate::status::NdisStatus;

/// One step for the data path. The steps of a request are to be taken in the order in which they are returned, before the
/// request is answered.
///
/// `generation` is that of the VF's, or VM queue's, allocation: a step, or an answer to one, that comes late is known by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// VF Enable was set: this many VFs exist.
    VirtualizationEnabled {
        /// How many.
        num_vfs: u16,
    },
    /// VF Enable was cleared: no VF exists.
    VirtualizationDisabled,
    /// A VF was allocated: make the DMA domain of its RID. It has no queue pairs yet.
    ExposeVf {
        /// The VF.
        vf: VfId,
        /// Its generation.
        generation: u64,
        /// Under which it does DMA.
        rid: Rid,
    },
    /// A VF was freed: take its device away, if that is still there, and end its DMA domain.
    WithdrawVf {
        /// The VF.
        vf: VfId,
        /// Its generation.
        generation: u64,
    },
    /// A VF got its VPort: its device can be offered to a guest.
    AttachVf {
        /// The VF.
        vf: VfId,
        /// Its generation.
        generation: u64,
        /// Its VPort.
        vport: VPortId,
        /// Under which it does DMA.
        rid: Rid,
        /// The address that its device reports; zero if the stack assigned none.
        mac: MacAddr,
        /// Queue pairs of its device.
        queue_pairs: u32,
        /// Interrupt moderation of its device.
        interrupt_moderation: InterruptModeration,
        /// Whether its link is up.
        link_up: bool,
    },
    /// The VPort of a VF was deleted: its queue pairs go, and what is in them is completed.
    DetachVf {
        /// The VF.
        vf: VfId,
        /// Its generation.
        generation: u64,
        /// The VPort that was.
        vport: VPortId,
    },
    /// A nondefault VPort of the PF was created: make its queue pairs. It is not activated yet.
    OpenVPort {
        /// The VPort.
        vport: VPortId,
        /// Its queue pairs.
        queue_pairs: u32,
        /// The CPU that serves it.
        affinity: Option<ProcessorAffinity>,
        /// Its interrupt moderation.
        interrupt_moderation: InterruptModeration,
    },
    /// A VPort of the PF was deleted: stop its DMA, wait until all of its frames came back, free its memory.
    CloseVPort {
        /// The VPort.
        vport: VPortId,
    },
    /// CPU or interrupt moderation of a VPort changed.
    ConfigureVPort {
        /// The VPort.
        vport: VPortId,
        /// The CPU that serves it.
        affinity: Option<ProcessorAffinity>,
        /// Its interrupt moderation.
        interrupt_moderation: InterruptModeration,
    },
    /// A VM queue was allocated: make it. No frame goes there before forwarding is published anew.
    AttachQueue {
        /// The queue; frames go there as to the VPort of the same number.
        queue: QueueId,
        /// Its generation.
        generation: u64,
        /// The CPU that serves it.
        affinity: Option<ProcessorAffinity>,
        /// Its MSI-X vector.
        msix_table_entry: u32,
        /// Queues of one domain are interrupted together.
        interrupt_coalescing_domain: u32,
    },
    /// The CPU of a VM queue changed, and with it perhaps its vector and the moderation of its interrupts.
    ConfigureQueue {
        /// The queue.
        queue: QueueId,
        /// Its generation.
        generation: u64,
        /// The CPU that serves it.
        affinity: Option<ProcessorAffinity>,
        /// Its MSI-X vector.
        msix_table_entry: u32,
        /// Queues of one domain are interrupted together.
        interrupt_coalescing_domain: u32,
    },
    /// A VM queue is being freed; no filter leads there any more. When every worker has passed a quiescent point, report
    /// [`queue_dma_stopped`](crate::Adapter::queue_dma_stopped), and when all frames of the queue have come back,
    /// [`queue_returned`](crate::Adapter::queue_returned). Both may happen after the request was answered.
    StopQueue {
        /// The queue.
        queue: QueueId,
        /// Its generation.
        generation: u64,
    },
    /// A VM queue is no more: free what it has. If the adapter was halted, its DMA has yet to be stopped, and its frames
    /// to be waited for.
    DetachQueue {
        /// The queue.
        queue: QueueId,
        /// Its generation.
        generation: u64,
    },
    /// FREE_QUEUE, which was answered with `PENDING`, is complete.
    CompleteFreeQueue {
        /// Who issued it; `None` is NDIS itself.
        client: Option<ClientId>,
        /// The queue that was.
        queue: QueueId,
        /// How it ended: `SUCCESS`, or `REQUEST_ABORTED` if the adapter was halted.
        status: NdisStatus,
    },
    /// Tell every overlying driver.
    Indicate(StatusIndication),
    /// The forwarding state changed: give every worker a new snapshot, and wait until the old one is out of use.
    PublishForwarding,
    /// Function level reset of one VF: quiesce, forget its rings, clear its interrupts. Its configuration space, and what
    /// its guest was granted, are reset already.
    ResetVf {
        /// The VF.
        vf: VfId,
        /// Its generation.
        generation: u64,
    },
    /// A VF changes its power state.
    VfPowerState {
        /// The VF.
        vf: VfId,
        /// Its generation.
        generation: u64,
        /// The state; in D3 it does no DMA.
        state: PowerState,
    },
    /// Software wrote the configuration space of a VF through the PF, with these effects.
    VfConfigSpaceWritten {
        /// The VF.
        vf: VfId,
        /// Its generation.
        generation: u64,
        /// What changed; a reset is reported as [`Action::ResetVf`] as well.
        effects: ConfigEffects,
    },
    /// The link of a VF changed.
    LinkChanged {
        /// The VF.
        vf: VfId,
        /// Its generation.
        generation: u64,
        /// The link is up.
        up: bool,
    },
    /// The largest frame that a VF's guest wants changed.
    MaxFrameChanged {
        /// The VF.
        vf: VfId,
        /// Its generation.
        generation: u64,
        /// Bytes with header and FCS, without VLAN tags.
        bytes: u32,
    },
    /// Completes the VF driver's posted request: these configuration blocks are stale.
    InvalidateConfigBlocks {
        /// The VF.
        vf: VfId,
        /// Its generation.
        generation: u64,
        /// Bit n stands for block n.
        mask: u64,
    },
}
