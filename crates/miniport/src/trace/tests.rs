use super::*;
use crate::tests::raw::raw;
use crate::tests::support::{STACK, adapter, adapter_of, mac, queue_on, test, vf_parameters, vf_vport, vmq};
use crate::{NdisStatus, OidRequest};

/// One event of each kind.
fn events() -> Vec<Event> {
    let vf = VfId(0);
    let generation = 1 << 32 | 1;
    let typed = |request: OidRequest| Event::Request { client: STACK, request: request.into() };
    vec![
        typed(OidRequest::AllocateVf(vf_parameters())),
        Event::Request { client: STACK, request: raw(&OidRequest::CreateVPort(vf_vport(vf))).into() },
        typed(OidRequest::SetPortSecurity { vport: nic_switch::VPortId(1), security: Box::default() }),
        typed(OidRequest::SetReceiveMode { vport: nic_switch::VPortId(1), mode: Box::default() }),
        Event::NdisRequest { request: OidRequest::ProbedBars.into() },
        Event::VfAdapterRequest { vf, generation, request: OidRequest::VfSerialNumber.into() },
        Event::VfRequest { vf, generation, request: PfRequest::SetMac(mac(1)) },
        Event::VfRequest { vf, generation, request: PfRequest::SetMac(mac(2)) },
        Event::PostInvalidate { vf, generation },
        Event::PostInvalidate { vf, generation: 0 },
        Event::Link { up: true },
        Event::InvalidateConfigBlocks { vf, mask: 1 << 63 },
        Event::InvalidateConfigBlocks { vf: VfId(2), mask: 1 },
        Event::VfStatistics { vf, generation, statistics: VfStatistics::default() },
        typed(OidRequest::FreeVf(vf)),
        Event::Close { client: STACK },
        Event::Start,
        Event::Halt,
        typed(OidRequest::EnumVfs),
        Event::Start,
    ]
}

fn trace() -> String {
    let mut adapter = adapter();
    events().into_iter().map(|event| record(&mut adapter, event).0.to_line() + "\n").collect()
}

#[test]
fn a_trace_replays_on_a_fresh_adapter() {
    let report = replay(&trace(), &mut adapter()).unwrap();
    assert_eq!(report.records, events().len());
    assert!(report.actions > 0);
}

#[test]
fn the_life_of_a_vm_queue_replays_too() {
    let queue = QueueId(1);
    let (generation, client) = (1 << 32 | 1, STACK);
    let typed = |request: OidRequest| Event::Request { client, request: request.into() };
    let filter = nic_switch::FilterId(1);
    let events = [
        typed(OidRequest::AllocateQueue(queue_on(1))),
        typed(OidRequest::SetQueueFilter { queue, test: test(1) }),
        typed(OidRequest::CompleteQueueAllocation(vec![queue])),
        typed(OidRequest::EnumQueues),
        typed(OidRequest::FreeQueue(queue)),
        typed(OidRequest::ClearQueueFilter { queue, filter }),
        Event::Request { client, request: raw(&OidRequest::FreeQueue(queue)).into() },
        Event::QueueReturned { queue, generation },
        Event::QueueDmaStopped { queue, generation: 1 },
        Event::QueueDmaStopped { queue, generation },
        Event::QueueReturned { queue, generation },
        typed(OidRequest::EnumQueues),
    ];
    let mut adapter = adapter_of(vmq());
    let records: Vec<_> = events.into_iter().map(|event| record(&mut adapter, event).0).collect();
    let trace: String = records.iter().map(|record| record.to_line() + "\n").collect();
    assert!(matches!(records[6].answer, Answer::Response(OidResponse { status: NdisStatus::Pending, .. })));
    assert!(matches!(records[7].answer, Answer::Refused(Refusal::Queue { .. })));
    assert!(matches!(records[8].answer, Answer::Refused(Refusal::StaleQueue { .. })));
    assert_eq!(records[10].answer, Answer::Done);
    for (record, line) in records.iter().zip(trace.lines()) {
        assert_eq!(serde_json::from_str::<Record>(line).unwrap(), *record);
    }
    assert_eq!(replay(&trace, &mut adapter_of(vmq())).unwrap().records, records.len());
}

#[test]
fn a_record_is_one_line_and_reads_back() {
    let trace = trace();
    for line in trace.lines() {
        let record: Record = serde_json::from_str(line).unwrap();
        assert_eq!(record.to_line(), line);
    }
}

#[test]
fn the_first_answer_that_differs_is_named_with_its_line() {
    let trace = trace();
    let first = trace.lines().next().unwrap();
    // The same allocation again is another VF.
    let twice = format!("{first}\n\n{first}\n");
    let Err(ReplayError::Mismatch(mismatch)) = replay(&twice, &mut adapter()) else { panic!() };
    assert_eq!(mismatch.line, 3);
    let Answer::Response(expected) = &mismatch.expected else { panic!() };
    assert_eq!(expected.status, NdisStatus::Success);
    assert_ne!(mismatch.expected, mismatch.got);
}

#[test]
fn l04_a_line_that_is_no_record_is_named() {
    for bad in ["{", "[]", "{\"event\":\"halt\"}", "{\"event\":\"halt\",\"answer\":\"done\",\"more\":1}"] {
        let text = format!("{}{bad}\n", trace());
        let line = events().len() + 1;
        let error = replay(&text, &mut adapter()).unwrap_err();
        assert!(matches!(error, ReplayError::Malformed { line: at, .. } if at == line), "{bad}: {error}");
    }
}

#[test]
fn the_format_is_stable() {
    let mut adapter = adapter();
    let lines: Vec<_> = [
        Event::Link { up: true },
        Event::Request { client: STACK, request: OidRequest::FreeVf(VfId(0)).into() },
        Event::VfRequest { vf: VfId(0), generation: 1, request: PfRequest::SetMac(mac(1)) },
    ]
    .into_iter()
    .map(|event| record(&mut adapter, event).0.to_line())
    .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    {"event":{"link":{"up":true}},"answer":"done"}
    {"event":{"request":{"client":1,"request":{"typed":{"FreeVf":0}}}},"answer":{"response":{"status":"FileNotFound","refusal":{"unknown_vf":{"vf":0}},"bytes_needed":0,"bytes_read":0,"bytes_written":0,"payload":"None"}}}
    {"event":{"vf_request":{"vf":0,"generation":1,"request":{"set_mac":"02:00:00:00:00:01"}}},"answer":{"reply":{"refused":{"unknown_vf":0}}}}
    "#);
}
