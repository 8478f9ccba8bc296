//! A.3, A.4, B.10, D.8: when and by whom queues can be asked for, and with which statuses.

use nic_switch::{
    FilterId, FilterTest, ProcessorAffinity, QueueChanges, QueueId, QueueParameters, QueueState, VPortId,
    VlanTest,
};

use super::super::statuses::{by_form, label, refused_without_effect};
use super::{DEFAULT, ONE, Rules, bench_in, complete};
use crate::tests::raw::raw;
use crate::tests::support::{
    Bench, OTHER, adapter, config, function, mac, pf_vport, queue_on, test, vf_parameters, vmq, without_sriov,
};
use crate::{Adapter, AdapterConfig, InitializeError, Keywords, NdisStatus, OidRequest, Payload, RawRequest};

const FILTER: FilterId = FilterId(2);
const PAUSED: QueueId = QueueId(2);

/// Queue 1 runs with filters 1 and 2; queue 2 is paused; filter 3 is on the default queue.
fn scenario() -> Bench {
    let mut bench = bench_in(QueueState::Running, 2);
    assert_eq!(bench.allocate_queue(), PAUSED);
    complete(&mut bench, PAUSED);
    assert_eq!(bench.set_filter(VPortId::DEFAULT, test(7)), FilterId(3));
    assert_eq!(bench.allocate_queue(), QueueId(3));
    bench
}

/// One request of each kind that is answered in the scenario.
fn requests() -> Vec<OidRequest> {
    let changes = QueueChanges {
        affinity: Some(ProcessorAffinity { group: 1, mask: 4 }),
        suggested_receive_buffers: Some(8),
        queue_name: Some("renamed".into()),
    };
    vec![
        OidRequest::AllocateQueue(queue_on(3)),
        OidRequest::CompleteQueueAllocation(vec![QueueId(3), ONE]),
        OidRequest::FreeQueue(PAUSED),
        OidRequest::EnumQueues,
        OidRequest::QueueParameters(ONE),
        OidRequest::SetQueueParameters { queue: ONE, changes },
        OidRequest::SetQueueFilter { queue: ONE, test: test(5) },
        OidRequest::ClearQueueFilter { queue: ONE, filter: FILTER },
        OidRequest::EnumQueueFilters(ONE),
    ]
}

/// Those of the NIC switch's that concern filters alone.
fn shared() -> Vec<OidRequest> {
    vec![
        OidRequest::ReceiveFilterHardwareCapabilities,
        OidRequest::ReceiveFilterCurrentCapabilities,
        OidRequest::ReceiveFilterGlobalParameters,
        OidRequest::SetFilter { vport: VPortId::DEFAULT, test: test(5) },
        OidRequest::ClearFilter(FilterId(3)),
        OidRequest::EnumFilters(VPortId::DEFAULT),
        OidRequest::FilterParameters(FILTER),
    ]
}

/// Those that name something that is not there, or have a member that is out of range.
fn bad_members() -> Vec<(&'static str, OidRequest)> {
    let no_queue = QueueId(7);
    let affinity = |mask| ProcessorAffinity { group: 0, mask };
    let moved = |mask| QueueChanges { affinity: Some(affinity(mask)), ..QueueChanges::default() };
    vec![
        ("no CPU", OidRequest::AllocateQueue(QueueParameters { affinity: affinity(0), ..queue_on(0) })),
        ("two CPUs", OidRequest::AllocateQueue(QueueParameters { affinity: affinity(3), ..queue_on(0) })),
        ("no such queue", OidRequest::CompleteQueueAllocation(vec![no_queue])),
        ("no such queue", OidRequest::FreeQueue(no_queue)),
        ("the default queue", OidRequest::FreeQueue(DEFAULT)),
        ("a queue with filters", OidRequest::FreeQueue(ONE)),
        ("no such queue", OidRequest::QueueParameters(no_queue)),
        ("no such queue", OidRequest::SetQueueParameters { queue: no_queue, changes: moved(1) }),
        ("the default queue", OidRequest::SetQueueParameters { queue: DEFAULT, changes: moved(1) }),
        ("no CPU", OidRequest::SetQueueParameters { queue: ONE, changes: moved(0) }),
        ("no such queue", OidRequest::SetQueueFilter { queue: no_queue, test: test(5) }),
        ("a test that is there", OidRequest::SetQueueFilter { queue: PAUSED, test: test(1) }),
        ("no such filter", OidRequest::ClearQueueFilter { queue: ONE, filter: FilterId(77) }),
        ("filter 0", OidRequest::ClearQueueFilter { queue: ONE, filter: FilterId(0) }),
        ("a filter of another queue", OidRequest::ClearQueueFilter { queue: PAUSED, filter: FILTER }),
        ("a filter of another queue than the default", OidRequest::ClearFilter(FILTER)),
        ("no such queue", OidRequest::EnumQueueFilters(no_queue)),
        ("no such filter", OidRequest::FilterParameters(FilterId(77))),
        ("a VPort", OidRequest::SetFilter { vport: VPortId(1), test: test(5) }),
        ("a VPort", OidRequest::EnumFilters(VPortId(1))),
    ]
}

/// A.3: for a filter that is to go, NDIS says FILE_NOT_FOUND where others say INVALID_PARAMETER.
fn bad_member_status(request: &OidRequest) -> NdisStatus {
    match request {
        OidRequest::ClearFilter(_) | OidRequest::ClearQueueFilter { .. } => NdisStatus::FileNotFound,
        _ => NdisStatus::InvalidParameter,
    }
}

pub(super) fn rules(rules: &mut Rules) {
    for request in requests().into_iter().chain(shared()) {
        by_form(
            rules,
            &format!("{} with VM queues, {}", label(&request), kind(&request)),
            scenario,
            &request,
        );
    }
    for (what, request) in bad_members() {
        let expected = bad_member_status(&request);
        let name = format!("A.3 {} {} with {what}: {expected}", label(&request), kind(&request));
        rules.rule(name, move || {
            let mut bench = scenario();
            let before = bench.state();
            let typed = bench.ask(request.clone());
            assert_eq!(typed.status, expected, "{:?}", typed.refusal);
            assert_eq!(bench.state(), before);
            let response = refused_without_effect(&mut bench, raw(&request));
            assert_eq!(response.status, expected, "{:?}", response.refusal);
        });
    }
    modes(rules);
    keywords(rules);
    ownership(rules);
    filters(rules);
}

/// The variant, without its members.
fn kind(request: &OidRequest) -> String {
    format!("{request:?}").split(['(', ' ']).next().unwrap().to_owned()
}

fn modes(rules: &mut Rules) {
    for request in requests() {
        let of = request.clone();
        rules.rule(format!("A.3 {} while the adapter is halted: NOT_ACCEPTED", kind(&request)), move || {
            let mut bench = scenario();
            bench.adapter.halt();
            assert_eq!(bench.status(of.clone()), NdisStatus::NotAccepted);
            assert_eq!(bench.status(raw(&of)), NdisStatus::NotAccepted);
        });
        let of = request.clone();
        rules.rule(format!("0.4 D.8 {} is refused while SR-IOV is on", kind(&request)), move || {
            let mut bench = Bench::new();
            let on_filters = matches!(
                of,
                OidRequest::SetQueueFilter { .. }
                    | OidRequest::ClearQueueFilter { .. }
                    | OidRequest::EnumQueueFilters(_)
            );
            let expected = if on_filters { bad_member_status(&of) } else { NdisStatus::NotSupported };
            for response in [bench.ask(of.clone()), refused_without_effect(&mut bench, raw(&of))] {
                assert_eq!(response.status, expected, "{:?}", response.refusal);
            }
        });
        rules.rule(
            format!("A.3 {} with neither SR-IOV nor VM queues: NOT_SUPPORTED", kind(&request)),
            move || {
                let mut bench = Bench::of(without_sriov());
                assert_eq!(bench.status(request.clone()), NdisStatus::NotSupported);
                let empty = RawRequest { input: vec![], ..raw(&request) };
                assert_eq!(bench.status(empty), NdisStatus::NotSupported);
            },
        );
    }
    for request in [
        OidRequest::SriovCurrentCapabilities,
        OidRequest::NicSwitchCurrentCapabilities,
        OidRequest::AllocateVf(vf_parameters()),
        OidRequest::CreateVPort(pf_vport()),
        OidRequest::EnumSwitches,
        OidRequest::EnumVPorts { function: None },
        OidRequest::MoveFilter { filter: FILTER, from: VPortId(1), to: VPortId(2) },
    ] {
        rules.rule(format!("D.8 {} is NOT_SUPPORTED while there are VM queues", kind(&request)), move || {
            let mut bench = scenario();
            assert_eq!(refused_without_effect(&mut bench, raw(&request)).status, NdisStatus::NotSupported);
            assert_eq!(bench.status(request.clone()), NdisStatus::NotSupported);
        });
    }
    rules.rule("D.8 NDIS creates no NIC switch while there are VM queues", || {
        let mut bench = scenario();
        let response = bench.ask_ndis(OidRequest::CreateSwitch(config().switch));
        assert_eq!(response.status, NdisStatus::NotSupported);
        assert!(bench.adapter.switch().is_none());
    });
    rules.rule("D.8 with SR-IOV on there are no VM queues to be seen", || {
        assert!(adapter().queues().is_empty());
    });
}

fn keywords(rules: &mut Rules) {
    let with = |change: fn(&mut Keywords)| {
        let mut config = vmq();
        change(&mut config.keywords);
        config
    };
    rules.rule("B.10 *VMQVlanFiltering 0: no filter tests a VLAN id, though the hardware could", move || {
        let mut bench = Bench::of(with(|keywords| keywords.vmq_vlan_filtering = false));
        let tagged = FilterTest { mac: mac(1), vlan: VlanTest::Id(7) };
        let refused = bench.status(OidRequest::SetQueueFilter { queue: DEFAULT, test: tagged });
        assert_eq!(refused, NdisStatus::InvalidParameter);
        for (request, vlan) in [
            (OidRequest::ReceiveFilterCurrentCapabilities, false),
            (OidRequest::ReceiveFilterHardwareCapabilities, true),
        ] {
            let Payload::ReceiveFilter(capabilities) = bench.done(request) else { panic!() };
            assert_eq!(capabilities.vlan, vlan);
        }
    });
    rules.rule("B.10 *VMQLookaheadSplit 1: the adapter does not start", move || {
        let config = with(|keywords| keywords.vmq_lookahead_split = true);
        assert_eq!(Adapter::initialize(config, function()).unwrap_err(), InitializeError::LookaheadSplit);
    });
    rules.rule("B.10 keywords of an earlier configuration read as they did", || {
        let text = r#"{"sriov":true,"vmq":true,"rss":true,"sriov_preferred":true,"vmq_preferred":true}"#;
        assert_eq!(serde_json::from_str::<Keywords>(text).unwrap(), Keywords::default());
    });
    rules.rule("B.7 an adapter has as many VM queues as nondefault VPorts, one more is FAILURE", || {
        let mut bench = Bench::of(vmq());
        for id in 1..=7 {
            assert_eq!(bench.allocate_queue(), QueueId(id));
        }
        assert_eq!(bench.status(OidRequest::AllocateQueue(queue_on(1))), NdisStatus::Failure);
        assert_eq!(bench.status(raw(&OidRequest::AllocateQueue(queue_on(1)))), NdisStatus::Failure);
    });
    rules.rule("B.7 an adapter whose only VPort is the default one has no VM queues", || {
        let mut capabilities = config().capabilities;
        (capabilities.max_vfs, capabilities.max_vports) = (0, 1);
        let mut bench = Bench::of(AdapterConfig { capabilities, ..vmq() });
        assert_eq!(bench.status(OidRequest::AllocateQueue(queue_on(1))), NdisStatus::Failure);
    });
}

fn ownership(rules: &mut Rules) {
    let steps: [(&str, OidRequest); 4] = [
        ("completes", OidRequest::CompleteQueueAllocation(vec![PAUSED])),
        ("frees", OidRequest::FreeQueue(PAUSED)),
        ("changes", OidRequest::SetQueueParameters { queue: PAUSED, changes: QueueChanges::default() }),
        ("sets a filter on", OidRequest::SetQueueFilter { queue: PAUSED, test: test(9) }),
    ];
    for (what, request) in steps {
        rules.rule(format!("H.14 only its allocator {what} a queue"), move || {
            let mut bench = scenario();
            let before = bench.state();
            assert_eq!(bench.ask_as(OTHER, request.clone()).status, NdisStatus::InvalidParameter);
            assert_eq!(bench.state(), before);
        });
    }
    rules.rule("H.14 only who set it clears a filter of a queue, even of the default one", || {
        let mut bench = scenario();
        for request in [
            OidRequest::ClearFilter(FilterId(3)),
            OidRequest::ClearQueueFilter { queue: ONE, filter: FILTER },
        ] {
            assert_eq!(bench.ask_as(OTHER, request.clone()).status, NdisStatus::FileNotFound);
            assert_eq!(bench.status(request), NdisStatus::Success);
        }
    });
    rules.rule("A.4 the default queue is unowned: everybody sets filters there", || {
        let mut bench = scenario();
        let request = OidRequest::SetQueueFilter { queue: DEFAULT, test: test(9) };
        assert_eq!(bench.ask_as(OTHER, request).status, NdisStatus::Success);
    });
    rules.rule("everybody may ask about every queue", || {
        let mut bench = scenario();
        for request in [
            OidRequest::EnumQueues,
            OidRequest::QueueParameters(ONE),
            OidRequest::QueueParameters(DEFAULT),
            OidRequest::EnumQueueFilters(ONE),
            OidRequest::FilterParameters(FILTER),
        ] {
            assert_eq!(bench.ask_as(OTHER, request).status, NdisStatus::Success);
        }
    });
    rules.rule("NDIS itself frees any queue, and is told when it is gone", || {
        let mut bench = scenario();
        assert_eq!(bench.ask_ndis(OidRequest::FreeQueue(PAUSED)).status, NdisStatus::Pending);
        let generation = bench.queue_generation(PAUSED);
        bench.adapter.queue_dma_stopped(PAUSED, generation).unwrap();
        let actions = bench.adapter.queue_returned(PAUSED, generation).unwrap();
        let status = NdisStatus::Success;
        assert!(actions.contains(&crate::Action::CompleteFreeQueue { client: None, queue: PAUSED, status }));
    });
}

fn filters(rules: &mut Rules) {
    rules.rule("A.4 filter ids are unique over all queues", || {
        let mut bench = scenario();
        assert_eq!(bench.set_queue_filter(PAUSED, test(8)), FilterId(4));
        bench.done(OidRequest::ClearQueueFilter { queue: PAUSED, filter: FilterId(4) });
        assert_eq!(bench.set_filter(VPortId::DEFAULT, test(8)), FilterId(5));
    });
    rules.rule("A.3 no MAC address left for a queue is FAILURE", || {
        let mut bench = Bench::of(vmq());
        for last in 1..=12 {
            bench.set_queue_filter(DEFAULT, test(last));
        }
        let request = OidRequest::SetQueueFilter { queue: DEFAULT, test: test(13) };
        assert_eq!(bench.status(request), NdisStatus::Failure);
    });
    rules.rule("A.4 filter 0 of VPort 0 and of queue 0 are the same", || {
        let mut bench = Bench::of(vmq());
        let filter = bench.set_filter(VPortId::DEFAULT, test(1));
        let Payload::Filter(info) = bench.done(OidRequest::FilterParameters(filter)) else { panic!() };
        assert_eq!((info.queue, info.vport), (DEFAULT, VPortId::DEFAULT));
        for request in [OidRequest::EnumFilters(VPortId::DEFAULT), OidRequest::EnumQueueFilters(DEFAULT)] {
            let Payload::QueueFilters { queue, filters } = bench.done(request) else { panic!() };
            assert_eq!((queue, filters.len()), (DEFAULT, 1));
        }
        bench.done(OidRequest::ClearQueueFilter { queue: DEFAULT, filter });
    });
    rules.rule("Get-NetAdapterVmqQueue: every column", || {
        let bench = scenario();
        let queues = bench.adapter.queues();
        assert_eq!(queues.iter().map(|info| info.queue.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
        let (default, one) = (&queues[0], &queues[1]);
        assert_eq!((default.state, default.affinity, default.filters.len()), (QueueState::Running, None, 1));
        assert_eq!((one.state, one.filters.len()), (QueueState::Running, 2));
        assert_eq!(one.affinity, Some(ProcessorAffinity { group: 0, mask: 2 }));
        assert_eq!((one.vm_name.as_str(), one.queue_name.as_str(), one.port_id), ("vm", "Köln 🚆", 9));
        assert_eq!(one.filters[1].test, test(2));
    });
}
