//! A.1 and A.2: numbers, kinds, who answers.

use super::Rules;
use crate::RequestType::{Method, Query, Set};
use crate::{Handler, Indication, NdisStatus, Oid, RequestType};

/// A.1, row by row: number, kinds, "only NDIS issues".
const TABLE: [(&str, u32, &[RequestType], bool); 45] = [
    ("OID_RECEIVE_FILTER_HARDWARE_CAPABILITIES", 0x00010221, &[Query], false),
    ("OID_RECEIVE_FILTER_GLOBAL_PARAMETERS", 0x00010222, &[Query, Method], false),
    ("OID_RECEIVE_FILTER_ALLOCATE_QUEUE", 0x00010223, &[Method], false),
    ("OID_RECEIVE_FILTER_FREE_QUEUE", 0x00010224, &[Set], false),
    ("OID_RECEIVE_FILTER_ENUM_QUEUES", 0x00010225, &[Query], false),
    ("OID_RECEIVE_FILTER_QUEUE_PARAMETERS", 0x00010226, &[Method, Set], false),
    ("OID_RECEIVE_FILTER_SET_FILTER", 0x00010227, &[Method], false),
    ("OID_RECEIVE_FILTER_CLEAR_FILTER", 0x00010228, &[Set], false),
    ("OID_RECEIVE_FILTER_ENUM_FILTERS", 0x00010229, &[Method], false),
    ("OID_RECEIVE_FILTER_PARAMETERS", 0x0001022A, &[Method], false),
    ("OID_RECEIVE_FILTER_QUEUE_ALLOCATION_COMPLETE", 0x0001022B, &[Method], false),
    ("OID_RECEIVE_FILTER_CURRENT_CAPABILITIES", 0x0001022D, &[Query], false),
    ("OID_NIC_SWITCH_HARDWARE_CAPABILITIES", 0x0001022E, &[Query], false),
    ("OID_NIC_SWITCH_CURRENT_CAPABILITIES", 0x0001022F, &[Query], false),
    ("OID_RECEIVE_FILTER_MOVE_FILTER", 0x00010230, &[Set], false),
    ("OID_PACKET_COALESCING_FILTER_MATCH_COUNT", 0x00010235, &[Query], false),
    ("OID_NIC_SWITCH_CREATE_SWITCH", 0x00010237, &[Method], true),
    ("OID_NIC_SWITCH_PARAMETERS", 0x00010238, &[Method, Set], false),
    ("OID_NIC_SWITCH_DELETE_SWITCH", 0x00010239, &[Set], true),
    ("OID_NIC_SWITCH_ENUM_SWITCHES", 0x00010240, &[Query], false),
    ("OID_NIC_SWITCH_CREATE_VPORT", 0x00010241, &[Method], false),
    ("OID_NIC_SWITCH_VPORT_PARAMETERS", 0x00010242, &[Method, Set], false),
    ("OID_NIC_SWITCH_ENUM_VPORTS", 0x00010243, &[Method], false),
    ("OID_NIC_SWITCH_DELETE_VPORT", 0x00010244, &[Set], false),
    ("OID_NIC_SWITCH_ALLOCATE_VF", 0x00010245, &[Method], false),
    ("OID_NIC_SWITCH_FREE_VF", 0x00010246, &[Set], false),
    ("OID_NIC_SWITCH_VF_PARAMETERS", 0x00010247, &[Method], false),
    ("OID_NIC_SWITCH_ENUM_VFS", 0x00010248, &[Method], false),
    ("OID_SRIOV_HARDWARE_CAPABILITIES", 0x00010249, &[Query], false),
    ("OID_SRIOV_CURRENT_CAPABILITIES", 0x00010250, &[Query], false),
    ("OID_SRIOV_READ_VF_CONFIG_SPACE", 0x00010251, &[Method], false),
    ("OID_SRIOV_WRITE_VF_CONFIG_SPACE", 0x00010252, &[Set], false),
    ("OID_SRIOV_READ_VF_CONFIG_BLOCK", 0x00010253, &[Method], false),
    ("OID_SRIOV_WRITE_VF_CONFIG_BLOCK", 0x00010254, &[Set], false),
    ("OID_SRIOV_RESET_VF", 0x00010255, &[Set], false),
    ("OID_SRIOV_SET_VF_POWER_STATE", 0x00010256, &[Set], false),
    ("OID_SRIOV_VF_VENDOR_DEVICE_ID", 0x00010257, &[Method], false),
    ("OID_SRIOV_PROBED_BARS", 0x00010258, &[Query], true),
    ("OID_SRIOV_BAR_RESOURCES", 0x00010259, &[Method], true),
    ("OID_SRIOV_PF_LUID", 0x00010260, &[Query], false),
    ("OID_SRIOV_CONFIG_STATE", 0x00010261, &[Set], false),
    ("OID_SRIOV_VF_SERIAL_NUMBER", 0x00010262, &[Query], false),
    ("OID_SRIOV_OVERLYING_ADAPTER_INFO", 0x00010268, &[Set], false),
    ("OID_SRIOV_VF_INVALIDATE_CONFIG_BLOCK", 0x00010269, &[Method], false),
    ("OID_SOFTIOV_VPORT_PORT_SECURITY", 0xFF5AF001, &[Method, Set], false),
];

/// A.1: what NDIS answers from its cache; the rest reaches the miniport or nobody.
const ANSWERED_BY_NDIS: [(&str, RequestType); 18] = [
    ("OID_RECEIVE_FILTER_ENUM_QUEUES", Query),
    ("OID_RECEIVE_FILTER_QUEUE_PARAMETERS", Method),
    ("OID_RECEIVE_FILTER_HARDWARE_CAPABILITIES", Query),
    ("OID_RECEIVE_FILTER_GLOBAL_PARAMETERS", Query),
    ("OID_RECEIVE_FILTER_ENUM_FILTERS", Method),
    ("OID_RECEIVE_FILTER_PARAMETERS", Method),
    ("OID_RECEIVE_FILTER_CURRENT_CAPABILITIES", Query),
    ("OID_NIC_SWITCH_HARDWARE_CAPABILITIES", Query),
    ("OID_NIC_SWITCH_CURRENT_CAPABILITIES", Query),
    ("OID_NIC_SWITCH_PARAMETERS", Method),
    ("OID_NIC_SWITCH_ENUM_SWITCHES", Query),
    ("OID_NIC_SWITCH_VPORT_PARAMETERS", Method),
    ("OID_NIC_SWITCH_ENUM_VPORTS", Method),
    ("OID_NIC_SWITCH_VF_PARAMETERS", Method),
    ("OID_NIC_SWITCH_ENUM_VFS", Method),
    ("OID_SRIOV_HARDWARE_CAPABILITIES", Query),
    ("OID_SRIOV_CURRENT_CAPABILITIES", Query),
    ("OID_SRIOV_PF_LUID", Query),
];

/// A.1: what reaches the PF miniport.
const ANSWERED_BY_THE_MINIPORT: [(&str, RequestType); 20] = [
    ("OID_RECEIVE_FILTER_ALLOCATE_QUEUE", Method),
    ("OID_RECEIVE_FILTER_FREE_QUEUE", Set),
    ("OID_RECEIVE_FILTER_QUEUE_PARAMETERS", Set),
    ("OID_RECEIVE_FILTER_QUEUE_ALLOCATION_COMPLETE", Method),
    ("OID_RECEIVE_FILTER_SET_FILTER", Method),
    ("OID_RECEIVE_FILTER_CLEAR_FILTER", Set),
    ("OID_RECEIVE_FILTER_MOVE_FILTER", Set),
    ("OID_NIC_SWITCH_CREATE_SWITCH", Method),
    ("OID_NIC_SWITCH_PARAMETERS", Set),
    ("OID_NIC_SWITCH_DELETE_SWITCH", Set),
    ("OID_NIC_SWITCH_CREATE_VPORT", Method),
    ("OID_NIC_SWITCH_VPORT_PARAMETERS", Set),
    ("OID_NIC_SWITCH_DELETE_VPORT", Set),
    ("OID_NIC_SWITCH_ALLOCATE_VF", Method),
    ("OID_NIC_SWITCH_FREE_VF", Set),
    ("OID_SRIOV_READ_VF_CONFIG_SPACE", Method),
    ("OID_SRIOV_WRITE_VF_CONFIG_BLOCK", Set),
    ("OID_SRIOV_RESET_VF", Set),
    ("OID_SRIOV_PROBED_BARS", Query),
    ("OID_SRIOV_BAR_RESOURCES", Method),
];

const STATUSES: [(&str, u32); 13] = [
    ("SUCCESS", 0x0000_0000),
    ("PENDING", 0x0000_0103),
    ("NOT_ACCEPTED", 0x0001_0003),
    ("FAILURE", 0xC000_0001),
    ("INVALID_PARAMETER", 0xC000_000D),
    ("RESOURCES", 0xC000_009A),
    ("NOT_SUPPORTED", 0xC000_00BB),
    ("REQUEST_ABORTED", 0xC001_000C),
    ("INVALID_LENGTH", 0xC001_0014),
    ("INVALID_DATA", 0xC001_0015),
    ("BUFFER_TOO_SHORT", 0xC001_0016),
    ("INVALID_OID", 0xC001_0017),
    ("FILE_NOT_FOUND", 0xC001_001B),
];

const INDICATIONS: [(Indication, u32); 10] = [
    (Indication::ReceiveQueueState, 0x4002_000D),
    (Indication::VfConfigState, 0x4002_000E),
    (Indication::ReceiveFilterCurrentCapabilities, 0x4002_0010),
    (Indication::ReceiveFilterHardwareCapabilities, 0x4002_0020),
    (Indication::ReceiveFilterQueueParameters, 0x4002_0030),
    (Indication::NicSwitchCurrentCapabilities, 0x4002_0040),
    (Indication::NicSwitchHardwareCapabilities, 0x4002_0050),
    (Indication::ReceiveFilterQueueStateChange, 0x4002_0070),
    (Indication::CurrentMacAddressChange, 0x4002_00B0),
    (Indication::L2MtuSizeChange, 0x4002_00B1),
];

fn named(name: &str) -> Oid {
    Oid::ALL.iter().copied().find(|oid| oid.name() == name).unwrap()
}

pub(super) fn rules() -> Rules {
    let mut rules = Rules::default();
    for (name, number, kinds, only_ndis) in TABLE {
        rules.rule(format!("A.1 {name} has number, kinds and issuer"), move || {
            let oid = named(name);
            assert_eq!(oid.number(), number);
            assert_eq!(Oid::from_number(number), Some(oid));
            let has: Vec<_> = oid.handlers().iter().map(|(kind, _)| *kind).collect();
            assert_eq!(has, kinds);
            assert_eq!(oid.only_ndis_issues(), only_ndis);
        });
    }
    for (name, kind) in ANSWERED_BY_NDIS {
        rules.rule(format!("A.1 {kind} of {name} is answered by NDIS"), move || {
            assert_eq!(named(name).handler(kind), Some(Handler::Ndis));
        });
    }
    for (name, kind) in ANSWERED_BY_THE_MINIPORT {
        rules.rule(format!("A.1 {kind} of {name} reaches the miniport"), move || {
            assert_eq!(named(name).handler(kind), Some(Handler::Miniport));
        });
    }
    rules.rule("A.1 no two OIDs have one number", || {
        for (index, oid) in Oid::ALL.iter().enumerate() {
            assert!(Oid::ALL[..index].iter().all(|other| other.number() != oid.number()), "{oid}");
        }
    });
    rules.rule("A.1 the numbers of SR-IOV and switch OIDs skip what is no decimal digit from 230 on", || {
        for oid in Oid::ALL.iter().filter(|oid| !oid.is_vendor() && oid.number() >= 0x0001_0230) {
            assert!(oid.number() & 0xF <= 9 && oid.number() >> 4 & 0xF <= 9, "{oid}");
        }
    });
    rules.rule("vendor OIDs, and no others, have the private range", || {
        for oid in Oid::ALL {
            assert_eq!(oid.is_vendor(), oid.name().starts_with("OID_SOFTIOV_"), "{oid}");
        }
    });
    for (name, value) in STATUSES {
        rules.rule(format!("A.2 status {name} has its value"), move || {
            let status = NdisStatus::from_value(value).unwrap();
            assert_eq!((status.name(), status.value()), (name, value));
        });
    }
    rules.rule("A.2 a value that is no status is none", || {
        assert_eq!(NdisStatus::from_value(0xC001_0018), None);
    });
    for (indication, value) in INDICATIONS {
        rules.rule(format!("A.2 indication {indication:?} has its value"), move || {
            assert_eq!(indication.value(), value);
        });
    }
    rules
}
