use std::sync::Arc;

use ethernet::MacAddr;
use port::Reception;
use proptest::prelude::*;

use super::*;
use crate::Features;
use crate::testing::driver::Driver;
use crate::testing::{BASE, HOLE, PAIRS, READ_ONLY, TX_BUFFERS, Vm};

const ANSWER: u64 = TX_BUFFERS + 0x2000;

struct Rig {
    vm: Vm,
    queue: ControlQueue,
    driver: Driver,
    asked: Vec<GuestRequest>,
    reply: GuestReply,
}

impl Rig {
    fn new(features: Features) -> Self {
        let vm = Vm::new(features);
        let driver = vm.ring(vm.state.control_ring(), 64);
        let queue = ControlQueue::new(vm.state.clone(), Arc::clone(&vm.log));
        Self { vm, queue, driver, asked: vec![], reply: GuestReply::Granted }
    }

    fn serve(&mut self) -> bool {
        let (asked, reply) = (&mut self.asked, self.reply);
        self.queue.serve(&self.vm.domain, &*self.vm.notify, 0, &mut |request| {
            asked.push(request);
            reply
        })
    }

    /// The answer to a command, and what the physical function was asked.
    fn command(&mut self, class: u8, command: u8, data: &[u8]) -> (u8, Vec<GuestRequest>) {
        let view = self.vm.view();
        view.write_bytes(TX_BUFFERS, &[class, command]).unwrap();
        view.write_bytes(TX_BUFFERS + 0x1000, data).unwrap();
        view.write_bytes(ANSWER, &[0x77]).unwrap();
        let readable = [(TX_BUFFERS, 2), (TX_BUFFERS + 0x1000, u32::try_from(data.len()).unwrap())];
        self.driver.add(&view, &readable, &[(ANSWER, 1)]).unwrap();
        assert!(!self.serve());
        assert_eq!(self.driver.take(&view)[0].1, 1);
        (view.read_obj(ANSWER).unwrap(), std::mem::take(&mut self.asked))
    }
}

fn all(packed: bool) -> Features {
    if packed { Features::all() } else { Features::all().difference(Features::RING_PACKED) }
}

#[test]
fn commands_become_requests() {
    use GuestRequest as Ask;
    let mac = MacAddr([2, 0, 0, 0, 0, 1]);
    let table = [
        &1_u32.to_le_bytes()[..],
        &mac.0,
        &2_u32.to_le_bytes(),
        &[1, 0, 0x5e, 0, 0, 1],
        &[0x33, 0x33, 0, 0, 0, 1],
    ];
    let hashes = [[1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]]
        .map(|mac| ethernet::multicast_hash(MacAddr(mac), ethernet::McFilterType::default()));
    for packed in [false, true] {
        let mut rig = Rig::new(all(packed));
        for (class, command, data, asked) in [
            (0, 0, vec![1], vec![Ask::SetReception(Reception::Promiscuous)]),
            (0, 1, vec![1], vec![Ask::SetReception(Reception::Promiscuous)]),
            (0, 0, vec![0], vec![Ask::SetReception(Reception::AllMulticast)]),
            (0, 1, vec![0], vec![Ask::SetReception(Reception::Multicast)]),
            (1, 1, mac.0.to_vec(), vec![Ask::SetMac(mac)]),
            (1, 0, table.concat(), vec![Ask::SetUnicast(vec![mac]), Ask::SetMulticast(hashes.to_vec())]),
            (1, 0, vec![0; 8], vec![Ask::SetUnicast(vec![]), Ask::SetMulticast(vec![])]),
            (2, 0, vec![0xff, 0x0f], vec![Ask::AddVlan(4095)]),
            (2, 1, vec![5, 0], vec![Ask::RemoveVlan(5)]),
        ] {
            assert_eq!(rig.command(class, command, &data), (OK, asked), "{class}.{command}");
        }
        assert_eq!(rig.vm.state.mac(), mac);
    }
}

#[test]
fn what_the_physical_function_refuses_is_refused_s07() {
    let mut rig = Rig::new(all(false));
    rig.reply = GuestReply::Refused;
    let mac = rig.vm.state.mac();
    assert_eq!(rig.command(1, 1, &[2, 0, 0, 0, 0, 9]).0, ERROR);
    assert_eq!(rig.vm.state.mac(), mac);
    assert_eq!(rig.command(2, 0, &[9, 0]).0, ERROR);
    rig.reply = GuestReply::Reception(Reception::Multicast);
    assert_eq!(rig.command(0, 0, &[1]).0, ERROR, "less than was asked for");
    rig.reply = GuestReply::Granted;
    assert_eq!(rig.command(0, 1, &[1]), (OK, vec![GuestRequest::SetReception(Reception::AllMulticast)]));
}

#[test]
fn settings_of_the_device() {
    let mut rig = Rig::new(all(false));
    assert_eq!(rig.command(4, 0, &[3, 0]).0, OK);
    assert_eq!(rig.vm.state.pairs(), 3);
    assert_eq!(rig.command(5, 0, &Features::GUEST_CSUM.bits().to_le_bytes()).0, OK);
    assert_eq!(rig.vm.state.guest_offloads(), Features::GUEST_CSUM);
    rig.vm.state.set_announcing(true);
    assert_eq!(rig.command(3, 0, &[]).0, OK);
    assert!(!rig.vm.state.announcing());
}

/// `virtio_net_rss_config`.
fn rss(types: u32, mask: u16, default: u16, table: &[u16], pairs: u16, key: &[u8]) -> Vec<u8> {
    let mut bytes = types.to_le_bytes().to_vec();
    bytes.extend(mask.to_le_bytes());
    bytes.extend(default.to_le_bytes());
    bytes.extend(table.iter().flat_map(|queue| queue.to_le_bytes()));
    bytes.extend(pairs.to_le_bytes());
    bytes.push(u8::try_from(key.len()).unwrap());
    bytes.extend(key);
    bytes
}

#[test]
fn rss_is_set_and_taken_back() {
    let mut rig = Rig::new(all(false));
    assert_eq!(rig.command(4, 1, &rss(0x3f, 3, 1, &[0, 1, 2, 3], 2, &[0x6d; 40])).0, OK);
    let set = rig.vm.state.rss().unwrap();
    assert_eq!(
        (set.types.bits(), set.mask, set.default, &set.table[..5]),
        (0x3f, 3, 1, &[0, 1, 2, 3, 0][..])
    );
    assert_eq!((set.key, rig.vm.state.pairs()), ([0x6d; 40], 4), "all queues of the table are in use");
    assert_eq!(rig.command(4, 0, &[2, 0]).0, OK);
    assert_eq!((rig.vm.state.rss(), rig.vm.state.pairs()), (None, 2));
}

#[test]
fn n10_values_out_of_range() {
    let huge = [&0xffff_ffff_u32.to_le_bytes()[..], &[0; 4]].concat();
    let short_key = {
        let mut bytes = rss(0x3f, 0, 0, &[0], 1, &[1; 40]);
        bytes.pop();
        bytes
    };
    for (class, command, data) in [
        (0, 0, vec![2]),
        (0, 0, vec![]),
        (0, 2, vec![1]),
        (1, 0, huge),
        (1, 0, vec![1, 0, 0, 0, 0, 0, 0, 0]),
        (1, 0, vec![0; 9]),
        (1, 1, vec![1, 0, 0, 0, 0, 1]),
        (1, 1, vec![2; 7]),
        (2, 0, vec![0, 0x10]),
        (2, 0, vec![5]),
        (2, 0, vec![0xff, 0xff]),
        (3, 0, vec![0]),
        (4, 0, vec![0, 0]),
        (4, 0, (PAIRS + 1).to_le_bytes().to_vec()),
        (4, 0, vec![0xff, 0xff]),
        (4, 1, rss(0x3f, 2, 0, &[0, 0, 0], 1, &[1; 40])),
        (4, 1, rss(0x3f, 255, 0, &[0; 256], 1, &[1; 40])),
        (4, 1, rss(0x3f, 0xffff, 0, &[0], 1, &[1; 40])),
        (4, 1, rss(0x200, 0, 0, &[0], 1, &[1; 40])),
        (4, 1, rss(0x3f, 0, PAIRS, &[0], 1, &[1; 40])),
        (4, 1, rss(0x3f, 0, 0, &[0xffff], 1, &[1; 40])),
        (4, 1, rss(0x3f, 0, 0, &[0], 0, &[1; 40])),
        (4, 1, rss(0x3f, 0, 0, &[0], 1, &[1; 41])),
        (4, 1, short_key),
        (5, 0, vec![0xff; 8]),
        (5, 0, vec![0; 7]),
        (6, 0, vec![0; 8]),
        (0xff, 0xff, vec![]),
    ] {
        let mut rig = Rig::new(all(false));
        assert_eq!(rig.command(class, command, &data), (ERROR, vec![]), "{class}.{command} {data:x?}");
        assert_eq!((rig.vm.state.pairs(), rig.vm.state.rss()), (1, None));
    }
}

#[test]
fn n10_commands_that_were_not_negotiated() {
    let mut rig = Rig::new(Features::CTRL_VQ);
    for (class, command, data) in [
        (0, 0, vec![1]),
        (1, 1, vec![2; 6]),
        (2, 0, vec![1, 0]),
        (3, 0, vec![]),
        (4, 0, vec![1, 0]),
        (5, 0, vec![0; 8]),
    ] {
        assert_eq!(rig.command(class, command, &data), (ERROR, vec![]), "{class}.{command}");
    }
}

#[test]
fn n10_chains_without_a_place_for_the_answer() {
    let mut rig = Rig::new(all(false));
    let view = rig.vm.view();
    view.write_bytes(TX_BUFFERS, &[0, 0, 1]).unwrap();
    rig.driver.add(&view, &[(TX_BUFFERS, 3)], &[]).unwrap();
    rig.driver.add(&view, &[(TX_BUFFERS, 3)], &[(HOLE, 1)]).unwrap();
    rig.driver.add(&view, &[(TX_BUFFERS, 3)], &[(READ_ONLY, 1)]).unwrap();
    rig.driver.add(&view, &[(HOLE, 3)], &[(ANSWER, 1)]).unwrap();
    rig.driver.add(&view, &[(TX_BUFFERS, 0xffff_ffff)], &[(ANSWER, 1)]).unwrap();
    assert!(!rig.serve());
    let lengths: Vec<u32> = rig.driver.take(&view).iter().map(|used| used.1).collect();
    assert_eq!(lengths, [0, 0, 0, 1, 1], "all of them are given back");
    // The first has no place for an answer and is not carried out; those whose answer cannot be written were.
    assert_eq!(rig.asked.len(), 2);
}

#[test]
fn n10_heads_outside_of_the_ring_break_it() {
    let mut rig = Rig::new(all(false));
    rig.driver.set_available(&rig.vm.view(), 0, 64);
    rig.driver.set_index(&rig.vm.view(), 1);
    assert!(!rig.serve());
    let ring = rig.vm.state.control_ring();
    assert_eq!((rig.vm.state.broken(ring), rig.vm.notify.errors(ring)), (Some(RingError::Head), 1));
}

#[test]
fn q05_a_flood_is_served_in_bounded_turns() {
    let mut rig = Rig::new(Features::CTRL_VQ | Features::CTRL_RX);
    let view = rig.vm.view();
    view.write_bytes(TX_BUFFERS, &[0, 0, 1]).unwrap();
    // One descriptor, as often as the ring has places.
    let table = BASE + rig.vm.state.control_ring() as u64 * crate::testing::driver::RING_BYTES;
    rig.driver.add(&view, &[(TX_BUFFERS, 3)], &[(ANSWER, 1)]).unwrap();
    assert_eq!(rig.driver.parts[0], table);
    for n in 0..64 {
        rig.driver.set_available(&view, n, 0);
    }
    rig.driver.set_index(&view, 64);
    assert!(rig.serve(), "there may be more");
    assert_eq!(rig.asked.len(), MAX_COMMANDS);
    assert!(!rig.serve());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn n10_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400), class in 0..7_u8, command in 0..3_u8) {
        let parsed = Command::parse(&[&[class, command], &bytes[..]].concat(), Features::all(), PAIRS);
        if let Some(Command::Pairs(pairs) | Command::Rss(_, pairs)) = parsed {
            prop_assert!((1..=PAIRS).contains(&pairs));
        }
    }
}
