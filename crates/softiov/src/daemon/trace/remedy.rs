//! What would have a frame delivered that is lost.

/// For a reason of the extensible switch.
pub(super) const fn of_switch(reason: vswitch::DropReason) -> &'static str {
    use vswitch::DropReason::*;
    match reason {
        PortInactive => "the sender's port has no NIC that sends: its VMM must be connected (`softiov port`)",
        TooShort => "a frame has at least the 14 bytes of an Ethernet header",
        Filtered | EgressFiltered => "an extension of the switch decides about it (`softiov switch`)",
        SourceMacInvalid => "the source must be a unicast address other than zero",
        PauseFrame => "MAC control frames are dropped whoever sends them",
        LinkLocalControl => "frames to 01:80:c2:00:00:0x pass between the host and the physical port only",
        MacSpoofed => "send from the adapter's own address, or set `trusted = true` for it",
        SourceMacElsewhere => {
            "the source is the address of another port (`softiov fdb`): it must be sent from there"
        }
        MacMovedTooSoon => "the station was seen at another port less than a second ago: look for a loop",
        ReservedVlan => "VLAN 4095 is reserved: use 1 to 4094",
        DoubleTagged => "a second VLAN tag passes from trunks only",
        VlanNotAllowed => {
            "the port is not in this VLAN: see `vlan`, `trunk` and `private_vlan` of the adapter"
        }
        IngressAcl => {
            "a rule of the sender's ACL denies it (`softiov acl`); a rule of greater weight could allow it"
        }
        IngressUnreadable | EgressUnreadable => {
            "under an ACL or a guard only frames pass whose headers can be read"
        }
        DhcpGuard => "`softiov port set ADAPTER dhcp-guard=off` lets it answer as a DHCP server",
        RouterGuard => "`softiov port set ADAPTER router-guard=off` lets it advertise itself as a router",
        StormLimit => {
            "`softiov port set ADAPTER storm-limit=N` sets how many such frames it may send a second"
        }
        Bandwidth => "`softiov port set ADAPTER max-bandwidth=RATE` sets how much it may send",
        Hairpin => "the destination is on the sender's own port",
        NotConnected => "the destination is known, but its VMM is not connected (`softiov port`)",
        NoDestination => {
            "nobody is known to have this address, and there is nowhere to flood to: connect a VM, or an uplink"
        }
        EgressVlan => "the receiver is not in the frame's VLAN, or kept apart by a private VLAN",
        EgressAcl => {
            "a rule of the receiver's ACL denies it (`softiov acl`); a rule of greater weight could allow it"
        }
    }
}

/// For a reason of the NIC switch.
pub(super) const fn of_nic_switch(reason: nic_switch::DropReason) -> &'static str {
    use nic_switch::DropReason::*;
    match reason {
        VPortInactive => "the VPort is not activated, or gone (`softiov vport`)",
        LinkDown => "the link of the VPort is disabled",
        NoFilter => "no receive filter stands on the sender's VPort (`softiov filter`)",
        SourceMacInvalid => "the source must be a unicast address other than zero",
        PauseFrame => "MAC control frames are dropped whoever sends them",
        LinkLocalControl => "frames to 01:80:c2:00:00:0x pass between the host and the physical port only",
        SourceMacSpoofed => "send from the adapter's own address, or set `trusted = true` for it",
        ReservedVlan => "VLAN 4095 is reserved: use 1 to 4094",
        DoubleTagged => "a second VLAN tag passes from trunks only",
        VlanNotAllowed => "the adapter may not send in this VLAN: see its `vlan` and `trunk`",
        Hairpin => "the destination is on the sender's own VPort",
        NoDestination => "no filter matches, and there is no uplink: connect a VM, or configure an uplink",
    }
}
