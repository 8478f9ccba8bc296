//! Random sequences of requests, reports and restarts on an adapter with VM queues, against what must always hold.

use std::collections::{BTreeMap, BTreeSet};

use nic_switch::{FilterId, FilterTest, QueueChanges, QueueId, QueueState, VlanTest};
use proptest::prelude::*;

use super::raw::raw;
use super::support::{OTHER, STACK, adapter_of, capabilities, mac, queue_on, vmq};
use crate::trace::{Answer, Event, record, replay};
use crate::{Action, Adapter, ClientId, NdisStatus, OidRequest, Payload, QueueInfo};

fn queue() -> impl Strategy<Value = QueueId> {
    prop_oneof![9 => 0_u32..9, 1 => Just(u32::MAX)].prop_map(QueueId)
}

fn filter() -> impl Strategy<Value = FilterId> {
    (0_u32..14).prop_map(FilterId)
}

fn request() -> impl Strategy<Value = OidRequest> {
    let vlan =
        prop_oneof![Just(VlanTest::Any), Just(VlanTest::UntaggedOrZero), (0_u16..4).prop_map(VlanTest::Id)];
    let test = (1_u8..9, vlan).prop_map(|(last, vlan)| FilterTest { mac: mac(last), vlan });
    prop_oneof![
        5 => (0_u32..4).prop_map(|cpu| OidRequest::AllocateQueue(queue_on(cpu))),
        5 => prop::collection::vec(queue(), 0..4).prop_map(OidRequest::CompleteQueueAllocation),
        5 => queue().prop_map(OidRequest::FreeQueue),
        8 => (queue(), test).prop_map(|(queue, test)| OidRequest::SetQueueFilter { queue, test }),
        6 => (queue(), filter()).prop_map(|(queue, filter)| OidRequest::ClearQueueFilter { queue, filter }),
        1 => (queue(), 0_u32..4).prop_map(|(queue, cpu)| OidRequest::SetQueueParameters {
            queue,
            changes: QueueChanges { affinity: Some(queue_on(cpu).affinity), ..QueueChanges::default() },
        }),
        1 => queue().prop_map(OidRequest::QueueParameters),
        1 => queue().prop_map(OidRequest::EnumQueueFilters),
        1 => Just(OidRequest::EnumVfs),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Request(ClientId, bool, OidRequest),
    DmaStopped(QueueId, bool),
    Returned(QueueId, bool),
    Close(ClientId),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = || prop_oneof![3 => Just(STACK), 1 => Just(OTHER)];
    let late = || prop::bool::weighted(0.1);
    let step = prop_oneof![
        20 => (client(), any::<bool>(), request())
            .prop_map(|(client, as_bytes, request)| Step::Request(client, as_bytes, request)),
        5 => (queue(), late()).prop_map(|(queue, late)| Step::DmaStopped(queue, late)),
        5 => (queue(), late()).prop_map(|(queue, late)| Step::Returned(queue, late)),
        1 => client().prop_map(Step::Close),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..80)
}

/// What the data path holds, as it was told, and who waits for what.
#[derive(Default)]
struct DataPath {
    attached: BTreeMap<QueueId, u64>,
    stopping: BTreeSet<QueueId>,
    waiting: BTreeMap<QueueId, ClientId>,
}

impl DataPath {
    fn execute(&mut self, actions: &[Action]) {
        for action in actions {
            match *action {
                Action::AttachQueue { queue, generation, .. } => {
                    assert_eq!(self.attached.insert(queue, generation), None);
                }
                Action::ConfigureQueue { queue, generation, .. } => {
                    assert_eq!(self.attached.get(&queue), Some(&generation));
                }
                Action::StopQueue { queue, generation } => {
                    assert_eq!(self.attached.get(&queue), Some(&generation));
                    assert!(self.stopping.insert(queue));
                }
                Action::DetachQueue { queue, generation } => {
                    assert_eq!(self.attached.remove(&queue), Some(generation));
                    self.stopping.remove(&queue);
                }
                Action::CompleteFreeQueue { client, queue, .. } => {
                    assert!(!self.attached.contains_key(&queue), "the queue went first");
                    assert_eq!(self.waiting.remove(&queue), client);
                }
                Action::PublishForwarding | Action::Indicate(_) => (),
                ref other => panic!("{other:?} on an adapter with VM queues"),
            }
        }
    }

    /// The adapter has exactly the queues that the data path has, within its budgets.
    fn check(&self, adapter: &Adapter) {
        let queues = adapter.queues();
        let of_adapter: BTreeMap<_, _> =
            queues[1..].iter().map(|info| (info.queue, info.generation)).collect();
        assert_eq!(of_adapter, self.attached);
        assert!(queues.len() < usize::try_from(capabilities().max_vports).unwrap() + 1);
        let mut filters = BTreeSet::new();
        for info in &queues {
            for filter in &info.filters {
                assert_eq!(filter.queue, info.queue);
                assert!(filters.insert(filter.filter), "{} stands twice", filter.filter);
            }
        }
        for QueueInfo { queue, state, .. } in &queues[1..] {
            let going = matches!(state, QueueState::StopDma | QueueState::Freeing);
            assert_eq!(going, self.stopping.contains(queue), "{queue} is {state}");
        }
        assert!(self.waiting.keys().all(|queue| self.stopping.contains(queue)));
    }
}

fn event(adapter: &Adapter, step: &Step) -> Vec<Event> {
    let generation = |queue, late: bool| {
        let found = adapter.queues().into_iter().find(|info| info.queue == queue);
        found.map_or(0, |info| info.generation).wrapping_sub(u64::from(late))
    };
    match *step {
        Step::Request(client, as_bytes, ref request) => {
            let request = if as_bytes { raw(request).into() } else { request.clone().into() };
            vec![Event::Request { client, request }]
        }
        Step::DmaStopped(queue, late) => {
            vec![Event::QueueDmaStopped { queue, generation: generation(queue, late) }]
        }
        Step::Returned(queue, late) => {
            vec![Event::QueueReturned { queue, generation: generation(queue, late) }]
        }
        Step::Close(client) => vec![Event::Close { client }],
        Step::Restart => vec![Event::Halt, Event::Start],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The data path and the adapter agree on every queue, FREE_QUEUE completes once and after the queue has gone, what is
    /// refused changes nothing, and the trace of it all replays.
    #[test]
    fn whatever_is_asked_queues_and_data_path_agree(steps in steps()) {
        let mut adapter = adapter_of(vmq());
        let mut data_path = DataPath::default();
        let mut trace = String::new();
        for step in steps {
            if let Step::Close(client) = step {
                data_path.waiting.retain(|_, waiting| *waiting != client);
            }
            for event in event(&adapter, &step) {
                let before = adapter.queues();
                let (record, actions) = record(&mut adapter, event);
                trace += &record.to_line();
                trace.push('\n');
                let refused = match &record.answer {
                    Answer::Response(response) => response.refusal.is_some(),
                    Answer::Refused(_) => true,
                    _ => false,
                };
                if refused {
                    prop_assert_eq!(&actions, &[]);
                    prop_assert_eq!(adapter.queues(), before);
                }
                if let Answer::Response(response) = &record.answer
                    && response.status == NdisStatus::Pending
                {
                    let Step::Request(client, _, OidRequest::FreeQueue(queue)) = &step else { panic!("{step:?}") };
                    prop_assert_eq!(&response.payload, &Payload::None);
                    prop_assert_eq!(data_path.waiting.insert(*queue, *client), None);
                }
                data_path.execute(&actions);
            }
            data_path.check(&adapter);
        }
        let report = replay(&trace, &mut adapter_of(vmq())).unwrap();
        prop_assert_eq!(report.records, trace.lines().count());
    }
}
