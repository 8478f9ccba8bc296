//! A.3: every request, with every status that it can have by its form, its time and its issuer.

use nic_switch::{
    FilterId, FunctionId, PortSecurity, ReceiveMode, SwitchParameters, VPortChanges, VPortId, VPortState,
    VfId,
};

use super::Rules;
use crate::tests::raw::raw;
use crate::tests::support::{Bench, config, mac, pf_vport, test, vf_parameters, without_sriov};
use crate::{NdisStatus, Oid, OidRequest, OidResponse, PowerState, RawRequest, RequestType, SwitchChanges};

const VF: VfId = VfId(0);
const VF_VPORT: VPortId = VPortId(1);
const FREE_VF: VfId = VfId(1);
const PF_VPORT: VPortId = VPortId(2);
const FILTER: FilterId = FilterId(1);

/// VF 0 with VPort 1, VF 1 without, VPort 2 of the PF, filter 1 on the default VPort.
fn scenario() -> Bench {
    let mut bench = Bench::new();
    assert_eq!(bench.attached_vf(), (VF, VF_VPORT));
    assert_eq!(bench.allocate_vf(), FREE_VF);
    assert_eq!(bench.create_vport(pf_vport()), PF_VPORT);
    assert_eq!(bench.set_filter(VPortId::DEFAULT, test(1)), FILTER);
    bench
}

/// One request of each kind that succeeds in the scenario.
fn requests() -> Vec<OidRequest> {
    let mode = ReceiveMode { unicast: vec![mac(7)], all_multicast: true, ..ReceiveMode::default() };
    let security = PortSecurity { trusted: true, ..PortSecurity::default() };
    vec![
        OidRequest::SriovHardwareCapabilities,
        OidRequest::SriovCurrentCapabilities,
        OidRequest::NicSwitchHardwareCapabilities,
        OidRequest::NicSwitchCurrentCapabilities,
        OidRequest::ReceiveFilterHardwareCapabilities,
        OidRequest::ReceiveFilterCurrentCapabilities,
        OidRequest::ReceiveFilterGlobalParameters,
        OidRequest::SwitchParameters,
        OidRequest::SetSwitchParameters(SwitchChanges { name: Some("renamed".into()), num_vfs: 4 }),
        OidRequest::EnumSwitches,
        OidRequest::AllocateVf(vf_parameters()),
        OidRequest::FreeVf(FREE_VF),
        OidRequest::VfParameters(VF),
        OidRequest::EnumVfs,
        OidRequest::CreateVPort(pf_vport()),
        OidRequest::VPortParameters(VF_VPORT),
        OidRequest::SetVPortParameters {
            vport: PF_VPORT,
            changes: VPortChanges { state: Some(VPortState::Activated), ..VPortChanges::default() },
        },
        OidRequest::EnumVPorts { function: Some(FunctionId::Vf(VF)) },
        OidRequest::DeleteVPort(PF_VPORT),
        OidRequest::SetFilter { vport: PF_VPORT, test: test(9) },
        OidRequest::ClearFilter(FILTER),
        OidRequest::MoveFilter { filter: FILTER, from: VPortId::DEFAULT, to: VF_VPORT },
        OidRequest::EnumFilters(VPortId::DEFAULT),
        OidRequest::FilterParameters(FILTER),
        OidRequest::ReadVfConfigSpace { vf: VF, offset: 0, length: 64 },
        OidRequest::WriteVfConfigSpace { vf: VF, offset: 4, data: vec![6, 0] },
        OidRequest::ReadVfConfigBlock { vf: VF, block: 0, length: 16 },
        OidRequest::WriteVfConfigBlock { vf: VF, block: 9, data: vec![1, 2, 3] },
        OidRequest::ResetVf(VF),
        OidRequest::SetVfPowerState { vf: VF, state: PowerState::D3, wake_enable: true },
        OidRequest::VfVendorDeviceId(VF),
        OidRequest::PfLuid,
        OidRequest::PortSecurity(VF_VPORT),
        OidRequest::SetPortSecurity { vport: VF_VPORT, security: Box::new(security) },
        OidRequest::ReceiveMode(VF_VPORT),
        OidRequest::SetReceiveMode { vport: VF_VPORT, mode: Box::new(mode) },
        OidRequest::SetVfSerialNumber { vf: VF, serial_number: 42 },
    ]
}

/// Those that only NDIS issues.
fn ndis_requests() -> Vec<OidRequest> {
    vec![
        OidRequest::CreateSwitch(config().switch),
        OidRequest::DeleteSwitch,
        OidRequest::ProbedBars,
        OidRequest::BarResources { vf: VF, bar: 0 },
    ]
}

/// Those that name an object that is not there, or have a member that is out of range.
fn bad_members() -> Vec<(&'static str, OidRequest)> {
    let (no_vf, no_vport, no_filter) = (VfId(3), VPortId(7), FilterId(77));
    let none = VfId(0xFFFF);
    vec![
        (
            "NumVFs beyond MaxNumVFs",
            OidRequest::SetSwitchParameters(SwitchChanges { name: Some("not taken".into()), num_vfs: 5 }),
        ),
        (
            "a name of 257 units",
            OidRequest::SetSwitchParameters(SwitchChanges { name: Some("x".repeat(257)), num_vfs: 4 }),
        ),
        ("VF not allocated", OidRequest::FreeVf(no_vf)),
        ("VF 0xFFFF", OidRequest::FreeVf(none)),
        ("VF has a VPort", OidRequest::FreeVf(VF)),
        ("VF not allocated", OidRequest::VfParameters(no_vf)),
        ("VF 0xFFFF", OidRequest::VfParameters(none)),
        ("no such VPort", OidRequest::VPortParameters(no_vport)),
        ("VPort 0xFFFFFFFF", OidRequest::VPortParameters(VPortId(u32::MAX))),
        (
            "no such VPort",
            OidRequest::SetVPortParameters { vport: no_vport, changes: VPortChanges::default() },
        ),
        ("VF not allocated", OidRequest::EnumVPorts { function: Some(FunctionId::Vf(no_vf)) }),
        ("no such VPort", OidRequest::DeleteVPort(no_vport)),
        ("the default VPort", OidRequest::DeleteVPort(VPortId::DEFAULT)),
        ("no such VPort", OidRequest::SetFilter { vport: no_vport, test: test(9) }),
        ("filter 0", OidRequest::ClearFilter(FilterId(0))),
        ("no such filter", OidRequest::ClearFilter(no_filter)),
        (
            "no such filter",
            OidRequest::MoveFilter { filter: no_filter, from: VPortId::DEFAULT, to: VF_VPORT },
        ),
        ("no such source", OidRequest::MoveFilter { filter: FILTER, from: no_vport, to: VF_VPORT }),
        ("another source", OidRequest::MoveFilter { filter: FILTER, from: PF_VPORT, to: VF_VPORT }),
        (
            "no such destination",
            OidRequest::MoveFilter { filter: FILTER, from: VPortId::DEFAULT, to: no_vport },
        ),
        ("no such VPort", OidRequest::EnumFilters(no_vport)),
        ("filter 0", OidRequest::FilterParameters(FilterId(0))),
        ("no such filter", OidRequest::FilterParameters(no_filter)),
        ("VF not allocated", OidRequest::ReadVfConfigSpace { vf: no_vf, offset: 0, length: 4 }),
        ("beyond the space", OidRequest::ReadVfConfigSpace { vf: VF, offset: 4093, length: 4 }),
        ("VF not allocated", OidRequest::WriteVfConfigSpace { vf: no_vf, offset: 4, data: vec![0] }),
        ("beyond the space", OidRequest::WriteVfConfigSpace { vf: VF, offset: 4096, data: vec![0] }),
        ("VF not allocated", OidRequest::ReadVfConfigBlock { vf: no_vf, block: 0, length: 1 }),
        ("block 64", OidRequest::ReadVfConfigBlock { vf: VF, block: 64, length: 1 }),
        ("129 bytes", OidRequest::ReadVfConfigBlock { vf: VF, block: 2, length: 129 }),
        ("VF not allocated", OidRequest::WriteVfConfigBlock { vf: no_vf, block: 2, data: vec![0] }),
        ("a block of the PF", OidRequest::WriteVfConfigBlock { vf: VF, block: 1, data: vec![0] }),
        ("VF not allocated", OidRequest::ResetVf(no_vf)),
        ("VF 0xFFFF", OidRequest::ResetVf(none)),
        (
            "VF not allocated",
            OidRequest::SetVfPowerState { vf: no_vf, state: PowerState::D3, wake_enable: false },
        ),
        ("wake in D0", OidRequest::SetVfPowerState { vf: VF, state: PowerState::D0, wake_enable: true }),
        ("D2", OidRequest::SetVfPowerState { vf: VF, state: PowerState::D2, wake_enable: false }),
        ("VF not allocated", OidRequest::VfVendorDeviceId(no_vf)),
        ("no such VPort", OidRequest::PortSecurity(no_vport)),
        ("the default VPort", OidRequest::PortSecurity(VPortId::DEFAULT)),
        ("no such VPort", OidRequest::SetPortSecurity { vport: no_vport, security: Box::default() }),
        (
            "the default VPort",
            OidRequest::SetPortSecurity { vport: VPortId::DEFAULT, security: Box::default() },
        ),
        ("no such VPort", OidRequest::ReceiveMode(no_vport)),
        ("no such VPort", OidRequest::SetReceiveMode { vport: no_vport, mode: Box::default() }),
        ("VF not allocated", OidRequest::SetVfSerialNumber { vf: no_vf, serial_number: 1 }),
    ]
}

pub(super) fn label(request: &OidRequest) -> String {
    let (oid, request_type) = request.oid();
    format!("{request_type} {}", oid.name().trim_start_matches("OID_"))
}

/// A.3: for what is to be removed, NDIS says FILE_NOT_FOUND where others say INVALID_PARAMETER.
fn bad_member_status(request: &OidRequest) -> NdisStatus {
    match request.oid().0 {
        Oid::NicSwitchFreeVf | Oid::ReceiveFilterClearFilter | Oid::NicSwitchDeleteSwitch => {
            NdisStatus::FileNotFound
        }
        _ => NdisStatus::InvalidParameter,
    }
}

pub(super) fn refused_without_effect(bench: &mut Bench, request: RawRequest) -> OidResponse {
    let before = bench.state();
    let response = bench.ask(request);
    assert_ne!(response.status, NdisStatus::Success);
    assert_eq!(bench.state(), before);
    response
}

/// Bytes through the last member of the structure's first revision, by OID; 0 without structure.
fn least_input(request: &OidRequest) -> usize {
    match request.oid().0 {
        Oid::NicSwitchParameters => 548,
        Oid::ReceiveFilterAllocateQueue | Oid::ReceiveFilterQueueParameters => 1084,
        Oid::ReceiveFilterEnumFilters => 20,
        Oid::ReceiveFilterParameters | Oid::ReceiveFilterSetFilter => 36,
        _ => raw(request).input.len().min(declared(&raw(request).input)),
    }
}

/// The size in the header.
fn declared(input: &[u8]) -> usize {
    if input.len() < 4 { 0 } else { usize::from(u16::from_le_bytes([input[2], input[3]])) }
}

pub(super) fn rules() -> Rules {
    let mut rules = Rules::default();
    for request in requests() {
        by_form(&mut rules, &label(&request), scenario, &request);
        by_time(&mut rules, &request);
    }
    for request in ndis_requests() {
        let name = label(&request);
        rules.rule(format!("A.1 {name} is NOT_SUPPORTED for anyone but NDIS"), move || {
            let mut bench = scenario();
            assert_eq!(bench.status(request.clone()), NdisStatus::NotSupported);
            assert_eq!(bench.status(raw(&request)), NdisStatus::NotSupported);
        });
    }
    for (what, request) in bad_members() {
        let name = label(&request);
        let expected = bad_member_status(&request);
        rules.rule(format!("A.3 {name} with {what}: {expected}"), move || {
            let mut bench = scenario();
            let before = bench.state();
            let typed = bench.ask(request.clone());
            assert_eq!(typed.status, expected, "{:?}", typed.refusal);
            assert_eq!(bench.state(), before);
            // A name that is too long does not fit into the structure.
            if what != "a name of 257 units" {
                let response = refused_without_effect(&mut bench, raw(&request));
                assert_eq!(response.status, expected, "{:?}", response.refusal);
            }
        });
    }
    for oid in Oid::ALL.iter().copied() {
        let answered = requests().iter().chain(&ndis_requests()).any(|request| request.oid().0 == oid);
        if !answered {
            rules.rule(format!("{oid} is NOT_SUPPORTED on the PF adapter"), move || {
                let (request_type, _) = oid.handlers()[0];
                let request =
                    RawRequest { request_type, oid: oid.number(), input: vec![0; 64], output_length: 64 };
                assert_eq!(scenario().status(request), NdisStatus::NotSupported);
            });
        }
    }
    rules.rule("a number that is no OID is INVALID_OID", || {
        for number in [0, 0x0001_022C, 0x0001_023A, 0x0001_0270, 0xFF5A_F004, u32::MAX] {
            let request = RawRequest {
                request_type: RequestType::Query,
                oid: number,
                input: vec![],
                output_length: 64,
            };
            assert_eq!(scenario().status(request), NdisStatus::InvalidOid);
        }
    });
    rules
}

/// What holds of `request`, which is answered in `scenario`, whatever it is.
pub(super) fn by_form(rules: &mut Rules, name: &str, scenario: fn() -> Bench, request: &OidRequest) {
    let least = least_input(request);

    let of = request.clone();
    rules.rule(format!("A.3 {name}: {}, typed and raw alike", accepted(request)), move || {
        let (mut typed, mut bytes) = (scenario(), scenario());
        let (by_type, by_bytes) = (typed.ask(of.clone()), bytes.ask(raw(&of)));
        assert_eq!(by_type.status, accepted(&of), "{:?}", by_type.refusal);
        assert_eq!(by_bytes.status, accepted(&of), "{:?}", by_bytes.refusal);
        assert_eq!(typed.actions, bytes.actions);
        assert_eq!(typed.state(), bytes.state());
        assert_eq!(by_bytes.bytes_written == 0, of.oid().1 == RequestType::Set);
        assert_eq!(by_bytes.bytes_read == 0, of.oid().1 == RequestType::Query);
    });

    let of = request.clone();
    rules.rule(format!("A.1 {name} has no other request types"), move || {
        for other in [RequestType::Query, RequestType::Set, RequestType::Method] {
            if of.oid().0.handler(other).is_none() {
                let request = RawRequest { request_type: other, ..raw(&of) };
                let response = refused_without_effect(&mut scenario(), request);
                assert_eq!(response.status, NdisStatus::NotSupported);
            }
        }
    });

    if of_type(request) != RequestType::Set {
        let of = request.clone();
        rules.rule(format!("A.3 {name} with a short output: INVALID_LENGTH and BytesNeeded"), move || {
            let needed = scenario().ask(raw(&of)).bytes_written;
            let short = RawRequest { output_length: needed - 1, ..raw(&of) };
            let response = refused_without_effect(&mut scenario(), short);
            assert_eq!((response.status, response.bytes_needed), (NdisStatus::InvalidLength, needed));
            let exact = RawRequest { output_length: needed, ..raw(&of) };
            assert_eq!(scenario().status(exact), NdisStatus::Success);
        });
    }
    if least == 0 {
        return;
    }
    let of = request.clone();
    rules.rule(format!("A.3 {name} with a short input: INVALID_LENGTH and BytesNeeded"), move || {
        let mut bench = scenario();
        for length in [0, 1, 4, least - 1] {
            let mut request = raw(&of);
            request.input.truncate(length);
            let response = refused_without_effect(&mut bench, request);
            assert_eq!(response.status, NdisStatus::InvalidLength, "{length} bytes: {:?}", response.refusal);
            assert_eq!(usize::try_from(response.bytes_needed).unwrap(), least);
        }
    });
    let of = request.clone();
    rules.rule(format!("A.3 {name} with a bad header is refused as a bad member"), move || {
        let mut bench = scenario();
        let expected = bad_member_status(&of);
        // Type, revision 0, a revision that is too new, a size below the revision's.
        for (offset, value) in [(0, 0x81), (1, 0), (1, 9), (2, 3)] {
            let mut request = raw(&of);
            request.input[offset] = value;
            if offset == 2 {
                request.input[3] = 0;
            }
            let response = refused_without_effect(&mut bench, request);
            assert_eq!(response.status, expected, "byte {offset} is {value}: {:?}", response.refusal);
        }
    });
}

/// The status of a request that is not refused.
fn accepted(request: &OidRequest) -> NdisStatus {
    match request {
        OidRequest::FreeQueue(_) => NdisStatus::Pending,
        _ => NdisStatus::Success,
    }
}

fn of_type(request: &OidRequest) -> RequestType {
    request.oid().1
}

fn by_time(rules: &mut Rules, request: &OidRequest) {
    let name = label(request);
    let of = request.clone();
    rules.rule(format!("A.3 {name} while the adapter is halted: NOT_ACCEPTED"), move || {
        let mut bench = scenario();
        bench.adapter.halt();
        assert_eq!(bench.status(of.clone()), NdisStatus::NotAccepted);
        assert_eq!(bench.status(raw(&of)), NdisStatus::NotAccepted);
    });

    let hardware = matches!(
        request,
        OidRequest::SriovHardwareCapabilities
            | OidRequest::NicSwitchHardwareCapabilities
            | OidRequest::ReceiveFilterHardwareCapabilities
    );
    let expected = if hardware { NdisStatus::Success } else { NdisStatus::NotSupported };
    let of = request.clone();
    rules.rule(format!("A.3 {name} with SR-IOV off: {expected}"), move || {
        let mut bench = Bench::of(without_sriov());
        assert_eq!(bench.status(of.clone()), expected);
        assert_eq!(bench.status(raw(&of)), expected);
        // An empty buffer is not even looked at.
        let empty = RawRequest { input: vec![], ..raw(&of) };
        assert_eq!(bench.status(empty), expected);
    });

    let of = request.clone();
    rules.rule(format!("C.1 {name} without a NIC switch: {expected}"), move || {
        let mut bench = Bench::new();
        assert_eq!(bench.ask_ndis(OidRequest::DeleteSwitch).status, NdisStatus::Success);
        assert_eq!(bench.status(of.clone()), expected);
        let recreated = OidRequest::CreateSwitch(SwitchParameters { num_vfs: 2, ..config().switch });
        assert_eq!(bench.ask_ndis(recreated).status, NdisStatus::Success);
    });
}
