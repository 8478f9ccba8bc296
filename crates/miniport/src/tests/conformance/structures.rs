//! B: members, flags, revisions and arrays of the structures, read and written by offset.

use nic_switch::{
    FilterId, FilterTest, FunctionId, PortSecurity, ReceiveMode, VPortId, VfId, VlanSet, VlanTest,
};

use super::Rules;
use crate::tests::raw::{Bytes, field, raw};
use crate::tests::support::{Bench, capabilities, config, mac, pf_vport, test, vf_parameters};
use crate::{AdapterConfig, NdisStatus, OidRequest, Payload, RawRequest, RequestType, SwitchChanges};

const DEFAULT: VPortId = VPortId::DEFAULT;

pub(super) fn output(bench: &mut Bench, request: impl Into<crate::Request>) -> Vec<u8> {
    match bench.done(request) {
        Payload::Raw(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

pub(super) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(bytes[offset..offset + 2].try_into().unwrap())
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap())
}

pub(super) fn name_at(bytes: &[u8], offset: usize) -> String {
    let length = usize::from(u16_at(bytes, offset));
    let units: Vec<_> = (0..length / 2).map(|unit| u16_at(bytes, offset + 2 + 2 * unit)).collect();
    String::from_utf16(&units).unwrap()
}

/// The elements of an answer whose array is described at `offset`.
pub(super) fn elements(bytes: &[u8], offset: usize) -> Vec<&[u8]> {
    let [first, count, size] = [0, 4, 8].map(|at| usize::try_from(u32_at(bytes, offset + at)).unwrap());
    assert_eq!(first % 8, 0);
    assert_eq!(bytes.len(), first + count * size);
    bytes[first..].chunks_exact(size).collect()
}

pub(super) fn put(request: &OidRequest, offset: usize, value: &[u8]) -> RawRequest {
    let mut raw = raw(request);
    raw.input[offset..offset + value.len()].copy_from_slice(value);
    raw
}

pub(super) fn rules() -> Rules {
    let mut rules = Rules::default();
    capabilities_rules(&mut rules);
    answers(&mut rules);
    constants(&mut rules);
    field_tests(&mut rules);
    vendor(&mut rules);
    rules
}

fn capabilities_rules(rules: &mut Rules) {
    for request in [OidRequest::SriovHardwareCapabilities, OidRequest::SriovCurrentCapabilities] {
        rules.rule(format!("B.1 {request:?}: SRIOV_SUPPORTED and PF_MINIPORT"), move || {
            let bytes = output(&mut Bench::new(), raw(&request));
            assert_eq!(bytes, [0x80, 1, 12, 0, 0, 0, 0, 0, 3, 0, 0, 0]);
        });
    }
    rules.rule("B.2 NIC_SWITCH_CAPABILITIES has revision 3 and every member in its place", || {
        let bytes = output(&mut Bench::new(), raw(&OidRequest::NicSwitchCurrentCapabilities));
        assert_eq!(bytes[..4], [0x80, 3, 132, 0]);
        // Flags, and what is zero from revision 2 on.
        assert!(bytes[4..32].iter().all(|byte| *byte == 0));
        let c = capabilities();
        for (offset, expected) in [
            (32, 0x1 | 0x2 | 0x4 | 0x8),
            (36, 1),
            (40, c.max_vports),
            (48, c.max_vfs.into()),
            (52, c.max_queue_pairs),
            (68, c.max_queue_pairs_per_nondefault_vport),
            (92, c.max_mac_addresses),
            (128, c.max_queue_pairs_for_default_vport),
        ] {
            assert_eq!(u32_at(&bytes, offset), expected, "at {offset}");
        }
    });
    rules.rule("B.2 SINGLE_VPORT_POOL is 0x10, and features that are off have no flag", || {
        let mut c = capabilities();
        c.single_vport_pool = true;
        (c.vlan_supported, c.per_vport_interrupt_moderation, c.asymmetric_queue_pairs, c.vf_rss) =
            (false, false, false, false);
        let mut bench = Bench::of(AdapterConfig { capabilities: c, ..config() });
        assert_eq!(u32_at(&output(&mut bench, raw(&OidRequest::NicSwitchHardwareCapabilities)), 32), 0x10);
    });
    rules.rule(
        "B.6 receive filters: VMQ_FILTERS on, VM_QUEUES off, EQUAL, MAC, DST and VLAN, no queues",
        || {
            let bytes = output(&mut Bench::new(), raw(&OidRequest::ReceiveFilterCurrentCapabilities));
            assert_eq!(bytes[..4], [0x80, 2, 84, 0]);
            let members: Vec<_> = (0..9).map(|index| u32_at(&bytes, 4 + 4 * index)).collect();
            assert_eq!(members, [0, 1, 0, 0, 0, 1, 1, 0x9, capabilities().max_filters]);
            assert!(bytes[40..].iter().all(|byte| *byte == 0));
        },
    );
    rules.rule("B.6 GLOBAL_PARAMETERS is answered as a query and as a method", || {
        let query = raw(&OidRequest::ReceiveFilterGlobalParameters);
        let expected = [0x80, 1, 16, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(output(&mut Bench::new(), query.clone()), expected);
        let method = RawRequest { request_type: RequestType::Method, input: expected.to_vec(), ..query };
        assert_eq!(output(&mut Bench::new(), method), expected);
    });
}

fn answers(rules: &mut Rules) {
    rules.rule("B.5 ALLOCATE_VF answers in place: VFId and RequestorId, everything else as it came", || {
        let request = raw(&OidRequest::AllocateVf(vf_parameters()));
        let bytes = output(&mut Bench::new(), request.clone());
        assert_eq!(bytes.len(), 0x660);
        assert_eq!((u16_at(&bytes, 0x65A), u32_at(&bytes, 0x65C)), (0, 0x0180));
        assert_eq!(bytes[..0x65A], request.input[..0x65A]);
    });
    rules.rule(
        "B.5 VF_PARAMETERS and VF_INFO have names, addresses, VFId and RequestorId in their places",
        || {
            let mut bench = Bench::new();
            let vf = bench.allocate_vf();
            let bytes = output(&mut bench, raw(&OidRequest::VfParameters(vf)));
            let listed = output(&mut bench, raw(&OidRequest::EnumVfs));
            for bytes in [bytes.as_slice(), elements(&listed, 12)[0]] {
                assert_eq!(name_at(bytes, 0x00C), "vm");
                assert_eq!(name_at(bytes, 0x210), "Köln 🚆");
                assert_eq!(name_at(bytes, 0x414), "nic");
                assert_eq!(u16_at(bytes, 0x618), 6);
                assert_eq!(bytes[0x61A..0x620], mac(1).0);
                assert_eq!(bytes[0x63A..0x640], mac(1).0);
                assert_eq!((u16_at(bytes, 0x65A), u32_at(bytes, 0x65C)), (0, 0x0180));
            }
        },
    );
    rules.rule("B.4 CREATE_VPORT answers in place: VPortId and VPortState", || {
        let bytes = output(&mut Bench::new(), raw(&OidRequest::CreateVPort(pf_vport())));
        assert_eq!((u32_at(&bytes, 12), u32_at(&bytes, 0x220)), (1, 2));
        assert_eq!(bytes.len(), 0x23C);
    });
    rules.rule("B.4 VPORT_PARAMETERS and VPORT_INFO have their members in their places", || {
        let mut bench = Bench::new();
        let vport = bench.create_vport(pf_vport());
        bench.set_filter(vport, test(1));
        let bytes = output(&mut bench, raw(&OidRequest::VPortParameters(vport)));
        assert_eq!((u32_at(&bytes, 12), name_at(&bytes, 16).as_str()), (1, "pf"));
        let listed = output(&mut bench, raw(&OidRequest::EnumVPorts { function: None }));
        let info = elements(&listed, 16)[1];
        assert_eq!((u32_at(info, 4), name_at(info, 16).as_str(), info.len()), (1, "pf", 0x240));
        for bytes in [bytes.as_slice(), info] {
            // The PF is 0xFFFF; one queue pair; moderation undefined; deactivated; CPU 1 of group 0.
            assert_eq!((u16_at(bytes, 0x214), u32_at(bytes, 0x218), u32_at(bytes, 0x21C)), (0xFFFF, 1, 0));
            assert_eq!((u32_at(bytes, 0x220), u32_at(bytes, 0x228), u16_at(bytes, 0x230)), (2, 2, 0));
        }
        assert_eq!(u32_at(info, 0x23C), 1, "NumFilters");
    });
    rules.rule("B.3 SWITCH_INFO has its members in their places", || {
        let mut bench = Bench::new();
        bench.attached_vf();
        let listed = output(&mut bench, raw(&OidRequest::EnumSwitches));
        let info = elements(&listed, 4)[0];
        assert_eq!((u32_at(info, 8), u32_at(info, 12), name_at(info, 16).as_str()), (1, 0, "Default Switch"));
        let members: Vec<_> = (0..10).map(|index| u32_at(info, 532 + 4 * index)).collect();
        assert_eq!(members, [4, 1, 8, 2, 1, 2, 0, 0, 0, 0]);
    });
    rules.rule("B.3 NIC_SWITCH_PARAMETERS answers in the revision that was asked in", || {
        let revision_2 = raw(&OidRequest::SwitchParameters);
        let bytes = output(&mut Bench::new(), revision_2.clone());
        assert_eq!((&bytes[..4], bytes.len(), u32_at(&bytes, 548)), (&[0x80, 2, 0x28, 2][..], 552, 1));
        let mut revision_1 = revision_2;
        revision_1.input[1..4].copy_from_slice(&[1, 0x24, 2]);
        revision_1.input.truncate(548);
        revision_1.output_length = 548;
        let bytes = output(&mut Bench::new(), revision_1);
        assert_eq!((&bytes[..4], bytes.len(), u32_at(&bytes, 532)), (&[0x80, 1, 0x24, 2][..], 548, 4));
    });
    rules.rule("B.6 SET_FILTER answers in place: FilterId", || {
        let bytes = output(&mut Bench::new(), raw(&OidRequest::SetFilter { vport: DEFAULT, test: test(1) }));
        assert_eq!((bytes.len(), u32_at(&bytes, 16)), (44, 1));
    });
    rules.rule("B.6 PARAMETERS of a filter carries its field tests, values in network byte order", || {
        let mut bench = Bench::new();
        let filter = bench.set_filter(DEFAULT, FilterTest { mac: mac(9), vlan: VlanTest::Id(0x123) });
        let bytes = output(&mut bench, raw(&OidRequest::FilterParameters(filter)));
        let fields = elements(&bytes, 20);
        assert_eq!(fields.len(), 2);
        assert_eq!((u32_at(fields[0], 16), &fields[0][24..30]), (1, &mac(9).0[..]));
        assert_eq!((u32_at(fields[1], 16), &fields[1][24..26]), (4, &[0x01, 0x23][..]));
    });
    rules.rule(
        "B.6 ENUM_FILTERS without VPORT_ID_SPECIFIED, and in revision 1, lists the default VPort's",
        || {
            let mut bench = Bench::new();
            let (_, vport) = bench.attached_vf();
            bench.set_filter(vport, test(1));
            let filter = bench.set_filter(DEFAULT, test(2));
            let without_flag = put(&OidRequest::EnumFilters(vport), 20, &[0; 4]);
            let mut revision_1 = without_flag.clone();
            revision_1.input[1..4].copy_from_slice(&[1, 20, 0]);
            revision_1.input.truncate(20);
            for request in [without_flag, revision_1] {
                let bytes = output(&mut bench, request);
                let listed: Vec<_> =
                    elements(&bytes, 8).iter().map(|info| FilterId(u32_at(info, 12))).collect();
                assert_eq!(listed, [filter]);
            }
        },
    );
    rules.rule("an enumeration of nothing has an empty array", || {
        let bytes = output(&mut Bench::new(), raw(&OidRequest::EnumVfs));
        assert!(elements(&bytes, 12).is_empty());
    });
    rules.rule("B.8 PF_LUID is the one that was configured", || {
        let bytes = output(&mut Bench::new(), raw(&OidRequest::PfLuid));
        assert_eq!(bytes, [0x80, 1, 12, 0, 3, 0, 2, 0, 1, 0, 0, 0]);
    });
    rules.rule("a structure that is larger than this crate knows it is read, and the rest ignored", || {
        let mut request = raw(&OidRequest::DeleteVPort(VPortId(1)));
        request.input[2] = 20;
        request.input.extend([0xFF; 8]);
        let mut bench = Bench::new();
        bench.create_vport(pf_vport());
        bench.done(request);
    });
}

fn constants(rules: &mut Rules) {
    let bad: [(&str, OidRequest, usize, &[u8]); 26] = [
        ("SwitchId is 0", OidRequest::SwitchParameters, 12, &[1]),
        ("SwitchId is 0", OidRequest::AllocateVf(vf_parameters()), 8, &[1]),
        ("SwitchId is 0", OidRequest::CreateVPort(pf_vport()), 8, &[1]),
        (
            "SwitchId is 0",
            OidRequest::SetSwitchParameters(SwitchChanges { name: None, num_vfs: 4 }),
            12,
            &[1],
        ),
        ("Flags is 0", OidRequest::AllocateVf(vf_parameters()), 4, &[1]),
        ("Flags is 0", OidRequest::CreateVPort(pf_vport()), 4, &[1]),
        ("Flags is 0", OidRequest::SetFilter { vport: DEFAULT, test: test(1) }, 4, &[2]),
        ("only known flags", OidRequest::EnumVPorts { function: None }, 4, &[4]),
        ("only known flags", OidRequest::EnumVfs, 4, &[2]),
        ("only known flags", OidRequest::EnumFilters(DEFAULT), 20, &[2]),
        ("the named switch is 0", OidRequest::EnumVPorts { function: None }, 4, &[2, 0, 0, 0, 1]),
        ("the named switch is 0", OidRequest::EnumVfs, 4, &[1, 0, 0, 0, 1]),
        ("VFId is NDIS_INVALID_VF_FUNCTION_ID", OidRequest::AllocateVf(vf_parameters()), 0x65A, &[0, 0]),
        ("RequestorId is NDIS_INVALID_RID", OidRequest::AllocateVf(vf_parameters()), 0x65C, &[0]),
        ("MacAddressLength is 6", OidRequest::AllocateVf(vf_parameters()), 0x618, &[7]),
        ("VPortId is 0 on input", OidRequest::CreateVPort(pf_vport()), 12, &[1]),
        ("LookaheadSize is 0", OidRequest::CreateVPort(pf_vport()), 0x238, &[1]),
        ("InterruptModeration is one of six", OidRequest::CreateVPort(pf_vport()), 0x21C, &[3]),
        ("VPortState is one of three", OidRequest::CreateVPort(pf_vport()), 0x220, &[3]),
        ("FilterType is 1", OidRequest::SetFilter { vport: DEFAULT, test: test(1) }, 8, &[2]),
        ("QueueId is 0", OidRequest::SetFilter { vport: DEFAULT, test: test(1) }, 12, &[1]),
        ("FilterId is 0 on input", OidRequest::SetFilter { vport: DEFAULT, test: test(1) }, 16, &[1]),
        ("RequestedFilterIdBitCount is 0", OidRequest::SetFilter { vport: DEFAULT, test: test(1) }, 32, &[1]),
        ("MaxCoalescingDelay is 0", OidRequest::SetFilter { vport: DEFAULT, test: test(1) }, 36, &[1]),
        ("QueueId is 0", OidRequest::EnumFilters(DEFAULT), 4, &[1]),
        (
            "PowerState is D0 to D3",
            OidRequest::SetVfPowerState { vf: VfId(0), state: crate::PowerState::D3, wake_enable: false },
            8,
            &[0],
        ),
    ];
    for (what, request, offset, value) in bad {
        let (oid, request_type) = request.oid();
        rules.rule(format!("B {request_type} {oid}: {what} (offset {offset:#x})"), move || {
            let mut bench = Bench::new();
            bench.allocate_vf();
            let before = bench.state();
            let response = bench.ask(put(&request, offset, value));
            assert_eq!(response.status, NdisStatus::InvalidParameter, "{:?}", response.refusal);
            assert_eq!(bench.state(), before);
        });
    }
    rules.rule("B MOVE_FILTER and CLEAR_FILTER: queue ids are 0", || {
        let mut bench = Bench::new();
        let (_, vport) = bench.attached_vf();
        let filter = bench.set_filter(DEFAULT, test(1));
        let movement = OidRequest::MoveFilter { filter, from: DEFAULT, to: vport };
        for offset in [8, 16] {
            assert_eq!(bench.status(put(&movement, offset, &[1])), NdisStatus::InvalidParameter);
        }
        let clear = put(&OidRequest::ClearFilter(filter), 8, &[1]);
        assert_eq!(bench.status(clear), NdisStatus::FileNotFound);
    });
    // FLAGS, NDK, QOS_SQ_ID and NUM_QUEUE_PAIRS are of features that the adapter does not have.
    for flag in [0x1_u32, 0x2, 0x8000, 0x1_0000, 0x20_0000, 0x40_0000, 0x80_0000] {
        rules.rule(format!("B.4 VPORT_PARAMETERS set: flag {flag:#x} is refused"), move || {
            let mut bench = Bench::new();
            let vport = bench.create_vport(pf_vport());
            let request = OidRequest::SetVPortParameters { vport, changes: Default::default() };
            let response = bench.ask(put(&request, 4, &flag.to_le_bytes()));
            assert_eq!(response.status, NdisStatus::InvalidParameter);
        });
    }
    rules.rule("A.4 VPORT_PARAMETERS set: members without their flag are not looked at", || {
        let mut bench = Bench::new();
        let vport = bench.create_vport(pf_vport());
        let before = bench.state();
        let request = OidRequest::SetVPortParameters { vport, changes: Default::default() };
        let mut raw = raw(&request);
        // Name, function, queue pairs, moderation, state, affinity, look-ahead: nonsense.
        raw.input[16..].fill(0xEE);
        bench.done(raw);
        assert_eq!(bench.state(), before);
    });
    rules.rule("B.3 CREATE_SWITCH: type external, id 0, no flags; revision 1 has one queue pair", || {
        let create = OidRequest::CreateSwitch(config().switch);
        let mut bench = Bench::new();
        bench.ask_ndis(OidRequest::DeleteSwitch);
        for (offset, value) in [(4, 1), (8, 0), (8, 2), (12, 1)] {
            let response = bench.ask_ndis(put(&create, offset, &[value]));
            assert_eq!(response.status, NdisStatus::InvalidParameter, "{offset}");
        }
        let mut revision_1 = raw(&create);
        revision_1.input[1..4].copy_from_slice(&[1, 0x24, 2]);
        revision_1.input.truncate(548);
        assert_eq!(bench.ask_ndis(revision_1).status, NdisStatus::Success);
        let Payload::Switch(parameters) = bench.done(OidRequest::SwitchParameters) else { panic!() };
        assert_eq!(parameters, config().switch);
    });
    rules.rule("A.1 DELETE_SWITCH: id 0", || {
        let response = Bench::new().ask_ndis(put(&OidRequest::DeleteSwitch, 8, &[1]));
        assert_eq!(response.status, NdisStatus::FileNotFound);
    });
    rules.rule("0.10 0xFFFF is the PF as AttachedFunctionId and nothing as VFId", || {
        let mut bench = Bench::new();
        let vport = bench.create_vport(pf_vport());
        let Payload::VPorts(of_pf) = bench.done(OidRequest::EnumVPorts { function: Some(FunctionId::Pf) })
        else {
            panic!()
        };
        assert_eq!(of_pf.iter().map(|info| info.vport).collect::<Vec<_>>(), [DEFAULT, vport]);
        assert_eq!(bench.status(raw(&OidRequest::ResetVf(VfId(0xFFFF)))), NdisStatus::InvalidParameter);
    });
    rules.rule("B.5 a VF without addresses has none", || {
        let mut bench = Bench::new();
        bench.done(put(&OidRequest::AllocateVf(vf_parameters()), 0x618, &[0]));
        let Payload::Vf(info) = bench.done(OidRequest::VfParameters(VfId(0))) else { panic!() };
        assert!(info.parameters.permanent_mac.is_zero() && info.parameters.current_mac.is_zero());
    });
}

/// A SET_FILTER request with these fields.
fn with_fields(fields: &[Bytes]) -> RawRequest {
    let mut request = raw(&OidRequest::SetFilter { vport: DEFAULT, test: test(1) });
    request.input.truncate(44);
    request.input[24..28].copy_from_slice(&u32::try_from(fields.len()).unwrap().to_le_bytes());
    for field in fields {
        request.input.extend_from_slice(&field.0);
    }
    request
}

fn field_tests(rules: &mut Rules) {
    let vid = |vid: u16| field(4, 0, &vid.to_be_bytes());
    let destination = |flags| field(1, flags, &mac(1).0);
    let changed = |offset: usize, value: u8| {
        let mut field = field(1, 0, &mac(1).0);
        field.0[offset] = value;
        field
    };
    rules.rule("D.4 MAC and UNTAGGED_OR_ZERO, MAC and VLAN id, MAC alone: the three VLAN tests", move || {
        for (fields, vlan) in [
            (vec![destination(1)], VlanTest::UntaggedOrZero),
            (vec![destination(0), vid(7)], VlanTest::Id(7)),
            (vec![vid(7), destination(0)], VlanTest::Id(7)),
            (vec![destination(0)], VlanTest::Any),
        ] {
            let mut bench = Bench::new();
            bench.done(with_fields(&fields));
            let Payload::Filter(info) = bench.done(OidRequest::FilterParameters(FilterId(1))) else {
                panic!()
            };
            assert_eq!(info.test, FilterTest { mac: mac(1), vlan });
        }
    });
    type Case = (&'static str, fn() -> Vec<Bytes>);
    let refused: [Case; 8] = [
        ("no field", Vec::new),
        ("no destination", || vec![field(4, 0, &[0, 7])]),
        ("two destinations", || vec![field(1, 0, &mac(1).0), field(1, 0, &mac(2).0)]),
        ("two VLAN ids", || vec![field(1, 0, &mac(1).0), field(4, 0, &[0, 7]), field(4, 0, &[0, 8])]),
        ("a VLAN id and UNTAGGED_OR_ZERO", || vec![field(1, 1, &mac(1).0), field(4, 0, &[0, 7])]),
        ("a flag with the VLAN id", || vec![field(1, 0, &mac(1).0), field(4, 1, &[0, 7])]),
        ("a source address", || vec![field(2, 0, &mac(1).0)]),
        ("a header that claims more than its element", || {
            let mut field = field(1, 0, &mac(1).0);
            field.0[2..4].copy_from_slice(&3896_u16.to_le_bytes());
            vec![field]
        }),
    ];
    for (what, fields) in refused {
        rules.rule(format!("B.6 a filter with {what} is refused"), move || {
            assert_eq!(Bench::new().status(with_fields(&fields())), NdisStatus::InvalidParameter);
        });
    }
    rules.rule(
        "B.6 fields of other headers, other tests, other flags, other object types are refused",
        move || {
            for (offset, value) in [(8, 3), (12, 2), (12, 0), (4, 2), (0, 0), (1, 2), (16, 9)] {
                let request = with_fields(&[changed(offset, value)]);
                assert_eq!(Bench::new().status(request), NdisStatus::InvalidParameter, "{offset} {value}");
            }
        },
    );
    rules.rule("B.6 the field array is walked by ElementSize, not by the size of the structure", || {
        let mut request = with_fields(&[]);
        for field in [field(1, 0, &mac(1).0), field(4, 0, &[0, 7])] {
            request.input.extend_from_slice(&field.0);
            request.input.extend([0xAA; 8]);
        }
        request.input[24] = 2;
        request.input[28] = 64;
        Bench::new().done(request);
    });
    rules.rule("B.6 revision 1, which has no VPortId, means the default VPort", || {
        let mut request = with_fields(&[field(1, 1, &mac(1).0)]);
        request.input[1..4].copy_from_slice(&[1, 36, 0]);
        let mut bench = Bench::new();
        bench.done(request);
        assert_eq!(bench.adapter.switch().unwrap().filters_on(DEFAULT).count(), 1);
    });
}

fn vendor(rules: &mut Rules) {
    rules.rule("port security set as bytes is read back as bytes", || {
        let mut bench = Bench::new();
        let (_, vport) = bench.attached_vf();
        let security = PortSecurity {
            trusted: true,
            allowed_vlans: VlanSet::of([0, 7, 8, 4094]).unwrap(),
            link: nic_switch::LinkState::Disable,
            bum_path: nic_switch::BumPath::Synthetic,
            ..PortSecurity::default()
        };
        let set = raw(&OidRequest::SetPortSecurity { vport, security: Box::new(security.clone()) });
        bench.done(set.clone());
        assert_eq!(output(&mut bench, raw(&OidRequest::PortSecurity(vport))), set.input);
        let Payload::PortSecurity { security: typed, .. } = bench.done(OidRequest::PortSecurity(vport))
        else {
            panic!()
        };
        assert_eq!(*typed, security);
    });
    rules.rule("port security with VLAN 4095, an unknown flag, link or path is refused", || {
        let mut bench = Bench::new();
        let (_, vport) = bench.attached_vf();
        let request = OidRequest::SetPortSecurity { vport, security: Box::default() };
        for (offset, value) in [(531, 0x80), (8, 0x20), (12, 3), (16, 2)] {
            assert_eq!(
                bench.status(put(&request, offset, &[value])),
                NdisStatus::InvalidParameter,
                "{offset}"
            );
        }
    });
    rules.rule("a receive mode set as bytes is read back as bytes", || {
        let mut bench = Bench::new();
        let (_, vport) = bench.attached_vf();
        let mode = ReceiveMode {
            unicast: vec![mac(7), mac(8)],
            multicast: nic_switch::MulticastTable::of([0, 0xFFF]).unwrap(),
            promiscuous: true,
            vlans: VlanSet::of([9]).unwrap(),
            ..ReceiveMode::default()
        };
        let set = raw(&OidRequest::SetReceiveMode { vport, mode: Box::new(mode.clone()) });
        bench.done(set.clone());
        assert_eq!(output(&mut bench, raw(&OidRequest::ReceiveMode(vport))), set.input);
        let Payload::ReceiveMode { mode: typed, .. } = bench.done(OidRequest::ReceiveMode(vport)) else {
            panic!()
        };
        assert_eq!(*typed, mode);
    });
    rules.rule("a receive mode takes no address of another VPort", || {
        let mut bench = Bench::new();
        let (_, vport) = bench.attached_vf();
        bench.set_filter(DEFAULT, test(7));
        let mode = Box::new(ReceiveMode { unicast: vec![mac(7)], ..ReceiveMode::default() });
        assert_eq!(bench.status(OidRequest::SetReceiveMode { vport, mode }), NdisStatus::InvalidParameter);
    });
}
