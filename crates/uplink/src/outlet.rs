//! How frames are put into ports whose kernel side takes a vnet header: tap and packet socket.

use ethernet::{ETHERNET_HEADER_LEN, VLAN_TAG_LEN, VlanTag};
use guest_memory::MemoryView;
use port::{Frame, HEADER_MAX, Pieces, Put, Refusal, Segmentation, Whole};

use crate::link::LinkCell;
use crate::offload;
use crate::syscall::Span;
use crate::vnet::VNET_HEADER;

/// Why an [`Outlet`] does not take a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// There is no room now.
    Full,
    /// It cannot be taken.
    Refused(Refusal),
}

/// A queue to the kernel.
pub(crate) trait Outlet {
    /// The memory that frames are written to.
    fn view(&self) -> MemoryView;

    /// A place for `len` bytes in it, or `None` if there is none for now.
    fn reserve(&mut self, len: usize) -> Option<u64>;

    /// Sends what was written to the place reserved last.
    fn send(&mut self, span: Span) -> Result<(), Unsent>;
}

/// Puts `frame` from piece number `from` on, uncut if the kernel can cut it.
pub(crate) fn put(
    outlet: &mut impl Outlet,
    link: &LinkCell,
    frame: &Frame<'_>,
    tag: Option<VlanTag>,
    from: u32,
) -> Put {
    if !link.is_running() {
        return Put::Refused(Refusal::NotReady);
    }
    let view = outlet.view();
    let mut scratch = [0; HEADER_MAX + VLAN_TAG_LEN];
    if from == 0
        && offload::passes_whole(frame)
        && frame.meta().gso.map_or(frame.len(), |cut| segment(&cut)).min(frame.len())
            <= longest(frame, link.mtu())
        && let Some(whole) = Whole::new(frame, tag, &mut scratch)
    {
        let Some(at) = outlet.reserve(VNET_HEADER + whole.piece().len()) else {
            return Put::Full { next: 0 };
        };
        let written = offload::write_whole(&view, at, &whole);
        return send(outlet, at, written, 0).unwrap_or(Put::Done);
    }
    let pieces = match Pieces::new(frame) {
        Ok(pieces) => pieces,
        Err(refusal) => return Put::Refused(refusal),
    };
    if pieces.longest() > longest(frame, link.mtu()) {
        return Put::Refused(Refusal::TooLong);
    }
    // Padding may make a segment longer than the longest without it.
    let length = (pieces.longest() + VNET_HEADER + VLAN_TAG_LEN).max(HEADER_MAX);
    for index in from..pieces.count() {
        let Some(at) = outlet.reserve(length) else { return Put::Full { next: index } };
        let written = offload::write_piece(&view, at, &pieces, index, tag);
        if let Some(stopped) = send(outlet, at, written, index) {
            return stopped;
        }
    }
    Put::Done
}

/// Sends what was written at `at`; what became of piece number `index` if that did not work.
fn send(outlet: &mut impl Outlet, at: u64, written: Result<usize, Refusal>, index: u32) -> Option<Put> {
    let sent = written.map_err(Unsent::Refused).and_then(|len| {
        let at = usize::try_from(at).map_err(|_| Unsent::Refused(Refusal::DmaFault))?;
        outlet.send(Span { at, len })
    });
    match sent {
        Ok(()) => None,
        Err(Unsent::Full) => Some(Put::Full { next: index }),
        Err(Unsent::Refused(refusal)) => Some(Put::Refused(refusal)),
    }
}

/// Bytes of a whole segment.
fn segment(cut: &Segmentation) -> usize {
    usize::from(cut.gso.header_len) + usize::from(cut.gso.mss)
}

/// Longest frame for an MTU: tags in its bytes, behind the one out of band, do not count.
pub(crate) fn longest(frame: &Frame<'_>, mtu: usize) -> usize {
    mtu + ETHERNET_HEADER_LEN + usize::from(frame.layout().vlan_depth) * VLAN_TAG_LEN
}
