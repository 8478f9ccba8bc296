//! Noisy neighbours: whatever others on the same worker do costs a guest none of its frames.

use super::driver::{self, Registers, TSE};
use super::port::{frame, wait};
use super::switch::{self, mac};
use super::vf::{TX_BUFFERS, TX_RING, Vm, segments, tcp};
use crate::{Config, Dataplane};

/// VPorts of the victims, behind those of the attackers.
const VICTIMS: [usize; 2] = [8, 9];
/// An attacker that leaves its receive ring full.
const STUFFED: usize = 1;
/// One that takes what comes.
const GREEDY: usize = 2;
/// More than comes in between two looks: what all attackers' rings hold, twice.
const RECEIVE_RING: u32 = 2048;
const ROUNDS: u32 = 300;

/// What an attacker does, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attack {
    /// Small frames for a victim.
    Flood,
    /// Small frames for everybody.
    Broadcasts,
    /// Small frames for a receiver that never makes room.
    FullReceiver,
    /// Small frames with the address of a victim, to nobody.
    Spoofed,
    /// Frames to be cut into 2000 segments each.
    TinySegments,
    /// Descriptors and tails of any content.
    Garbage,
    /// A driver that starts over, whatever is on its way.
    Resets,
}

/// Their VPorts are 1 to 7, in this order.
const ATTACKS: [Attack; 7] = [
    Attack::Flood,
    Attack::Broadcasts,
    Attack::FullReceiver,
    Attack::Spoofed,
    Attack::TinySegments,
    Attack::Garbage,
    Attack::Resets,
];

struct Attacker {
    attack: Attack,
    vport: usize,
    vm: Vm,
    random: u64,
}

impl Attacker {
    /// Has as much to send as its ring takes, each time that it is called.
    fn strike(&mut self) {
        let own = mac(self.vport);
        let small = |source, destination| frame(source, destination, 0);
        match self.attack {
            Attack::Flood => self.fill(&small(own, mac(VICTIMS[0]))),
            Attack::Broadcasts => {
                while self.vm.receive().is_some() {}
                self.fill(&small(own, ethernet::MacAddr::BROADCAST));
            }
            Attack::FullReceiver => self.fill(&small(own, mac(STUFFED))),
            Attack::Spoofed => self.fill(&small(mac(VICTIMS[0]), mac(99))),
            Attack::TinySegments => {
                let bytes = tcp(self.vport, GREEDY, 60_000);
                while self.vm.has_room() {
                    self.vm.send(&bytes, Some(segments(30)), TSE);
                }
            }
            Attack::Garbage => self.garbage(),
            Attack::Resets => {
                self.vm.reset();
                self.fill(&small(own, mac(VICTIMS[1])));
            }
        }
    }

    fn fill(&mut self, bytes: &[u8]) {
        while self.vm.has_room() {
            self.vm.send(bytes, None, 0);
        }
    }

    fn garbage(&mut self) {
        let view = self.vm.guest.domain.view();
        for slot in 0..self.vm.tx.size {
            // Half of them name memory that there is.
            let (any, near) = (self.random(), TX_BUFFERS + self.random() % 0x1_0000);
            let address = if any % 2 == 0 { any } else { near };
            driver::store(&view, TX_RING, slot, [address, self.random()]);
        }
        drop(view);
        // Half of the tails are in the ring.
        let tail = u32::try_from(self.random() % u64::from(2 * self.vm.tx.size)).unwrap();
        self.vm.guest.write(vf82599::registers::tx(0, vf82599::registers::TAIL), tail);
    }

    /// Knuth's linear congruential generator: its upper bits are random enough.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.random.rotate_left(32)
    }
}

#[test]
fn q01_each_frame_of_two_guests_arrives_beside_seven_attackers() {
    let vports = ATTACKS.len() + VICTIMS.len();
    let dataplane =
        Dataplane::start(&Config::default(), &switch::capabilities(), switch::snapshot(vports)).unwrap();
    let mut attackers: Vec<_> = (1..)
        .zip(ATTACKS)
        .map(|(vport, attack)| Attacker { attack, vport, vm: Vm::new(&dataplane, vport), random: 1 })
        .collect();
    let mut victims = VICTIMS.map(|vport| Vm::new(&dataplane, vport).with_receive_ring(RECEIVE_RING));

    for round in 0..ROUNDS {
        let (from, to) = if round % 2 == 0 { (0, 1) } else { (1, 0) };
        let sent = frame(mac(VICTIMS[from]), mac(VICTIMS[to]), round);
        attackers.iter_mut().for_each(Attacker::strike);
        victims[from].send(&sent, None, 0);
        let mut arrived = vec![];
        wait("the victim's frame", || {
            attackers.iter_mut().for_each(Attacker::strike);
            while victims[from].receive().is_some() {}
            while let Some(frame) = victims[to].receive() {
                if frame[6..12] == mac(VICTIMS[from]).0 {
                    arrived.push(frame);
                }
            }
            !arrived.is_empty()
        });
        assert_eq!(arrived, [sent], "round {round}");
    }

    dataplane.handle().quiesce();
    for victim in victims {
        let own = victim.guest.counters.read();
        assert_eq!((own.sent.frames, own.held, own.drops), (u64::from(ROUNDS / 2), 0, vec![]));
    }
    // What an attacker sent, or lost for what it sent.
    let struck = attackers.iter().map(|Attacker { attack, vm, .. }| {
        let own = vm.guest.counters.read();
        let lost = own.drops.iter().filter(|(reason, _)| !reason.starts_with("rx_"));
        let struck = own.sent.frames + lost.map(|(_, frames)| frames).sum::<u64>();
        assert!(struck > 0, "{attack:?} does not attack: {own:?}");
        struck
    });
    assert!(struck.sum::<u64>() > 7 * u64::from(ROUNDS));
}
