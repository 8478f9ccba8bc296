//! What holds when the world is at rest.

use nic_switch::BumPath;
use virt_stack::{Path, VfState};
use vswitch::VfPath;

use super::{Behaviour, Faults, World, id};

impl World {
    /// Everybody behaves from now on.
    pub(crate) fn calm_down(&mut self) {
        self.nic.faults = Faults::None;
        // What guests have begun, they end.
        self.run_ms(5000);
        for index in 0..self.guests.len() {
            self.guests[index].behaviour = Behaviour::default();
            self.connect_qmp(index);
            if self.guests[index].is_connected() && !self.guests[index].ring_open {
                self.guest_step(index, 0, super::Step::OpenRing);
            }
        }
    }

    /// Whether the adapter may have a VF.
    fn is_eligible(&self, index: usize) -> bool {
        let guest = &self.guests[index];
        guest.wanted && guest.running && guest.spec.weight > 0 && !guest.policy && !guest.kept_synthetic
    }

    /// The heaviest have their VFs, nothing is left of others, everybody is served.
    pub(crate) fn check_at_rest(&self) {
        assert_eq!(self.stack.deadline(), None, "a timer is left");
        let eligible = (0..self.guests.len()).filter(|index| self.is_eligible(*index));
        let mut weights: Vec<u8> = eligible.map(|index| self.guests[index].spec.weight).collect();
        weights.sort_unstable_by(|a, b| b.cmp(a));
        weights.truncate(usize::from(self.num_vfs));

        let holders: Vec<_> = self.stack.adapters().filter(|view| view.state.has_vf()).collect();
        let mut held: Vec<u8> = holders.iter().map(|view| view.weight).collect();
        held.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(held, weights, "the heaviest have VFs: {holders:?}");

        let wanted = self.guests.iter().filter(|guest| guest.wanted).count();
        assert_eq!(self.nic.standing(), (holders.len(), holders.len(), wanted), "VFs, VPorts, filters");
        assert_eq!(self.stack.adapters().count(), wanted);
        for index in (0..self.guests.len()).filter(|index| self.guests[*index].wanted) {
            self.check_adapter_at_rest(index);
        }
    }

    fn check_adapter_at_rest(&self, index: usize) {
        let (guest, view) = (&self.guests[index], self.stack.adapter(id(index)).unwrap());
        assert!(!guest.is_held() && !view.held, "frames are held: {view:?}");
        assert_eq!(guest.filters.len(), 1);
        if view.state.has_vf() {
            assert_eq!(view.state, VfState::Active, "{view:?}");
            assert!(guest.is_connected() && guest.ring_open && guest.registered);
            assert_eq!((view.path, view.no_vf), (Path::Vf, None));
            assert_eq!(guest.frames.path, VfPath::Active(BumPath::Vf));
        } else {
            assert!(view.no_vf.is_some() && view.explanation.is_some(), "{view:?}");
            assert!(!guest.registered, "the guest is deaf: {view:?}");
            assert_eq!((guest.device, guest.offered, guest.frames.path), (None, None, VfPath::None));
        }
    }
}
