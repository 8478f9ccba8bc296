//! B.6, B.7: the structures of VM queues, read and written by offset.

use nic_switch::{FilterId, QueueChanges, QueueId, QueueState, VPortId};

use super::super::structures::{elements, name_at, output, put, u16_at, u32_at};
use super::{DEFAULT, ONE, Rules, bench_in};
use crate::tests::raw::raw;
use crate::tests::support::{Bench, capabilities, queue_on, test, vmq};
use crate::{NdisStatus, OidRequest, Payload, RawRequest, StatusIndication};

pub(super) fn rules(rules: &mut Rules) {
    capabilities_rules(rules);
    answers(rules);
    constants(rules);
    batches(rules);
}

fn capabilities_rules(rules: &mut Rules) {
    let members = |bytes: &[u8]| -> Vec<u32> { (0..9).map(|index| u32_at(bytes, 4 + 4 * index)).collect() };
    let filters = capabilities().max_filters;
    rules.rule(
        "B.6 receive filters with VM queues: both types enabled, 7 queues, their properties",
        move || {
            for request in
                [OidRequest::ReceiveFilterCurrentCapabilities, OidRequest::ReceiveFilterHardwareCapabilities]
            {
                let bytes = output(&mut Bench::of(vmq()), raw(&request));
                assert_eq!(members(&bytes), [0, 1, 1, 7, 0x1B, 1, 1, 0x9, filters]);
                assert!(bytes[40..].iter().all(|byte| *byte == 0), "no queue groups, no lookahead split");
            }
        },
    );
    rules.rule(
        "0.4 B.6 with SR-IOV on, queues are what the hardware could have, and not enabled",
        move || {
            let bytes = output(&mut Bench::new(), raw(&OidRequest::ReceiveFilterHardwareCapabilities));
            assert_eq!(members(&bytes), [0, 1, 0, 7, 0x1B, 1, 1, 0x9, filters]);
        },
    );
    rules.rule("B.6 GLOBAL_PARAMETERS with VM queues: filters and queues are enabled", || {
        let bytes = output(&mut Bench::of(vmq()), raw(&OidRequest::ReceiveFilterGlobalParameters));
        assert_eq!(bytes, [0x80, 1, 16, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
    });
}

fn answers(rules: &mut Rules) {
    rules.rule(
        "B.7 ALLOCATE_QUEUE answers in place: Flags, QueueId, MSIXTableEntry, coalescing domain",
        || {
            let request = raw(&OidRequest::AllocateQueue(queue_on(1)));
            let bytes = output(&mut Bench::of(vmq()), request.clone());
            assert_eq!(bytes.len(), 1092);
            // PER_QUEUE_RECEIVE_INDICATION, though nobody asked (0.12).
            assert_eq!([4, 12, 44, 1088].map(|offset| u32_at(&bytes, offset)), [1, 1, 1, 1]);
            for kept in [0..4, 8..12, 16..44, 48..1088] {
                assert_eq!(bytes[kept.clone()], request.input[kept]);
            }
        },
    );
    rules.rule("B.7 revision 1 of ALLOCATE_QUEUE has no port and no coalescing domain", || {
        let mut request = raw(&OidRequest::AllocateQueue(queue_on(1)));
        request.input[1..4].copy_from_slice(&[1, 0x3C, 4]);
        request.input.truncate(1084);
        request.output_length = 1084;
        let mut bench = Bench::of(vmq());
        assert_eq!(output(&mut bench, request).len(), 1084);
        assert_eq!(bench.adapter.queues()[1].port_id, 0);
    });
    rules.rule("B.7 QUEUE_PARAMETERS and QUEUE_INFO have their members in their places", || {
        let mut bench = bench_in(QueueState::Running, 2);
        let parameters = output(&mut bench, raw(&OidRequest::QueueParameters(ONE)));
        let listed = output(&mut bench, raw(&OidRequest::EnumQueues));
        let info = elements(&listed, 4)[1];
        for bytes in [parameters.as_slice(), info] {
            assert_eq!(bytes[..4], [0x80, 2, 0x44, 4]);
            // Flags, QueueType, QueueId, QueueGroupId.
            assert_eq!([4, 8, 12, 16].map(|offset| u32_at(bytes, offset)), [1, 1, 1, 0]);
            // ProcessorAffinity, NumSuggestedReceiveBuffers, MSIXTableEntry, LookaheadSize.
            assert_eq!((u32_at(bytes, 24), u16_at(bytes, 32)), (2, 0));
            assert_eq!([40, 44, 48].map(|offset| u32_at(bytes, offset)), [256, 1, 0]);
            assert_eq!((name_at(bytes, 52).as_str(), name_at(bytes, 568).as_str()), ("vm", "Köln 🚆"));
            assert_eq!(u32_at(bytes, 1088), 1, "InterruptCoalescingDomainId");
        }
        assert_eq!(u32_at(&parameters, 1084), 9, "PortId");
        assert_eq!((u32_at(info, 20), u32_at(info, 1084)), (1, 2), "QueueState and NumFilters");
    });
    rules.rule("B.7 QUEUE_PARAMETERS answers in the revision that was asked in", || {
        let mut request = raw(&OidRequest::QueueParameters(ONE));
        request.input[1..4].copy_from_slice(&[1, 0x3C, 4]);
        request.input.truncate(1084);
        request.output_length = 1084;
        let bytes = output(&mut bench_in(QueueState::Set, 1), request);
        assert_eq!((&bytes[..4], bytes.len()), (&[0x80, 1, 0x3C, 4][..], 1084));
    });
    for (state, value) in [
        (QueueState::Allocated, 2),
        (QueueState::Set, 2),
        (QueueState::Running, 1),
        (QueueState::Paused, 2),
        (QueueState::StopDma, 2),
        (QueueState::Freeing, 3),
    ] {
        rules.rule(format!("0.6 B.7 {state} is {value} in QUEUE_INFO"), move || {
            let listed = output(&mut bench_in(state, 1), raw(&OidRequest::EnumQueues));
            assert_eq!(u32_at(elements(&listed, 4)[1], 20), value);
        });
    }
    rules.rule("B.7 the buffer of RECEIVE_QUEUE_STATE names the queue and DmaStopped", || {
        let buffer = StatusIndication::QueueDmaStopped { queue: QueueId(5) }.buffer();
        assert_eq!(buffer, [0x80, 1, 16, 0, 0, 0, 0, 0, 5, 0, 0, 0, 3, 0, 0, 0]);
    });
    rules.rule("B.6 SET_FILTER names a queue, and ENUM_FILTERS and PARAMETERS name it again", || {
        let mut bench = bench_in(QueueState::Running, 1);
        let bytes = output(&mut bench, raw(&OidRequest::EnumQueueFilters(ONE)));
        assert_eq!((u32_at(&bytes, 4), u32_at(&bytes, 20)), (1, 0), "QueueId, no VPORT_ID_SPECIFIED");
        assert_eq!(elements(&bytes, 8).len(), 1);
        let bytes = output(&mut bench, raw(&OidRequest::FilterParameters(FilterId(1))));
        assert_eq!((u32_at(&bytes, 12), u32_at(&bytes, 40)), (1, 0), "QueueId and VPortId");
    });
}

fn constants(rules: &mut Rules) {
    let bad: [(&str, OidRequest, usize, &[u8]); 14] = [
        ("QueueType is 1", OidRequest::AllocateQueue(queue_on(1)), 8, &[0]),
        ("QueueType is 1", OidRequest::AllocateQueue(queue_on(1)), 8, &[2]),
        ("QueueId is 0 on input", OidRequest::AllocateQueue(queue_on(1)), 12, &[1]),
        ("QueueGroupId is 0", OidRequest::AllocateQueue(queue_on(1)), 16, &[1]),
        ("LookaheadSize is 0", OidRequest::AllocateQueue(queue_on(1)), 48, &[1]),
        ("no LOOKAHEAD_SPLIT_REQUIRED", OidRequest::AllocateQueue(queue_on(1)), 4, &[2]),
        ("no *_CHANGED", OidRequest::AllocateQueue(queue_on(1)), 4, &[0, 0, 2]),
        ("a name is UTF-16", OidRequest::AllocateQueue(queue_on(1)), 52, &[2, 0, 0, 0xD8]),
        ("a name ends in its array", OidRequest::AllocateQueue(queue_on(1)), 568, &[2, 2]),
        ("Flags is 0", OidRequest::FreeQueue(ONE), 4, &[1]),
        ("Flags is 0", OidRequest::CompleteQueueAllocation(vec![ONE]), 4, &[1]),
        ("Flags of an element is 0", OidRequest::CompleteQueueAllocation(vec![ONE]), 28, &[1]),
        ("a queue or a VPort", OidRequest::SetQueueFilter { queue: ONE, test: test(5) }, 40, &[1]),
        ("a queue or a VPort", OidRequest::EnumQueueFilters(ONE), 20, &[1]),
    ];
    for (what, request, offset, value) in bad {
        let (oid, request_type) = request.oid();
        rules.rule(format!("B.7 {request_type} {oid}: {what} (offset {offset}, {value:?})"), move || {
            let mut bench = bench_in(QueueState::Allocated, 0);
            let before = bench.state();
            let response = bench.ask(put(&request, offset, value));
            assert_eq!(response.status, NdisStatus::InvalidParameter, "{:?}", response.refusal);
            assert_eq!(bench.state(), before);
        });
    }
    // PER_QUEUE, LOOKAHEAD, FLAGS, INT_COALESCING_DOMAIN and QOS_SQ cannot be changed.
    for flag in [0x1_u32, 0x2, 0x1_0000, 0x10_0000, 0x20_0000] {
        rules.rule(format!("B.7 QUEUE_PARAMETERS set: flag {flag:#x} is refused"), move || {
            let request = OidRequest::SetQueueParameters { queue: ONE, changes: QueueChanges::default() };
            let response = bench_in(QueueState::Running, 1).ask(put(&request, 4, &flag.to_le_bytes()));
            assert_eq!(response.status, NdisStatus::InvalidParameter);
        });
    }
    rules.rule("A.4 QUEUE_PARAMETERS set: members without their flag are not looked at", || {
        let mut bench = bench_in(QueueState::Running, 1);
        let before = bench.state();
        let request = OidRequest::SetQueueParameters { queue: ONE, changes: QueueChanges::default() };
        let mut raw = raw(&request);
        raw.input[16..].fill(0xEE);
        bench.done(raw);
        assert_eq!(bench.state(), before);
    });
    rules.rule("B.7 PER_QUEUE_RECEIVE_INDICATION may be asked for", || {
        Bench::of(vmq()).done(put(&OidRequest::AllocateQueue(queue_on(1)), 4, &[1]));
    });
    rules.rule("B.6 queue 0 and VPort 0 of SET_FILTER mean the default queue", || {
        let mut bench = Bench::of(vmq());
        bench.done(raw(&OidRequest::SetQueueFilter { queue: DEFAULT, test: test(1) }));
        bench.done(raw(&OidRequest::SetFilter { vport: VPortId::DEFAULT, test: test(2) }));
        assert_eq!(bench.adapter.queues()[0].filters.len(), 2);
    });
}

fn batches(rules: &mut Rules) {
    rules.rule("B.7 a batch comes back whole, with a CompletionStatus for each queue", || {
        let mut bench = bench_in(QueueState::Set, 1);
        let two = bench.allocate_queue();
        bench.done(OidRequest::CompleteQueueAllocation(vec![two]));
        let request = raw(&OidRequest::CompleteQueueAllocation(vec![two, ONE]));
        let bytes = output(&mut bench, request.clone());
        assert_eq!(bytes.len(), request.input.len());
        let statuses: Vec<_> = elements(&bytes, 8).iter().map(|element| u32_at(element, 12)).collect();
        assert_eq!(statuses, [0xC000_000D, 0]);
        assert_eq!(bytes[..36], request.input[..36]);
    });
    rules.rule("B.7 a batch is walked by ElementSize", || {
        let mut bench = bench_in(QueueState::Set, 1);
        let two = bench.allocate_queue();
        let mut request = raw(&OidRequest::CompleteQueueAllocation(vec![ONE, two]));
        request.input.splice(40..40, [0xAA; 8]);
        request.input.extend([0xAA; 8]);
        request.input[16] = 24;
        bench.done(request);
        assert_eq!(bench.adapter.queues()[2].state, QueueState::Paused);
    });
    rules.rule("B.7 an empty batch is complete", || {
        let mut bench = Bench::of(vmq());
        let Payload::Raw(bytes) = bench.done(raw(&OidRequest::CompleteQueueAllocation(vec![]))) else {
            panic!()
        };
        assert_eq!(bytes.len(), 20);
    });
    rules.rule("N15 a batch that lies about its array is refused, and nothing is completed", || {
        let mut bench = bench_in(QueueState::Set, 1);
        let before = bench.state();
        let request = raw(&OidRequest::CompleteQueueAllocation(vec![ONE]));
        let extremes = [0, 1, 19, 41, 0xFFFF, 0x1_0001, u32::MAX];
        for (offset, values) in [
            (8, &extremes[..]),
            (12, &[2, 4097, 0x1000_0000, u32::MAX][..]),
            (16, &[0, 15, 17, u32::MAX][..]),
        ] {
            for value in values {
                let mut wrong = request.clone();
                wrong.input[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
                assert_ne!(bench.status(wrong), NdisStatus::Success, "{value:#x} at {offset}");
                assert_eq!(bench.state(), before);
            }
        }
        let mut element = request;
        element.input[26..28].copy_from_slice(&[0xFF, 0xFF]);
        assert_eq!(bench.status(element), NdisStatus::InvalidParameter);
    });
    rules.rule("A.3 a batch that its answer does not fit completes nothing", || {
        let mut bench = bench_in(QueueState::Set, 1);
        let request = raw(&OidRequest::CompleteQueueAllocation(vec![ONE]));
        let response = bench.ask(RawRequest { output_length: 39, ..request });
        assert_eq!((response.status, response.bytes_needed), (NdisStatus::InvalidLength, 40));
        assert_eq!(bench.adapter.queues()[1].state, QueueState::Set);
    });
}
