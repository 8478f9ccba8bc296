//! A.4, D.8 and H: filters, who may do what, and how many there can be.

use nic_switch::{FilterTest, VPortChanges, VPortId, VlanTest};

use super::Rules;
use super::objects::{change, filters_on, with};
use crate::tests::support::{
    Bench, OTHER, STACK, TOTAL_VFS, config, mac, pf_vport, test, vf_parameters, vf_vport,
};
use crate::{Action, NdisStatus, OidRequest, Payload};

const DEFAULT: VPortId = VPortId::DEFAULT;

pub(super) fn rules() -> Rules {
    let mut rules = Rules::default();
    filters(&mut rules);
    ownership(&mut rules);
    pools(&mut rules);
    rules
}

fn filters(rules: &mut Rules) {
    rules.rule("H.4 NDIS assigns filter ids, unique over all VPorts and never 0", || {
        let mut bench = Bench::new();
        let (_, vport) = bench.attached_vf();
        let ids = [
            bench.set_filter(DEFAULT, test(1)),
            bench.set_filter(vport, test(2)),
            bench.set_filter(DEFAULT, test(3)),
        ];
        assert_eq!(ids.map(|id| id.0), [1, 2, 3]);
        bench.done(OidRequest::ClearFilter(ids[2]));
        assert_eq!(bench.set_filter(DEFAULT, test(3)).0, 4);
    });
    rules.rule("H.1 MOVE_FILTER keeps the id and leaves the filter on exactly one VPort", || {
        let mut bench = Bench::new();
        let (_, vport) = bench.attached_vf();
        let filter = bench.set_filter(DEFAULT, test(1));
        bench.done(OidRequest::MoveFilter { filter, from: DEFAULT, to: vport });
        assert_eq!(filters_on(&mut bench, DEFAULT), [0_u32; 0]);
        assert_eq!(filters_on(&mut bench, vport), [filter.0]);
        bench.done(OidRequest::MoveFilter { filter, from: vport, to: DEFAULT });
        assert_eq!(filters_on(&mut bench, DEFAULT), [filter.0]);
        assert_eq!(filters_on(&mut bench, vport), [0_u32; 0]);
    });
    rules.rule("H.1 MOVE_FILTER is one step for the data path", || {
        let mut bench = Bench::new();
        let (_, vport) = bench.attached_vf();
        let filter = bench.set_filter(DEFAULT, test(1));
        bench.done(OidRequest::MoveFilter { filter, from: DEFAULT, to: vport });
        assert_eq!(bench.actions, [Action::PublishForwarding]);
    });
    rules.rule("A.4 a MOVE_FILTER that fails leaves the filter wholly on its source", || {
        let mut bench = Bench::new();
        let (_, vport) = bench.attached_vf();
        let filter = bench.set_filter(DEFAULT, test(1));
        for (from, to) in [(vport, DEFAULT), (DEFAULT, VPortId(7)), (VPortId(7), vport)] {
            let refused = bench.status(OidRequest::MoveFilter { filter, from, to });
            assert_eq!(refused, NdisStatus::InvalidParameter);
            assert_eq!(filters_on(&mut bench, DEFAULT), [filter.0]);
            assert_eq!(filters_on(&mut bench, vport), [0_u32; 0]);
        }
    });
    rules.rule("A.3 a filter that stands already is INVALID_PARAMETER", || {
        let mut bench = Bench::new();
        let (_, vport) = bench.attached_vf();
        bench.set_filter(DEFAULT, test(1));
        let again = OidRequest::SetFilter { vport, test: test(1) };
        assert_eq!(bench.status(again), NdisStatus::InvalidParameter);
    });
    rules.rule("A.3 a filter for no unicast address, or no VLAN id, is INVALID_PARAMETER", || {
        let mut bench = Bench::new();
        let multicast = ethernet::MacAddr([1, 0, 0x5E, 0, 0, 1]);
        for (mac, vlan) in [
            (multicast, VlanTest::UntaggedOrZero),
            (ethernet::MacAddr::ZERO, VlanTest::Any),
            (ethernet::MacAddr::BROADCAST, VlanTest::Any),
            (mac(1), VlanTest::Id(0)),
            (mac(1), VlanTest::Id(4095)),
        ] {
            let request = OidRequest::SetFilter { vport: DEFAULT, test: FilterTest { mac, vlan } };
            assert_eq!(bench.status(request), NdisStatus::InvalidParameter);
        }
    });
    rules.rule("B.2 without VLAN_SUPPORTED no filter tests a VLAN id", || {
        let mut bench = Bench::of(with(|c| c.vlan_supported = false));
        let test = FilterTest { mac: mac(1), vlan: VlanTest::Id(2) };
        assert_eq!(
            bench.status(OidRequest::SetFilter { vport: DEFAULT, test }),
            NdisStatus::InvalidParameter
        );
        assert_eq!(
            bench.done(OidRequest::ReceiveFilterCurrentCapabilities),
            Payload::ReceiveFilter(crate::ReceiveFilterCapabilities {
                vmq_filters_enabled: true,
                vm_queues_enabled: false,
                vlan: false,
                max_mac_header_filters: 24,
                num_queues: 0,
            })
        );
    });
    rules.rule("A.3 no MAC address left is FAILURE", || {
        let mut bench = Bench::new();
        for last in 1..=12 {
            bench.set_filter(DEFAULT, test(last));
        }
        assert_eq!(
            bench.status(OidRequest::SetFilter { vport: DEFAULT, test: test(13) }),
            NdisStatus::Failure
        );
    });
    rules.rule("A.4 FILTER_PARAMETERS says where a filter stands and what it tests", || {
        let mut bench = Bench::new();
        let test = FilterTest { mac: mac(1), vlan: VlanTest::Id(7) };
        let filter = bench.set_filter(DEFAULT, test);
        let Payload::Filter(info) = bench.done(OidRequest::FilterParameters(filter)) else { panic!() };
        assert_eq!((info.filter, info.vport, info.test), (filter, DEFAULT, test));
    });
}

fn ownership(rules: &mut Rules) {
    type Step = fn(VPortId) -> OidRequest;
    let on_vport: [(&str, Step); 5] = [
        ("changes", |vport| change(vport, VPortChanges::default())),
        ("deletes", OidRequest::DeleteVPort),
        ("sets a filter on", |vport| OidRequest::SetFilter { vport, test: test(9) }),
        ("secures", |vport| OidRequest::SetPortSecurity { vport, security: Box::default() }),
        ("grants a receive mode to", |vport| OidRequest::SetReceiveMode { vport, mode: Box::default() }),
    ];
    for (what, step) in on_vport {
        rules.rule(format!("H.14 only its creator {what} a VPort"), move || {
            let mut bench = Bench::new();
            let vport = bench.create_vport(pf_vport());
            assert_eq!(bench.ask_as(OTHER, step(vport)).status, NdisStatus::InvalidParameter);
            assert_eq!(bench.status(step(vport)), NdisStatus::Success);
        });
    }
    rules.rule("H.14 only its allocator frees a VF", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        assert_eq!(bench.ask_as(OTHER, OidRequest::FreeVf(vf)).status, NdisStatus::FileNotFound);
        assert_eq!(bench.status(OidRequest::FreeVf(vf)), NdisStatus::Success);
    });
    rules.rule("only its allocator attaches a VPort to a VF", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        let create = OidRequest::CreateVPort(vf_vport(vf));
        assert_eq!(bench.ask_as(OTHER, create.clone()).status, NdisStatus::InvalidParameter);
        assert_eq!(bench.status(create), NdisStatus::Success);
    });
    rules.rule("only its allocator gives a VF its serial number", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        let request = OidRequest::SetVfSerialNumber { vf, serial_number: 1 };
        assert_eq!(bench.ask_as(OTHER, request).status, NdisStatus::InvalidParameter);
    });
    rules.rule("H.14 only who set it clears a filter, even on the default VPort", || {
        let mut bench = Bench::new();
        let filter = bench.set_filter(DEFAULT, test(1));
        assert_eq!(bench.ask_as(OTHER, OidRequest::ClearFilter(filter)).status, NdisStatus::FileNotFound);
        assert_eq!(bench.status(OidRequest::ClearFilter(filter)), NdisStatus::Success);
    });
    rules.rule("H.14 only who set it moves a filter", || {
        let mut bench = Bench::new();
        let (_, vport) = bench.attached_vf();
        let filter = bench.set_filter(DEFAULT, test(1));
        let request = OidRequest::MoveFilter { filter, from: DEFAULT, to: vport };
        assert_eq!(bench.ask_as(OTHER, request).status, NdisStatus::InvalidParameter);
    });
    rules.rule("a filter is moved to the default VPort or to one's own, not to another's", || {
        let mut bench = Bench::new();
        let (_, vport) = bench.attached_vf();
        let Payload::Filter(info) =
            bench.ask_as(OTHER, OidRequest::SetFilter { vport: DEFAULT, test: test(1) }).payload
        else {
            panic!()
        };
        let request = OidRequest::MoveFilter { filter: info.filter, from: DEFAULT, to: vport };
        assert_eq!(bench.ask_as(OTHER, request).status, NdisStatus::InvalidParameter);
        assert_eq!(filters_on(&mut bench, DEFAULT), [info.filter.0]);
    });
    rules.rule("A.4 the default VPort is unowned: everybody sets filters there", || {
        let mut bench = Bench::new();
        for (client, last) in [(STACK, 1), (OTHER, 2)] {
            let request = OidRequest::SetFilter { vport: DEFAULT, test: test(last) };
            assert_eq!(bench.ask_as(client, request).status, NdisStatus::Success);
        }
    });
    rules.rule("everybody may ask about everything", || {
        let mut bench = Bench::new();
        let (vf, vport) = bench.attached_vf();
        let filter = bench.set_filter(vport, test(1));
        for request in [
            OidRequest::VfParameters(vf),
            OidRequest::VPortParameters(vport),
            OidRequest::EnumFilters(vport),
            OidRequest::FilterParameters(filter),
        ] {
            assert_eq!(bench.ask_as(OTHER, request).status, NdisStatus::Success);
        }
    });
}

/// Creates VPorts of the PF until one is refused.
fn fill(bench: &mut Bench) -> usize {
    (0..100).take_while(|_| bench.status(OidRequest::CreateVPort(pf_vport())) == NdisStatus::Success).count()
}

fn pools(rules: &mut Rules) {
    rules.rule(
        "D.8 SINGLE_VPORT_POOL set: the PF may have MaxNumVPorts - 1, and a VF then gets none",
        || {
            let mut bench = Bench::of(with(|c| c.single_vport_pool = true));
            assert_eq!(fill(&mut bench), 7);
            let vf = bench.allocate_vf();
            assert_eq!(bench.status(OidRequest::CreateVPort(vf_vport(vf))), NdisStatus::Failure);
        },
    );
    rules.rule("D.8 SINGLE_VPORT_POOL clear: the PF may have MaxNumVPorts - 1 - MaxNumVFs", || {
        assert_eq!(fill(&mut Bench::new()), 3);
    });
    rules.rule("D.8 SINGLE_VPORT_POOL clear: no VF lacks a VPort, whatever the PF has", || {
        let mut bench = Bench::new();
        fill(&mut bench);
        for _ in 0..TOTAL_VFS {
            bench.attached_vf();
        }
    });
    rules.rule(
        "D.8 the worked example: MaxNumVPorts 64, MaxNumVFs 31: 63, or 32 and the default VPort",
        || {
            for (single_vport_pool, expected) in [(true, 63), (false, 32)] {
                let mut config = with(|c| {
                    (c.max_vfs, c.max_vports, c.max_queue_pairs, c.max_mac_addresses, c.max_filters) =
                        (31, 64, 128, 64, 64);
                    c.single_vport_pool = single_vport_pool;
                });
                config.switch.num_vfs = 0;
                assert_eq!(fill(&mut Bench::of(config)), expected);
            }
        },
    );
    rules.rule("H.13 with SR-IOV on there are no VM queues", || {
        let mut bench = Bench::new();
        let Payload::ReceiveFilterGlobal(parameters) = bench.done(OidRequest::ReceiveFilterGlobalParameters)
        else {
            panic!()
        };
        assert!(parameters.vmq_filters_enabled && !parameters.vm_queues_enabled);
    });
    rules.rule("a switch without VFs allocates none", || {
        let mut config = config();
        config.switch.num_vfs = 0;
        let mut bench = Bench::of(config);
        assert_eq!(bench.adapter.function().num_vfs(), 0);
        assert_eq!(bench.status(OidRequest::AllocateVf(vf_parameters())), NdisStatus::Failure);
    });
}
