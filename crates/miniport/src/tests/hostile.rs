//! Row N15 of the hostile inputs: lengths and offsets that point past a request, strings that lie, and everything else that
//! bytes can say.

use nic_switch::{QueueChanges, QueueId, VPortId, VfId};
use proptest::prelude::*;

use super::raw::raw;
use super::support::{Bench, pf_vport, queue_on, test, vf_parameters, vmq};
use crate::{NdisStatus, Oid, OidRequest, Payload, RawRequest, RequestType};

/// Every raw request that takes a structure, each valid on the adapter of [`bench`].
fn structured() -> Vec<RawRequest> {
    [
        OidRequest::SwitchParameters,
        OidRequest::AllocateVf(vf_parameters()),
        OidRequest::FreeVf(VfId(1)),
        OidRequest::EnumVfs,
        OidRequest::CreateVPort(pf_vport()),
        OidRequest::SetVPortParameters { vport: VPortId::DEFAULT, changes: Default::default() },
        OidRequest::EnumVPorts { function: None },
        OidRequest::SetFilter { vport: VPortId::DEFAULT, test: test(9) },
        OidRequest::EnumFilters(VPortId::DEFAULT),
        OidRequest::ReadVfConfigSpace { vf: VfId(0), offset: 0, length: 16 },
        OidRequest::WriteVfConfigSpace { vf: VfId(0), offset: 0, data: vec![0xFF; 32] },
        OidRequest::ReadVfConfigBlock { vf: VfId(0), block: 0, length: 16 },
        OidRequest::WriteVfConfigBlock { vf: VfId(0), block: 3, data: vec![1; 16] },
        OidRequest::SetVfPowerState { vf: VfId(0), state: crate::PowerState::D3, wake_enable: false },
        OidRequest::SetPortSecurity { vport: VPortId(1), security: Box::default() },
        OidRequest::SetReceiveMode { vport: VPortId(1), mode: Box::default() },
    ]
    .iter()
    .map(raw)
    .collect()
}

/// The same for an adapter with VM queues, [`queue_bench`].
fn structured_for_queues() -> Vec<RawRequest> {
    let queue = QueueId(1);
    [
        OidRequest::AllocateQueue(queue_on(1)),
        OidRequest::CompleteQueueAllocation(vec![queue, QueueId(2)]),
        OidRequest::FreeQueue(QueueId(2)),
        OidRequest::QueueParameters(queue),
        OidRequest::SetQueueParameters { queue, changes: QueueChanges::default() },
        OidRequest::SetQueueFilter { queue, test: test(9) },
        OidRequest::EnumQueueFilters(queue),
    ]
    .iter()
    .map(raw)
    .collect()
}

fn queue_bench() -> Bench {
    let mut bench = Bench::of(vmq());
    let queue = bench.allocate_queue();
    bench.set_queue_filter(queue, test(1));
    bench.allocate_queue();
    bench
}

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.attached_vf();
    bench.allocate_vf();
    bench
}

type Adapters = [(fn() -> Bench, Vec<RawRequest>); 2];

fn both() -> Adapters {
    [(bench, structured()), (queue_bench, structured_for_queues())]
}

/// Asks, and checks what holds for every answer.
fn ask(bench: &mut Bench, request: &RawRequest) -> NdisStatus {
    let response = bench.ask(request.clone());
    assert!(response.bytes_written <= request.output_length, "{request:?}");
    let accepted = matches!(response.status, NdisStatus::Success | NdisStatus::Pending);
    assert_eq!(response.refusal.is_none(), accepted);
    assert_eq!(response.status == NdisStatus::InvalidLength, response.bytes_needed > 0);
    if let Payload::Raw(bytes) = &response.payload {
        assert_eq!(u32::try_from(bytes.len()).unwrap(), response.bytes_written);
    }
    response.status
}

#[test]
fn n15_offsets_and_lengths_past_the_request_are_refused() {
    let extremes = [0_u32, 1, 19, 0xFFFF, 0x1_0000, 0x1_0001, 0x7FFF_FFFF, 0xFFFF_FFEC, 0xFFFF_FFFF];
    let transfers = [
        OidRequest::WriteVfConfigSpace { vf: VfId(0), offset: 0, data: vec![0; 16] },
        OidRequest::WriteVfConfigBlock { vf: VfId(0), block: 3, data: vec![0; 16] },
        OidRequest::ReadVfConfigSpace { vf: VfId(0), offset: 0, length: 16 },
        OidRequest::ReadVfConfigBlock { vf: VfId(0), block: 3, length: 16 },
    ];
    for request in transfers.iter().map(raw) {
        for value in extremes {
            let mut wrong = request.clone();
            // BufferOffset.
            wrong.input[16..20].copy_from_slice(&value.to_le_bytes());
            let refused = ask(&mut bench(), &wrong);
            // A read may answer at any offset that fits.
            let fits = request.request_type == RequestType::Method && value == 0xFFFF - 15;
            assert_eq!(refused == NdisStatus::Success, fits, "offset {value:#x}: {refused}");
        }
    }
}

#[test]
fn n15_field_arrays_past_the_request_are_refused() {
    let request = raw(&OidRequest::SetFilter { vport: VPortId::DEFAULT, test: test(9) });
    // Offset, number, size of elements.
    for (offset, values) in [
        (20, [0, 43, 45, 0xFFFF, 0x1_0000, u32::MAX]),
        (24, [2, 8, 9, 0x0100_0000, 0x4924_924A, u32::MAX]),
        (28, [0, 1, 55, 57, 0x8000_0000, u32::MAX]),
    ] {
        for value in values {
            let mut wrong = request.clone();
            wrong.input[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
            assert_ne!(ask(&mut bench(), &wrong), NdisStatus::Success, "{value:#x} at {offset}");
        }
    }
}

#[test]
fn n15_address_arrays_past_the_request_are_refused() {
    let request = raw(&OidRequest::SetReceiveMode { vport: VPortId(1), mode: Box::default() });
    for (first, count, size) in
        [(1048, 1, 6), (0, 1, 6), (1048, 129, 6), (1048, 1, 5), (u32::MAX, 128, u32::MAX)]
    {
        let mut wrong = request.clone();
        for (offset, value) in [(12, first), (16, count), (20, size)] {
            wrong.input[offset..offset + 4].copy_from_slice(&u32::to_le_bytes(value));
        }
        assert_ne!(ask(&mut bench(), &wrong), NdisStatus::Success);
    }
}

#[test]
fn n15_names_that_lie_about_their_length_are_refused() {
    let request = raw(&OidRequest::AllocateVf(vf_parameters()));
    for offset in [0x00C, 0x210, 0x414] {
        for length in [1_u16, 513, 514, 516, 0xFFFE, 0xFFFF] {
            let mut wrong = request.clone();
            wrong.input[offset..offset + 2].copy_from_slice(&length.to_le_bytes());
            assert_eq!(ask(&mut bench(), &wrong), NdisStatus::InvalidParameter, "{length}");
        }
        let mut unpaired = request.clone();
        unpaired.input[offset..offset + 4].copy_from_slice(&[2, 0, 0x00, 0xD8]);
        assert_eq!(ask(&mut bench(), &unpaired), NdisStatus::InvalidParameter);
        let mut longest = request.clone();
        longest.input[offset..offset + 2].copy_from_slice(&512_u16.to_le_bytes());
        assert_eq!(ask(&mut bench(), &longest), NdisStatus::Success);
    }
}

#[test]
fn n15_a_header_that_says_more_than_the_buffer_holds_is_refused() {
    for (bench, requests) in both() {
        for mut request in requests {
            request.input[2..4].copy_from_slice(&[0xFF, 0xFF]);
            assert_eq!(ask(&mut bench(), &request), NdisStatus::InvalidLength);
        }
    }
}

#[test]
fn n15_a_request_cut_at_any_byte_is_refused_or_answered() {
    for (bench, requests) in both() {
        for request in requests {
            let mut bench = bench();
            for length in 0..request.input.len() {
                let cut = RawRequest { input: request.input[..length].to_vec(), ..request.clone() };
                ask(&mut bench, &cut);
            }
        }
    }
}

fn request_types() -> impl Strategy<Value = RequestType> {
    prop_oneof![Just(RequestType::Query), Just(RequestType::Set), Just(RequestType::Method)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Any bytes for any OID.
    #[test]
    fn n15_random_bytes_are_answered(
        requests in prop::collection::vec(
            (prop::sample::select(Oid::ALL), request_types(), prop::collection::vec(any::<u8>(), 0..200), 0_u32..4096),
            1..24,
        ),
        with_queues in any::<bool>(),
    ) {
        let mut bench = if with_queues { queue_bench() } else { bench() };
        for (oid, request_type, input, output_length) in requests {
            ask(&mut bench, &RawRequest { request_type, oid: oid.number(), input, output_length });
        }
    }

    /// A valid request with some bytes changed: this gets past the headers.
    #[test]
    fn n15_valid_requests_with_random_bytes_are_answered(
        with_queues in any::<bool>(),
        choice in any::<prop::sample::Index>(),
        patches in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(0), Just(0xFF)]), 1..6),
        output_length in prop_oneof![0_u32..64, Just(0x1_0000)],
    ) {
        let (bench, requests) = &both()[usize::from(with_queues)];
        let mut request = choice.get(requests).clone();
        request.output_length = output_length;
        for (index, value) in patches {
            // The first bytes matter most: that is where structures have their members.
            let length = request.input.len().min(64);
            let at = index.index(length);
            request.input[at] = value;
        }
        let mut bench = bench();
        ask(&mut bench, &request);
        // The adapter still works.
        prop_assert_eq!(bench.status(OidRequest::EnumFilters(VPortId::DEFAULT)), NdisStatus::Success);
    }
}
