//! A VM's VF, whole: control half, queues on a worker, and a driver's way of setting it up.

use std::sync::Arc;

use guest_memory::DmaDomain;
use nic_switch::VPortId;
use pcie::ConfigSpace;
use port::{Cycles, GuestReply, GuestRequest};
use sys::clock;
use vf82599::registers::{VFMAILBOX, VFMBMEM, VTEIMS, VTIVAR};
use vf82599::{Control, Host, Identity, Interrupts, Profile, QueueProfile, Queues, Signal, VfState};

use super::driver::{self, Registers};

/// Frames of up to this length, frame check sequence included.
const MAX_FRAME: u32 = 9728;

/// A VF as its guest and its VMM have it.
#[derive(Debug)]
pub struct Guest {
    pub domain: Arc<DmaDomain>,
    pub state: VfState,
    pub control: Control,
    pub counters: Arc<crate::PortCounters>,
    worker: Worker,
}

#[derive(Debug)]
struct Worker {
    handle: crate::Handle,
    kick: crate::Kick,
}

/// Interrupts go nowhere: the driver polls.
#[derive(Debug)]
struct Polled;

impl Signal for Polled {
    fn signal(&self, _vector: u32) {}
}

impl Host for Worker {
    fn quiesce(&mut self) {
        self.handle.quiesce();
    }

    fn kick(&mut self) {
        self.kick.kick();
    }

    fn request(&mut self, _request: GuestRequest) -> GuestReply {
        GuestReply::Granted
    }

    fn now(&self) -> Cycles {
        clock::tsc()
    }
}

impl Guest {
    /// A VM with `bytes` of memory, its VF on VPort `vport`, its driver past the reset.
    pub fn plug(handle: &crate::Handle, vport: usize, bytes: u64) -> Self {
        let place = crate::Place::VPort(VPortId(u32::try_from(vport).unwrap()));
        let (domain, state) = (driver::memory(bytes), VfState::create("vf").unwrap());
        let interrupts =
            Arc::new(Interrupts::new(state.clone(), clock::cycles_per_microsecond(), Box::new(Polled)));
        let layout = Arc::new(Profile::X550.function().layout().unwrap());
        let config = ConfigSpace::create(layout, state.config_words()).unwrap();
        let identity = Identity { mac: Some(super::switch::mac(vport)), ..Identity::default() };
        let control =
            Control::new(state.clone(), Profile::X550, identity, Arc::clone(&interrupts), config).unwrap();
        let worker = Worker { handle: handle.clone(), kick: handle.kick(place) };
        let mut guest = Self { domain, state, control, counters: Arc::default(), worker };
        let profile = QueueProfile { queue_pairs: 2, limits_length: true };
        let queues = Queues::new(guest.state.clone(), Arc::clone(&guest.domain), interrupts, profile);
        let counters = Arc::clone(&guest.counters);
        let doorbell = crate::Doorbell::Kick;
        let attachment = crate::Attachment { port: Box::new(queues), counters, doorbell };
        handle.attach(place, attachment);
        // Memory space and bus master.
        guest.control.config_write(4, &[6, 0], &mut guest.worker);
        guest.control.set_link(true, &mut guest.worker);
        guest.reset();
        guest
    }

    /// The driver's reset: RESET, API 1.4, the largest frame.
    pub fn reset(&mut self) {
        self.write(0, 1 << 26);
        for message in [&[0x01][..], &[0x08, 5], &[0x05, MAX_FRAME]] {
            self.write(VFMAILBOX, 1 << 2);
            for (n, word) in (0..).zip(message) {
                self.write(VFMBMEM + 4 * n, *word);
            }
            self.write(VFMAILBOX, 1);
            let mut reply = [0; 4];
            self.control.bar0_read(u64::from(VFMBMEM), &mut reply, &self.worker);
            assert_eq!(reply[3] & 0xc0, 0x80, "the PF agrees to {message:x?}");
        }
        self.write(VTIVAR, 0x8180_8180);
        self.write(VTEIMS, 3);
    }
}

impl Registers for Guest {
    fn write(&mut self, offset: u32, value: u32) {
        self.control.bar0_write(u64::from(offset), &value.to_le_bytes(), &mut self.worker);
    }
}
