//! What a guest asks of the physical function, whatever the device that it asks through.
//!
//! Hardware VFs ask through a mailbox that the PF driver answers. Here the device translates its guest's message into
//! a [`GuestRequest`]; the PF miniport decides. A device whose guests cannot ask (gve) sends none of these, and the
//! port's own policy rules alone.

use ethernet::MacAddr;

/// Frames that a guest wants to hear besides those to its own address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reception {
    /// Its own address only: no broadcast, no multicast.
    Unicast,
    /// Broadcast and the multicast groups it named.
    #[default]
    Multicast,
    /// Broadcast and all multicast.
    AllMulticast,
    /// All that the physical function lets it see.
    Promiscuous,
}

/// A request of a guest to the physical function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuestRequest {
    /// The guest's driver starts over: everything that it asked for is forgotten.
    Reset,
    /// Use another address than the one assigned.
    SetMac(MacAddr),
    /// Hear further unicast addresses: this list replaces the last.
    SetUnicast(Vec<MacAddr>),
    /// Hear the multicast groups with these 12-bit hashes ([`ethernet::multicast_hash`] of type 0): replaces the last list.
    SetMulticast(Vec<u16>),
    /// Hear frames of a VLAN.
    AddVlan(u16),
    /// Hear frames of a VLAN no more.
    RemoveVlan(u16),
    /// Hear these kinds of frames.
    SetReception(Reception),
    /// Take frames up to this length in bytes, frame check sequence included, VLAN tags not.
    SetMaxFrame(u32),
}

/// Answer to a [`GuestRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestReply {
    /// Done.
    Granted,
    /// [`GuestRequest::SetReception`]: this much is granted, maybe less than was asked for.
    Reception(Reception),
    /// Not allowed, or no room; nothing changed.
    Refused,
}
