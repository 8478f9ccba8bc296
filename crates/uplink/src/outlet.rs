//! How frames are put into ports whose kernel side takes a vnet header: tap and packet socket.

use ethernet::{ETHERNET_HEADER_LEN, VLAN_TAG_LEN, VlanTag};
use guest_memory::MemoryView;
use port::{Frame, Pieces, Put, Refusal};

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

    /// Place of [`offload::SPARE`] bytes that nothing else uses.
    fn spare(&self) -> u64;
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
    let pieces = match Pieces::new(frame) {
        Ok(pieces) => pieces,
        Err(refusal) => return Put::Refused(refusal),
    };
    if pieces.longest() > longest(frame, link.mtu()) {
        return Put::Refused(Refusal::TooLong);
    }
    let view = outlet.view();
    let extra = VNET_HEADER + VLAN_TAG_LEN;
    let whole = offload::passes_whole(frame);
    let (count, length) = match whole {
        Some(_) => (1, frame.len() + extra),
        None => (pieces.count(), pieces.longest() + extra),
    };
    let spare = outlet.spare();
    for index in from..count {
        // Padding may make a segment longer than the longest without it.
        let Some(at) = outlet.reserve(length.max(offload::SPARE)) else { return Put::Full { next: index } };
        let written = match whole {
            Some(cut) => offload::write_super_frame(&view, at, spare, frame, &pieces, cut, tag),
            None => offload::write_piece(&view, at, frame, &pieces, index, tag),
        };
        let sent = written.map_err(Unsent::Refused).and_then(|len| {
            let at = usize::try_from(at).map_err(|_| Unsent::Refused(Refusal::DmaFault))?;
            outlet.send(Span { at, len })
        });
        match sent {
            Ok(()) => {}
            Err(Unsent::Full) => return Put::Full { next: index },
            Err(Unsent::Refused(refusal)) => return Put::Refused(refusal),
        }
    }
    Put::Done
}

/// Longest frame for an MTU: tags in its bytes, behind the one out of band, do not count.
pub(crate) fn longest(frame: &Frame<'_>, mtu: usize) -> usize {
    mtu + ETHERNET_HEADER_LEN + usize::from(frame.layout().vlan_depth) * VLAN_TAG_LEN
}
