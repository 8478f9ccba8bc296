//! The object identifiers of SR-IOV, the NIC switch, VM queues and receive filters (ndis.md A.1), and the vendor's own.
//!
//! Numbers of the public range are decimal digits written as hexadecimal: 0x00010239 is followed by 0x00010240. They are
//! therefore listed one by one, never counted up.

use core::fmt;

use serde::{Deserialize, Serialize};

/// How a request moves data: `NdisRequestQueryInformation`, `-SetInformation` or `-Method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestType {
    /// Data come out.
    Query,
    /// Data go in.
    Set,
    /// A structure goes in and comes out completed.
    Method,
}

impl fmt::Display for RequestType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Query => "query",
            Self::Set => "set",
            Self::Method => "method",
        })
    }
}

/// What of an adapter an OID belongs to: whether it is answered goes by the adapter's [`Mode`](crate::Mode).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    /// SR-IOV and the NIC switch.
    Sriov,
    /// VM queues.
    VmQueues,
    /// Receive filters, on VPorts or on VM queues.
    ReceiveFilters,
}

/// Who completes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Handler {
    /// The NDIS layer, from what it knows.
    Ndis,
    /// The PF miniport, after the NDIS layer has validated the request.
    Miniport,
    /// The NDIS layer of the VF's own network adapter ([`Adapter::request_on_vf`](crate::Adapter::request_on_vf)).
    VfAdapter,
    /// The VF's own driver, in its guest: NDIS sends such requests to it, here as an
    /// [`Action`](crate::Action). The PF answers `NOT_SUPPORTED`.
    VfMiniport,
    /// Nobody here: the number stands, and requests are answered with `NOT_SUPPORTED`.
    Nobody,
}

macro_rules! oids {
    ($( $(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, [$($kind:ident: $handler:ident),*] $(, $only:ident)?; )*) => {
        /// An object identifier.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(u32)]
        pub enum Oid {
            $( $(#[$doc])* $variant = $number, )*
        }

        impl Oid {
            /// Every OID, in the order of ndis.md A.1.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )*];

            /// The number on the wire.
            pub const fn number(self) -> u32 {
                match self {
                    $( Self::$variant => $number, )*
                }
            }

            /// The name of the public header, or the vendor's.
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => $name, )*
                }
            }

            /// The request types that this OID has, each with who completes it.
            pub const fn handlers(self) -> &'static [(RequestType, Handler)] {
                match self {
                    $( Self::$variant => &[$( (RequestType::$kind, Handler::$handler), )*], )*
                }
            }

            /// True if NDIS issues this OID itself and refuses it from an overlying driver.
            pub const fn only_ndis_issues(self) -> bool {
                match self {
                    $( Self::$variant => oids!(@only $($only)?), )*
                }
            }
        }
    };
    (@only only_ndis) => { true };
    (@only) => { false };
}

oids! {
    /// Receive-filter features of the hardware.
    ReceiveFilterHardwareCapabilities = 0x0001_0221, "OID_RECEIVE_FILTER_HARDWARE_CAPABILITIES", [Query: Ndis];
    /// Filter and queue types that are enabled.
    ReceiveFilterGlobalParameters = 0x0001_0222, "OID_RECEIVE_FILTER_GLOBAL_PARAMETERS", [Query: Ndis, Method: Ndis];
    /// Allocates a VM queue; there are none while SR-IOV is on (ndis.md 0.4), and no NIC switch while there are some.
    ReceiveFilterAllocateQueue = 0x0001_0223, "OID_RECEIVE_FILTER_ALLOCATE_QUEUE", [Method: Miniport];
    /// Frees a VM queue.
    ReceiveFilterFreeQueue = 0x0001_0224, "OID_RECEIVE_FILTER_FREE_QUEUE", [Set: Miniport];
    /// Lists the VM queues.
    ReceiveFilterEnumQueues = 0x0001_0225, "OID_RECEIVE_FILTER_ENUM_QUEUES", [Query: Ndis];
    /// Parameters of a VM queue.
    ReceiveFilterQueueParameters = 0x0001_0226, "OID_RECEIVE_FILTER_QUEUE_PARAMETERS", [Method: Ndis, Set: Miniport];
    /// Sets a receive filter on a VPort or VM queue.
    ReceiveFilterSetFilter = 0x0001_0227, "OID_RECEIVE_FILTER_SET_FILTER", [Method: Miniport];
    /// Clears a receive filter.
    ReceiveFilterClearFilter = 0x0001_0228, "OID_RECEIVE_FILTER_CLEAR_FILTER", [Set: Miniport];
    /// Lists the filters of a VPort or VM queue.
    ReceiveFilterEnumFilters = 0x0001_0229, "OID_RECEIVE_FILTER_ENUM_FILTERS", [Method: Ndis];
    /// Parameters of a receive filter.
    ReceiveFilterParameters = 0x0001_022A, "OID_RECEIVE_FILTER_PARAMETERS", [Method: Ndis];
    /// Ends the allocation of a batch of VM queues.
    ReceiveFilterQueueAllocationComplete = 0x0001_022B, "OID_RECEIVE_FILTER_QUEUE_ALLOCATION_COMPLETE", [Method: Miniport];
    /// Receive-filter features in use.
    ReceiveFilterCurrentCapabilities = 0x0001_022D, "OID_RECEIVE_FILTER_CURRENT_CAPABILITIES", [Query: Ndis];
    /// NIC-switch features of the hardware.
    NicSwitchHardwareCapabilities = 0x0001_022E, "OID_NIC_SWITCH_HARDWARE_CAPABILITIES", [Query: Ndis];
    /// NIC-switch features in use.
    NicSwitchCurrentCapabilities = 0x0001_022F, "OID_NIC_SWITCH_CURRENT_CAPABILITIES", [Query: Ndis];
    /// Moves a receive filter from one VPort to another at once.
    ReceiveFilterMoveFilter = 0x0001_0230, "OID_RECEIVE_FILTER_MOVE_FILTER", [Set: Miniport];
    /// Hits of a packet-coalescing filter; not an SR-IOV feature.
    PacketCoalescingFilterMatchCount = 0x0001_0235, "OID_PACKET_COALESCING_FILTER_MATCH_COUNT", [Query: Nobody];
    /// Creates the NIC switch when the adapter starts.
    NicSwitchCreateSwitch = 0x0001_0237, "OID_NIC_SWITCH_CREATE_SWITCH", [Method: Miniport], only_ndis;
    /// Parameters of the NIC switch.
    NicSwitchParameters = 0x0001_0238, "OID_NIC_SWITCH_PARAMETERS", [Method: Ndis, Set: Miniport];
    /// Deletes the NIC switch when the adapter stops.
    NicSwitchDeleteSwitch = 0x0001_0239, "OID_NIC_SWITCH_DELETE_SWITCH", [Set: Miniport], only_ndis;
    /// Lists the NIC switches.
    NicSwitchEnumSwitches = 0x0001_0240, "OID_NIC_SWITCH_ENUM_SWITCHES", [Query: Ndis];
    /// Creates a VPort.
    NicSwitchCreateVPort = 0x0001_0241, "OID_NIC_SWITCH_CREATE_VPORT", [Method: Miniport];
    /// Parameters of a VPort.
    NicSwitchVPortParameters = 0x0001_0242, "OID_NIC_SWITCH_VPORT_PARAMETERS", [Method: Ndis, Set: Miniport];
    /// Lists the VPorts.
    NicSwitchEnumVPorts = 0x0001_0243, "OID_NIC_SWITCH_ENUM_VPORTS", [Method: Ndis];
    /// Deletes a VPort.
    NicSwitchDeleteVPort = 0x0001_0244, "OID_NIC_SWITCH_DELETE_VPORT", [Set: Miniport];
    /// Allocates a VF.
    NicSwitchAllocateVf = 0x0001_0245, "OID_NIC_SWITCH_ALLOCATE_VF", [Method: Miniport];
    /// Frees a VF.
    NicSwitchFreeVf = 0x0001_0246, "OID_NIC_SWITCH_FREE_VF", [Set: Miniport];
    /// Parameters of a VF.
    NicSwitchVfParameters = 0x0001_0247, "OID_NIC_SWITCH_VF_PARAMETERS", [Method: Ndis];
    /// Lists the allocated VFs.
    NicSwitchEnumVfs = 0x0001_0248, "OID_NIC_SWITCH_ENUM_VFS", [Method: Ndis];
    /// SR-IOV features of the hardware.
    SriovHardwareCapabilities = 0x0001_0249, "OID_SRIOV_HARDWARE_CAPABILITIES", [Query: Ndis];
    /// SR-IOV features in use.
    SriovCurrentCapabilities = 0x0001_0250, "OID_SRIOV_CURRENT_CAPABILITIES", [Query: Ndis];
    /// Reads PCI configuration space of a VF.
    SriovReadVfConfigSpace = 0x0001_0251, "OID_SRIOV_READ_VF_CONFIG_SPACE", [Method: Miniport];
    /// Writes PCI configuration space of a VF.
    SriovWriteVfConfigSpace = 0x0001_0252, "OID_SRIOV_WRITE_VF_CONFIG_SPACE", [Set: Miniport];
    /// Reads a configuration block of a VF.
    SriovReadVfConfigBlock = 0x0001_0253, "OID_SRIOV_READ_VF_CONFIG_BLOCK", [Method: Miniport];
    /// Writes a configuration block of a VF.
    SriovWriteVfConfigBlock = 0x0001_0254, "OID_SRIOV_WRITE_VF_CONFIG_BLOCK", [Set: Miniport];
    /// Function level reset of a VF.
    SriovResetVf = 0x0001_0255, "OID_SRIOV_RESET_VF", [Set: Miniport];
    /// Device power state of a VF.
    SriovSetVfPowerState = 0x0001_0256, "OID_SRIOV_SET_VF_POWER_STATE", [Set: Miniport];
    /// PCI vendor and device id of a VF.
    SriovVfVendorDeviceId = 0x0001_0257, "OID_SRIOV_VF_VENDOR_DEVICE_ID", [Method: Miniport];
    /// What the VF BARs read after all ones were written to them.
    SriovProbedBars = 0x0001_0258, "OID_SRIOV_PROBED_BARS", [Query: Miniport], only_ndis;
    /// The memory range of one BAR of a VF. A method request; one table of the sources says set (ndis.md 0.5).
    SriovBarResources = 0x0001_0259, "OID_SRIOV_BAR_RESOURCES", [Method: Miniport], only_ndis;
    /// The locally unique id of the PF.
    SriovPfLuid = 0x0001_0260, "OID_SRIOV_PF_LUID", [Query: Ndis];
    /// Configuration state of a VF; undocumented.
    SriovConfigState = 0x0001_0261, "OID_SRIOV_CONFIG_STATE", [Set: VfMiniport];
    /// The serial number by which a guest pairs a VF with its synthetic adapter.
    SriovVfSerialNumber = 0x0001_0262, "OID_SRIOV_VF_SERIAL_NUMBER", [Query: VfAdapter];
    /// The adapter bound above a VF; undocumented.
    SriovOverlyingAdapterInfo = 0x0001_0268, "OID_SRIOV_OVERLYING_ADAPTER_INFO", [Set: VfMiniport];
    /// Which configuration blocks of a VF became stale.
    SriovVfInvalidateConfigBlock = 0x0001_0269, "OID_SRIOV_VF_INVALIDATE_CONFIG_BLOCK", [Method: VfMiniport];
    /// Port security of a VPort. Vendor OID.
    VPortPortSecurity = 0xFF5A_F001, "OID_SOFTIOV_VPORT_PORT_SECURITY", [Method: Miniport, Set: Miniport];
    /// Receive mode of a VPort: what its guest was granted, or what the stack grants. Vendor OID.
    VPortReceiveMode = 0xFF5A_F002, "OID_SOFTIOV_VPORT_RECEIVE_MODE", [Method: Miniport, Set: Miniport];
    /// Serial number of a VF, assigned by the virtualization stack. Vendor OID.
    VfSerialNumber = 0xFF5A_F003, "OID_SOFTIOV_VF_SERIAL_NUMBER", [Set: Ndis];
}

impl Oid {
    /// The OID with this number, if this crate knows it.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|oid| oid.number() == number)
    }

    /// Who completes a request of `request_type`; `None` if the OID has no such request.
    pub fn handler(self, request_type: RequestType) -> Option<Handler> {
        self.handlers().iter().find(|(kind, _)| *kind == request_type).map(|(_, handler)| *handler)
    }

    /// What it belongs to.
    pub(crate) const fn feature(self) -> Feature {
        match self {
            Self::ReceiveFilterAllocateQueue
            | Self::ReceiveFilterFreeQueue
            | Self::ReceiveFilterEnumQueues
            | Self::ReceiveFilterQueueParameters
            | Self::ReceiveFilterQueueAllocationComplete => Feature::VmQueues,
            Self::ReceiveFilterHardwareCapabilities
            | Self::ReceiveFilterCurrentCapabilities
            | Self::ReceiveFilterGlobalParameters
            | Self::ReceiveFilterSetFilter
            | Self::ReceiveFilterClearFilter
            | Self::ReceiveFilterEnumFilters
            | Self::ReceiveFilterParameters => Feature::ReceiveFilters,
            _ => Feature::Sriov,
        }
    }

    /// True for the OIDs of the private range 0xFF5AF0xx, which no other adapter has.
    pub const fn is_vendor(self) -> bool {
        self.number() >> 8 == 0x00FF_5AF0
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
