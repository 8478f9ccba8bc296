//! The devices that the VMM of an adapter's VM has plugged in for it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Adapter, Context};
use crate::spec::doubled;
use crate::{Action, Generation, Time};

/// More than that of one adapter are not looked at: a VMM that has them lies.
const MOST: usize = 8;

/// By the generation in their id.
#[derive(Debug, Default)]
pub(crate) struct Devices(BTreeMap<Generation, Device>);

#[derive(Debug, Default)]
struct Device {
    /// It was found there: until then it may turn out to be connected.
    adopt_until: Option<Time>,
    /// When its VMM may be asked, or asked again, to unplug it.
    ask_at: Time,
    asked: u32,
}

impl Device {
    /// Whether it is a leftover.
    fn is_kept(&self, now: Time) -> bool {
        self.adopt_until.is_none_or(|until| now >= until)
    }
}

impl Devices {
    pub(super) fn insert(&mut self, generation: Generation) {
        if self.0.len() < MOST {
            self.0.entry(generation).or_default();
        }
    }

    pub(super) fn remove(&mut self, generation: Generation) {
        self.0.remove(&generation);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The VMM says what it has.
    pub(super) fn listed(&mut self, listed: impl Iterator<Item = Generation>, adopt_until: Time) {
        let mut before = std::mem::take(&mut self.0);
        for generation in listed.take(MOST) {
            let known = before.remove(&generation).map(|device| Device { ask_at: Time::default(), ..device });
            let found = Device { adopt_until: Some(adopt_until), ..Device::default() };
            self.0.insert(generation, known.unwrap_or(found));
        }
    }

    /// A device that was found and may be connected to what is offered now.
    pub(super) fn adoptable(&self, now: Time) -> Option<Generation> {
        self.0.iter().find(|(_, device)| !device.is_kept(now)).map(|(generation, _)| *generation)
    }

    pub(super) fn has(&self, generation: Option<Generation>) -> bool {
        generation.is_some_and(|generation| self.0.contains_key(&generation))
    }

    /// Whether the guest still has a device that is neither `current` nor to be adopted.
    pub(crate) fn keeps_other(&self, current: Option<Generation>, now: Time) -> bool {
        self.0.iter().any(|(generation, device)| Some(*generation) != current && device.is_kept(now))
    }

    /// Whether there is no device but `current`.
    pub(super) fn none_but(&self, current: Option<Generation>) -> bool {
        self.0.keys().all(|generation| Some(*generation) == current)
    }

    /// The VMM may be asked at once.
    pub(super) fn ask_now(&mut self, generation: Option<Generation>) {
        if let Some(device) = generation.and_then(|generation| self.0.get_mut(&generation)) {
            device.ask_at = Time::default();
        }
    }

    /// The devices that are to go, and that may be asked for now.
    fn ask_for(
        &mut self,
        now: Time,
        current: Option<Generation>,
        unwanted: bool,
        again: Duration,
    ) -> Vec<Generation> {
        let due = |generation: &Generation, device: &Device| {
            let goes = if Some(*generation) == current { unwanted } else { device.is_kept(now) };
            goes && now >= device.ask_at
        };
        let mut asked = Vec::new();
        for (generation, device) in self.0.iter_mut().filter(|(generation, device)| due(generation, device)) {
            device.ask_at = now + doubled(again, device.asked, Duration::from_secs(60));
            device.asked = device.asked.saturating_add(1);
            asked.push(*generation);
        }
        asked
    }

    /// When the next one is to be asked for, if the VMM can be asked, or ceases to be adoptable.
    pub(super) fn deadline(
        &self,
        now: Time,
        current: Option<Generation>,
        unwanted: bool,
        vmm: bool,
    ) -> Option<Time> {
        let next = |(generation, device): (&Generation, &Device)| match device.adopt_until {
            _ if Some(*generation) == current => (vmm && unwanted).then_some(device.ask_at),
            Some(until) if now < until => Some(until),
            _ => vmm.then_some(device.ask_at),
        };
        self.0.iter().filter_map(next).min()
    }
}

impl Adapter {
    /// The generation under which the VMM has the device of the present VF.
    pub(crate) fn current_device(&self) -> Option<Generation> {
        self.assignment.as_ref()?.device
    }

    /// Whether the device of the present VF is to go.
    pub(super) fn unwanted(&self) -> bool {
        self.state == crate::VfState::Leaving || self.state.is_ending()
    }

    /// Asks the VMM to unplug what is to go.
    pub(super) fn unplug(&mut self, cx: &mut Context<'_>) {
        if !cx.vmm {
            return;
        }
        let (current, unwanted) = (self.current_device(), self.unwanted());
        for generation in self.devices.ask_for(cx.now, current, unwanted, cx.settings.unplug_again) {
            cx.out.actions.push_back(Action::Unplug { adapter: self.id, generation });
        }
    }
}
