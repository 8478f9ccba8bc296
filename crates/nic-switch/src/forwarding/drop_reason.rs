//! Why a frame was not delivered.

use std::fmt;

/// Why the switch delivered a frame to nobody. One counter each, for each VPort.
///
/// The order is that of the checks of the sender: a frame that breaks several rules is dropped for the first. The
/// destination is looked up when all of them have passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DropReason {
    /// The VPort that it comes from, or that its destination matches, does not exist or is not activated.
    VPortInactive,
    /// The stack disabled the link of the VPort that it comes from, or that its destination matches.
    LinkDown,
    /// It comes from a nondefault VPort on which no filter stands: neither its addresses nor its VLAN are known.
    NoFilter,
    /// The source address is zero or a group address.
    SourceMacInvalid,
    /// It is a MAC control frame (802.3x PAUSE, priority flow control), with which a guest could throttle others.
    PauseFrame,
    /// It is for an address of protocols that never leave a link (STP, LACP, LLDP ...), and does not come from the
    /// physical port or the default VPort.
    LinkLocalControl,
    /// The source address is not one of the VPort's.
    SourceMacSpoofed,
    /// The VLAN id is 4095.
    ReservedVlan,
    /// It has a further VLAN tag, and the source address is for one VLAN or for none: the tag could lead the frame out
    /// of the VLAN behind the next switch.
    DoubleTagged,
    /// Its VLAN is not one in which the source address may send.
    VlanNotAllowed,
    /// Its destination is on the VPort that it comes from, or is its own source address.
    Hairpin,
    /// Nothing takes it: no filter matches, and there is no physical port.
    NoDestination,
}

impl DropReason {
    /// Every reason, in the order of the checks.
    pub const ALL: [Self; 12] = [
        Self::VPortInactive,
        Self::LinkDown,
        Self::NoFilter,
        Self::SourceMacInvalid,
        Self::PauseFrame,
        Self::LinkLocalControl,
        Self::SourceMacSpoofed,
        Self::ReservedVlan,
        Self::DoubleTagged,
        Self::VlanNotAllowed,
        Self::Hairpin,
        Self::NoDestination,
    ];

    /// The reason as the name of a counter.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VPortInactive => "vport_inactive",
            Self::LinkDown => "link_down",
            Self::NoFilter => "no_filter",
            Self::SourceMacInvalid => "source_mac_invalid",
            Self::PauseFrame => "pause_frame",
            Self::LinkLocalControl => "link_local_control",
            Self::SourceMacSpoofed => "source_mac_spoofed",
            Self::ReservedVlan => "reserved_vlan",
            Self::DoubleTagged => "double_tagged",
            Self::VlanNotAllowed => "vlan_not_allowed",
            Self::Hairpin => "hairpin",
            Self::NoDestination => "no_destination",
        }
    }

    /// Position in [`Self::ALL`], for an array of counters.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
