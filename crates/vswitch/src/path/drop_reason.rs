//! Why a frame was not delivered.

use std::fmt;

use serde::{Serialize, Serializer};

/// Defines the reasons with their counter names.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)+) => {
        /// Why the switch delivered a frame to nobody, or not to one of its destinations. One counter each, for each port;
        /// the name begins with the stage.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum DropReason { $($(#[$doc])* $variant,)+ }

        impl DropReason {
            /// Every reason, in the order of its counters.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The reason as the name of a counter, stage first.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

reasons! {
    /// There is no such port, or its NIC does not send now.
    PortInactive = "ingress:port_inactive",
    /// It has no whole Ethernet header.
    TooShort = "ingress:too_short",
    /// A filtering extension dropped it.
    Filtered = "ingress:extension",
    /// The source address is zero or a group address.
    SourceMacInvalid = "ingress:source_mac_invalid",
    /// It is a MAC control frame (802.3x PAUSE, priority flow control), with which a guest could throttle others.
    PauseFrame = "ingress:pause_frame",
    /// It is for an address of protocols that never leave a link (STP, LACP, LLDP ...), and a VM sent it.
    LinkLocalControl = "ingress:link_local_control",
    /// The source address is not the port's.
    MacSpoofed = "ingress:mac_spoofed",
    /// The source address is that of a NIC or a static address on another port.
    SourceMacElsewhere = "ingress:source_mac_elsewhere",
    /// The station came to another port just before: a loop, or a forgery.
    MacMovedTooSoon = "ingress:mac_moved_too_soon",
    /// The VLAN id is 4095.
    ReservedVlan = "ingress:reserved_vlan",
    /// It has a further tag, which could lead it out of its VLAN behind the next switch.
    DoubleTagged = "ingress:double_tagged",
    /// The port may not send in its VLAN.
    VlanNotAllowed = "ingress:vlan_not_allowed",
    /// A rule of the sender's ACL denies it.
    IngressAcl = "ingress:acl",
    /// Its headers cannot be read with certainty, and the sender is under an ACL or a guard.
    IngressUnreadable = "ingress:unreadable",
    /// It is a message of a DHCP server.
    DhcpGuard = "ingress:dhcp_guard",
    /// It is a router advertisement or a redirection.
    RouterGuard = "ingress:router_guard",
    /// The sender is above its limit of broadcast, multicast and unknown unicast.
    StormLimit = "ingress:storm_limit",
    /// The sender is above its maximum bandwidth.
    Bandwidth = "ingress:bandwidth",
    /// Its destination is on the port that it comes from, or is its own source address.
    Hairpin = "forwarding:hairpin",
    /// Its destination is known, but that NIC does not receive now.
    NotConnected = "forwarding:not_connected",
    /// Nothing takes it.
    NoDestination = "forwarding:no_destination",
    /// The receiver is not in its VLAN, or the rules of the private VLAN keep them apart.
    EgressVlan = "egress:vlan",
    /// A rule of the receiver's ACL denies it.
    EgressAcl = "egress:acl",
    /// Its headers cannot be read with certainty, and the receiver is under an ACL.
    EgressUnreadable = "egress:unreadable",
    /// A filtering extension excluded the destination.
    EgressFiltered = "egress:extension",
}

impl DropReason {
    /// Position in [`Self::ALL`], for an array of counters.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// `ingress`, `forwarding` or `egress`.
    #[must_use]
    pub fn stage(self) -> &'static str {
        self.as_str().split_once(':').map_or("", |(stage, _)| stage)
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for DropReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
