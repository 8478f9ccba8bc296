//! The worker with ports in memory, and with two real VFs.

mod capture;
mod control;
#[expect(dead_code, unreachable_pub, reason = "the tests of the VF use it too")]
#[path = "../../vf82599/src/queue/tests/driver.rs"]
mod driver;
mod forwarding;
mod gap;
#[expect(unreachable_pub, reason = "the benchmark uses it too")]
mod guest;
mod neighbours;
mod port;
mod sleeping;
#[expect(unreachable_pub, reason = "the benchmark uses it too")]
mod switch;
mod switched;
mod vf;

use std::sync::Arc;

use nic_switch::VPortId;

use crate::{Attachment, Config, Dataplane, Doorbell, Place, PollMode, PortCounters, PortStatistics};

/// A worker with test ports on the VPorts 1 to `ROOMS`, with room for so many frames each.
struct Rig {
    dataplane: Dataplane,
    /// By VPort; there is no port on VPort 0.
    guests: Vec<Arc<port::Guest>>,
    counters: Vec<Arc<PortCounters>>,
}

impl Rig {
    fn new(poll: PollMode, rooms: &[usize]) -> Self {
        let config = Config { poll, ..Config::default() };
        let snapshot = switch::snapshot(rooms.len());
        let dataplane = Dataplane::start(&config, &switch::capabilities(), snapshot).unwrap();
        let mut rig =
            Self { dataplane, guests: vec![port::Guest::with_room(0)], counters: vec![Arc::default()] };
        for (vport, room) in (1..).zip(rooms) {
            rig.guests.push(port::Guest::with_room(*room));
            rig.counters.push(Arc::default());
            rig.attach(vport);
        }
        rig
    }

    fn attach(&self, vport: usize) {
        self.attach_with(vport, Doorbell::Kick);
    }

    fn attach_with(&self, vport: usize, doorbell: Doorbell) {
        let counters = Arc::clone(&self.counters[vport]);
        let attachment = Attachment { port: self.guests[vport].port(), counters, doorbell };
        self.dataplane.handle().attach(place(vport), attachment);
    }

    /// Has the guest on VPort `from` send.
    fn send(&self, from: usize, frames: impl IntoIterator<Item = Vec<u8>>) {
        self.guests[from].outbox.lock().unwrap().extend(frames);
        self.dataplane.handle().kick(place(from)).kick();
    }

    /// Frames number `numbers` from one VPort to another.
    fn frames(from: usize, to: usize, numbers: std::ops::Range<u32>) -> Vec<Vec<u8>> {
        numbers.map(|n| port::frame(switch::mac(from), switch::mac(to), n)).collect()
    }

    fn statistics(&self, vport: usize) -> PortStatistics {
        self.counters[vport].read()
    }

    fn wait_sent(&self, vport: usize) {
        port::wait("the outbox to be empty", || self.guests[vport].outbox.lock().unwrap().is_empty());
        // The last round publishes its counters before it ends.
        self.dataplane.handle().quiesce();
    }
}

/// The place of VPort number `vport`.
fn place(vport: usize) -> Place {
    Place::VPort(VPortId(u32::try_from(vport).unwrap()))
}

/// A port that is kicked, and whose counters nobody reads.
fn attachment(guest: &Arc<port::Guest>) -> Attachment {
    Attachment { port: guest.port(), counters: Arc::default(), doorbell: Doorbell::Kick }
}

impl crate::Handle {
    fn is_asleep(&self) -> bool {
        self.shared.sleeper.is_asleep()
    }

    fn epoch(&self) -> u64 {
        self.shared.epoch.begin_wait()
    }
}
