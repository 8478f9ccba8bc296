//! The way of a frame through both switches.

use std::collections::BTreeMap;

use api::types::{DeliveryView, LossView, StageView, TraceView};
use ethernet::VlanTag;
use nic_switch::{
    Capabilities, Deliveries, Egress, FilterId, FilterTest, Forwarding, Ingress, Source, VPortId, VfId,
};
use port::Cycles;
use vswitch::{Packet, PortId, State, Step, SwitchPort};

use super::frame::Described;
use super::remedy;
use crate::daemon::switchboard::{Inner, Nic};

/// A receive filter, and the VPort or VM queue on which it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct FilterNote {
    pub(super) id: FilterId,
    pub(super) vport: VPortId,
    pub(super) test: FilterTest,
}

/// What decides about the frame, and what was found so far.
pub(super) struct Walk<'a> {
    pub(super) board: &'a Inner,
    pub(super) forwarding: &'a Forwarding,
    /// By switch.
    pub(super) states: &'a [State],
    pub(super) frame: &'a Described,
    pub(super) filters: Vec<FilterNote>,
    /// The VF of each VPort, with the number of its adapter's NIC.
    pub(super) vfs: BTreeMap<VPortId, (VfId, u32)>,
    pub(super) capabilities: Capabilities,
    pub(super) now: Cycles,
    pub(super) view: TraceView,
}

impl Walk<'_> {
    /// The frame comes from a VPort or from the wire.
    pub(super) fn start_at_nic_switch(mut self, source: Source) -> TraceView {
        self.by_nic_switch(source, self.frame.tag);
        self.end()
    }

    /// The frame comes from NIC number `nic` on an extensible switch.
    pub(super) fn start_at_nic(mut self, nic: u32) -> TraceView {
        let Nic { switch, port, .. } = self.board.nics[&nic];
        self.by_switch(switch, port, self.frame.tag);
        self.end()
    }

    fn end(mut self) -> TraceView {
        // Somebody gets it, even if another switch on the way had nobody for it.
        if !self.view.deliveries.is_empty() {
            self.view.loss = None;
        }
        self.view
    }

    fn by_nic_switch(&mut self, source: Source, tag: Option<VlanTag>) {
        let bytes = &self.frame.bytes;
        let ingress = Ingress {
            from: source,
            destination: ethernet::destination(bytes).unwrap_or_default(),
            source: ethernet::source(bytes).unwrap_or_default(),
            tag,
            ethertype: ethernet::ethertype(bytes).unwrap_or_default(),
        };
        let from = match source {
            Source::Wire => "the physical port".to_owned(),
            Source::VPort(vport) => self.vport_name(vport),
        };
        let mut steps = Vec::new();
        let mut out = Deliveries::for_adapter(&self.capabilities);
        let mut onward = None;
        match self.forwarding.decide(&ingress, &mut out) {
            Err(reason) => {
                if self.leads(&ingress, &out).is_some() {
                    steps.push(self.matching(&ingress, &out));
                }
                steps.push(format!("dropped: {reason}"));
                let (reason, remedy) = (reason.to_string(), remedy::of_nic_switch(reason).to_owned());
                self.view.loss = Some(LossView { reason, remedy });
            }
            Ok(()) => {
                steps.push(format!("admitted, {}", tag_text(tag)));
                steps.push(self.matching(&ingress, &out));
                for delivery in &*out {
                    let sees = tag_text(delivery.tag);
                    match delivery.to {
                        Egress::Physical => {
                            steps.push(format!("delivered to the physical port, {sees}"));
                            self.deliver("the physical port".to_owned(), delivery.tag, "the wire".to_owned());
                        }
                        Egress::VPort(VPortId::DEFAULT) => {
                            steps.push(format!("delivered to the default VPort, {sees}"));
                            onward = Some(delivery.tag);
                        }
                        Egress::VPort(vport) => {
                            steps.push(format!("delivered to {}, {sees}", self.vport_name(vport)));
                            let (to, by) = self.behind(vport);
                            self.deliver(to, delivery.tag, by);
                        }
                    }
                }
            }
        }
        self.view.stages.push(StageView { title: format!("NIC switch, from {from}"), steps });
        let external = self.external();
        match (onward, external) {
            (Some(tag), Some((switch, port))) => self.by_switch(switch, port, tag),
            (Some(_), None) if out.len() == 1 => {
                let remedy = "no external switch stands behind the default VPort: configure one".to_owned();
                self.view.loss = Some(LossView { reason: "no_destination".to_owned(), remedy });
            }
            _ => {}
        }
    }

    /// Why the NIC switch chose as it did.
    fn matching(&self, ingress: &Ingress, out: &Deliveries) -> String {
        let destination = ingress.destination;
        if destination.is_multicast() {
            return format!("{destination} is a group: to each VF that takes it in its VLAN, and outward");
        }
        match self.leads(ingress, out) {
            Some(FilterNote { id, vport, test }) => {
                let vlan = match test.vlan {
                    nic_switch::VlanTest::Any => "any VLAN".to_owned(),
                    nic_switch::VlanTest::UntaggedOrZero => "no VLAN".to_owned(),
                    nic_switch::VlanTest::Id(vlan) => format!("VLAN {vlan}"),
                };
                format!(
                    "filter {} matches, {destination} in {vlan}: it leads to {}",
                    id.0,
                    self.vport_name(*vport)
                )
            }
            None => format!("no filter matches {destination} in its VLAN: outward"),
        }
    }

    /// The filter that leads to the receiver; of a frame that is dropped, the one that would.
    fn leads(&self, ingress: &Ingress, out: &Deliveries) -> Option<&FilterNote> {
        let to = |vport| out.is_empty() || out.iter().any(|delivery| delivery.to == Egress::VPort(vport));
        self.filters.iter().find(|filter| filter.test.mac == ingress.destination && to(filter.vport))
    }

    fn by_switch(&mut self, switch: usize, port: PortId, tag: Option<VlanTag>) {
        let bytes = &self.frame.bytes;
        let packet = Packet::described(port, bytes, tag);
        let trace = self.board.path(switch).trace(&self.states[switch], &packet, self.now);
        let vswitch = &self.board.switches[switch];
        let title = format!("switch {}, from {}", vswitch.parameters().name, self.port_name(switch, port));
        let mut steps = Vec::new();
        let mut onward = None;
        for step in &trace.steps {
            steps.push(self.with_names(switch, &step.to_string()));
            match *step {
                Step::Destination { port, tag } if self.external() == Some((switch, port)) => {
                    onward = Some(tag);
                }
                Step::Destination { port, tag } => {
                    self.deliver(self.port_name(switch, port), tag, "the extensible switch".to_owned());
                }
                Step::Mirrored { port } => {
                    self.deliver(
                        self.port_name(switch, port),
                        tag,
                        "a mirror of the extensible switch".to_owned(),
                    );
                }
                Step::Dropped { reason } => {
                    let (reason, remedy) = (reason.to_string(), remedy::of_switch(reason).to_owned());
                    self.view.loss = Some(LossView { reason, remedy });
                }
                _ => {}
            }
        }
        self.view.stages.push(StageView { title, steps });
        if let Some(tag) = onward {
            self.by_nic_switch(super::DEFAULT, tag);
        }
    }

    fn deliver(&mut self, to: String, tag: Option<VlanTag>, by: String) {
        self.view.deliveries.push(DeliveryView { to, tag: tag_text(tag), by });
    }

    /// The switch and port behind the default VPort.
    fn external(&self) -> Option<(usize, PortId)> {
        let switches =
            (0..self.board.switches.len()).map(|switch| (switch, self.board.path(switch).external()));
        switches.into_iter().find_map(|(switch, port)| Some((switch, port?)))
    }

    fn nic_name(&self, nic: u32) -> String {
        self.board.nics.get(&nic).map_or_else(|| "nobody".to_owned(), |nic| nic.name.clone())
    }

    fn vport_name(&self, vport: VPortId) -> String {
        match (vport, self.vfs.get(&vport), self.board.number_behind(vport)) {
            (VPortId::DEFAULT, ..) => "the default VPort".to_owned(),
            (_, Some((vf, nic)), _) => format!("VPort {}, VF {} of {}", vport.0, vf.0, self.nic_name(*nic)),
            (_, None, Some(nic)) => format!("the queue {} of {}", vport.0, self.nic_name(nic)),
            (_, None, None) => format!("VPort {}", vport.0),
        }
    }

    /// Who is behind a VPort, and the path there.
    fn behind(&self, vport: VPortId) -> (String, String) {
        match (self.vfs.get(&vport), self.board.number_behind(vport)) {
            (Some((vf, nic)), _) => (self.nic_name(*nic), format!("VF {}", vf.0)),
            (None, Some(nic)) => (self.nic_name(nic), format!("VM queue {}", vport.0)),
            (None, None) => (format!("VPort {}", vport.0), "the NIC switch".to_owned()),
        }
    }

    fn port_name(&self, switch: usize, port: PortId) -> String {
        let found = self.board.switches[switch].port(port);
        found
            .map(SwitchPort::parameters)
            .map_or_else(|| port.to_string(), |parameters| parameters.name.clone())
    }

    /// A text in which ports have their names behind their numbers.
    fn with_names(&self, switch: usize, text: &str) -> String {
        let mut words = Vec::new();
        let mut after_port = false;
        for word in text.split(' ') {
            let number = word.trim_end_matches([':', ',', ';']);
            match number.parse().ok().filter(|_| after_port) {
                Some(port) => {
                    let name = self.port_name(switch, PortId(port));
                    words.push(format!("{number} ({name}){}", &word[number.len()..]));
                }
                None => words.push(word.to_owned()),
            }
            after_port = word == "port";
        }
        words.join(" ")
    }
}

pub(super) fn tag_text(tag: Option<VlanTag>) -> String {
    match tag {
        None => "untagged".to_owned(),
        Some(tag) if tag.pcp() == 0 => format!("tagged with VLAN {}", tag.vid()),
        Some(tag) => format!("tagged with VLAN {} priority {}", tag.vid(), tag.pcp()),
    }
}
