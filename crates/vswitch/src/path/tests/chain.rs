//! The chain of extensions (`spec/ndis.md` E.2), captures and traces.

use std::sync::{Arc, Mutex};

use ethernet::MacAddr;

use crate::testing::{Lab, mac, tag};
use crate::{
    AclAction, AclRule, CaptureFilter, Choice, Direction, DropReason, Extension, ExtensionKind, Guid, Hooks,
    Packet, PortId, Verdict, VlanPolicy,
};

type Log = Arc<Mutex<Vec<String>>>;

/// Writes down what it sees, and drops what it is told to.
#[derive(Debug)]
struct Spy {
    name: &'static str,
    kind: ExtensionKind,
    log: Log,
    drop_ingress: bool,
    drop_egress_to: Option<PortId>,
    forward_to: Option<Vec<PortId>>,
}

impl Spy {
    fn new(name: &'static str, kind: ExtensionKind, log: &Log) -> Self {
        let log = Arc::clone(log);
        Self { name, kind, log, drop_ingress: false, drop_egress_to: None, forward_to: None }
    }

    fn boxed(self) -> Box<dyn Extension> {
        Box::new(Control(Arc::new(self)))
    }
}

#[derive(Debug)]
struct Control(Arc<Spy>);

impl Extension for Control {
    fn id(&self) -> Guid {
        Guid(self.0.name.bytes().fold(0, |id, byte| id << 8 | u128::from(byte)))
    }

    fn name(&self) -> &str {
        self.0.name
    }

    fn kind(&self) -> ExtensionKind {
        self.0.kind
    }

    fn hooks(&self, _port: PortId) -> Option<Arc<dyn Hooks>> {
        let hooks: Arc<dyn Hooks> = Arc::<Spy>::clone(&self.0);
        Some(hooks)
    }
}

impl Hooks for Spy {
    fn ingress(&self, packet: &Packet<'_>) -> Verdict {
        self.log.lock().unwrap().push(format!("{} in {}", self.name, packet.from.0));
        if self.drop_ingress { Verdict::Drop } else { Verdict::Pass }
    }

    fn egress(&self, _packet: &Packet<'_>, to: PortId) -> Verdict {
        self.log.lock().unwrap().push(format!("{} out {}", self.name, to.0));
        if self.drop_egress_to == Some(to) { Verdict::Drop } else { Verdict::Pass }
    }

    fn forward(&self, _packet: &Packet<'_>, add: &mut dyn FnMut(PortId)) -> Choice {
        let Some(ports) = &self.forward_to else { return Choice::Switch };
        ports.iter().for_each(|&port| add(port));
        Choice::Made
    }
}

/// Ports 1, 2 and 3 in VLAN 5, and these extensions.
fn lab(spies: impl IntoIterator<Item = Spy>) -> Lab {
    let mut lab = Lab::new();
    for n in 1..4 {
        lab.vm_in(n, VlanPolicy::Access(5));
    }
    spies.into_iter().for_each(|spy| lab.switch.add_extension(spy.boxed()).unwrap());
    lab
}

const BROADCAST: MacAddr = MacAddr::BROADCAST;
const ONE: PortId = PortId(1);

#[test]
fn e2_the_chain_runs_down_on_ingress_and_up_on_egress() {
    let log = Log::default();
    let kinds = [ExtensionKind::Forwarding, ExtensionKind::Filtering, ExtensionKind::Capturing];
    let mut lab =
        lab(["forward", "filter", "capture"].into_iter().zip(kinds).map(|(n, k)| Spy::new(n, k, &log)));
    assert_eq!(lab.send(ONE, mac(2), mac(1)), Ok(vec![PortId(2)]));
    let expected =
        ["capture in 1", "filter in 1", "forward in 1", "forward out 2", "filter out 2", "capture out 2"];
    assert_eq!(*log.lock().unwrap(), expected);
}

#[test]
fn e2_a_filter_drops_or_excludes_and_a_capture_cannot() {
    let log = Log::default();
    let filter = |change: fn(&mut Spy)| {
        let mut spy = Spy::new("filter", ExtensionKind::Filtering, &log);
        change(&mut spy);
        lab([spy])
    };
    let mut drops = filter(|spy| spy.drop_ingress = true);
    assert_eq!(drops.send(ONE, mac(2), mac(1)), Err(DropReason::Filtered));
    let mut excludes = filter(|spy| spy.drop_egress_to = Some(PortId(2)));
    assert_eq!(excludes.send(ONE, mac(2), mac(1)), Err(DropReason::EgressFiltered));
    assert_eq!(excludes.send(ONE, BROADCAST, mac(1)), Ok(vec![PortId(3)]));
    let [excluded] = excludes.out.excluded() else { panic!("{:?}", excludes.out) };
    assert_eq!((excluded.port, excluded.reason), (PortId(2), DropReason::EgressFiltered));
    let mut spy = Spy::new("capture", ExtensionKind::Capturing, &log);
    (spy.drop_ingress, spy.drop_egress_to) = (true, Some(PortId(2)));
    assert_eq!(lab([spy]).send(ONE, mac(2), mac(1)), Ok(vec![PortId(2)]));
}

#[test]
fn e2_a_forwarding_extension_chooses_within_the_rules() {
    let log = Log::default();
    let mut spy = Spy::new("forward", ExtensionKind::Forwarding, &log);
    // Its source, a port twice, one that is not connected, one that does not exist, one in another VLAN.
    spy.forward_to = Some([1, 3, 3, 4, 99, 5].map(PortId).into());
    let mut lab = lab([spy]);
    let empty = lab.switch.create_port(crate::PortParameters::default()).unwrap();
    let foreign = lab.vm_in(5, VlanPolicy::Access(6));
    assert_eq!((empty, foreign), (PortId(4), PortId(5)));
    assert_eq!(lab.send(ONE, mac(2), mac(1)), Ok(vec![PortId(3)]));
    let excluded: Vec<_> = lab.out.excluded().iter().map(|one| (one.port, one.reason)).collect();
    assert_eq!(excluded, [(empty, DropReason::NotConnected), (foreign, DropReason::EgressVlan)]);
    let mut nobody = Spy::new("forward", ExtensionKind::Forwarding, &log);
    nobody.forward_to = Some(vec![]);
    assert_eq!(self::lab([nobody]).send(ONE, mac(2), mac(1)), Err(DropReason::NoDestination));
}

#[test]
fn e2_the_guards_stand_between_filter_and_forwarding() {
    let log = Log::default();
    let names = [("filter", ExtensionKind::Filtering), ("forward", ExtensionKind::Forwarding)];
    let mut lab = lab(names.map(|(name, kind)| Spy::new(name, kind, &log)));
    lab.policy(ONE, |policy| policy.acl.rules = vec![AclRule::any(Direction::Outbound, AclAction::Deny)]);
    assert_eq!(lab.send(ONE, mac(2), mac(1)), Err(DropReason::IngressAcl));
    assert!(lab.out.is_empty());
    assert!(!log.lock().unwrap().iter().any(|line| line.contains("out")));
}

#[test]
fn a_capture_sees_what_it_asked_for_even_if_it_is_dropped() {
    let mut lab = lab([]);
    let everything = lab.switch.start_capture(CaptureFilter::default()).unwrap();
    let filter = CaptureFilter { port: Some(PortId(2)), direction: Some(Direction::Inbound) };
    let to_two = lab.switch.start_capture(filter).unwrap();
    let seen = |lab: &Lab| {
        let points = lab.out.captures().iter();
        points.map(|point| (point.capture, point.port.0, point.direction)).collect::<Vec<_>>()
    };
    lab.send(ONE, mac(2), mac(1)).unwrap();
    let sent = (everything, 1, Direction::Outbound);
    let received = (everything, 2, Direction::Inbound);
    assert_eq!(seen(&lab), [sent, received, (to_two, 2, Direction::Inbound)]);
    assert_eq!(lab.send(ONE, mac(2), mac(9)), Err(DropReason::MacSpoofed));
    assert_eq!(seen(&lab), [sent]);
    lab.switch.stop_capture(everything).unwrap();
    lab.send(ONE, mac(3), mac(1)).unwrap();
    assert_eq!(seen(&lab), []);
    assert!(lab.switch.stop_capture(everything).is_err());
    assert!(lab.switch.start_capture(CaptureFilter { port: Some(PortId(77)), direction: None }).is_err());
    let started = (0..100).map_while(|_| lab.switch.start_capture(CaptureFilter::default()).ok()).count();
    assert_eq!(started, crate::MAX_CAPTURES - 1);
}

#[test]
fn a_trace_tells_each_step_and_changes_nothing() {
    let mut lab = lab([]);
    let external = lab.external();
    let deny = AclRule::any(Direction::Inbound, AclAction::Deny);
    lab.policy(PortId(2), |policy| policy.acl.rules = vec![deny]);
    lab.path = lab.switch.snapshot();
    let bytes = crate::testing::frame(BROADCAST, mac(1));
    let trace = lab.path.trace(&lab.state, &Packet::described(ONE, &bytes, None), lab.now);
    let text = "admitted, in VLAN 5\n\
                inbound ACL of port 2: rule 0 denies it\n\
                port 2 does not get it: egress:acl\n\
                delivered to port 3, untagged\n\
                delivered to port 4, tagged with VLAN 5 priority 0\n";
    assert_eq!(trace.to_string(), text);
    let json = serde_json::to_value(&trace).unwrap();
    assert_eq!(json["steps"][2]["reason"], "egress:acl");
    assert_eq!(json["steps"][4]["tag"], 5);

    let from_wire = crate::testing::frame(mac(1), mac(9));
    let packet = Packet::described(external, &from_wire, tag(6));
    let trace = lab.path.trace(&lab.state, &packet, lab.now);
    let text = format!(
        "admitted, in VLAN 6\n{} would be learned at port 4\n{} is unknown\ndropped: forwarding:no_destination\n",
        mac(9),
        mac(1)
    );
    assert_eq!(trace.to_string(), text);
    assert!(lab.state.learning().is_empty());
}
