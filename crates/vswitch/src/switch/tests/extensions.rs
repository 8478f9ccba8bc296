//! Who is asked, who is told (`spec/ndis.md` E.2, E.4).

use std::sync::{Arc, Mutex};

use crate::testing::{Lab, mac};
use crate::{
    ErrorKind, Event, Extension, ExtensionKind, Guid, NicParameters, PortId, PortParameters, PortPolicy,
    RemovalReason, SwitchError, Veto, VfPath,
};

/// What an extension refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refuses {
    Nothing,
    Ports,
    Nics,
    Policies,
}

#[derive(Debug)]
struct Critic {
    id: Guid,
    kind: ExtensionKind,
    refuses: Refuses,
    retry: bool,
    heard: Arc<Mutex<Vec<Event>>>,
}

impl Critic {
    fn new(id: u128, kind: ExtensionKind) -> Self {
        Self { id: Guid(id), kind, refuses: Refuses::Nothing, retry: false, heard: Arc::default() }
    }

    fn answer(&self, to: Refuses) -> Result<(), Veto> {
        let veto = || Veto { reason: "no".into(), retry: self.retry };
        if self.refuses == to { Err(veto()) } else { Ok(()) }
    }
}

impl Extension for Critic {
    fn id(&self) -> Guid {
        self.id
    }

    fn name(&self) -> &str {
        "critic"
    }

    fn kind(&self) -> ExtensionKind {
        self.kind
    }

    fn may_create_port(&self, _port: PortId, _parameters: &PortParameters) -> Result<(), Veto> {
        self.answer(Refuses::Ports)
    }

    fn may_create_nic(&self, _port: PortId, _parameters: &NicParameters) -> Result<(), Veto> {
        self.answer(Refuses::Nics)
    }

    fn may_set_policy(&self, _port: PortId, _policy: &PortPolicy) -> Result<(), Veto> {
        self.answer(Refuses::Policies)
    }

    fn notify(&mut self, _port: PortId, event: Event) {
        self.heard.lock().unwrap().push(event);
    }

    fn must_remove_vf(&self, _port: PortId) -> Option<String> {
        Some("it must see every frame".into())
    }
}

#[test]
fn e4_a_veto_stops_creation_and_policies_only() {
    for (refuses, kind, retry) in [
        (Refuses::Ports, ExtensionKind::Filtering, false),
        (Refuses::Nics, ExtensionKind::Filtering, true),
        (Refuses::Policies, ExtensionKind::Forwarding, false),
        (Refuses::Ports, ExtensionKind::Capturing, false),
    ] {
        let mut lab = Lab::new();
        let critic = Critic { refuses, retry, ..Critic::new(1, kind) };
        let heard = Arc::clone(&critic.heard);
        lab.switch.add_extension(Box::new(critic)).unwrap();
        let mut done = || {
            let port = lab.switch.create_port(PortParameters::default())?;
            let nic = NicParameters { permanent_mac: mac(1), ..NicParameters::default() };
            lab.switch.create_nic(port, nic)?;
            lab.switch.set_policy(port, PortPolicy::default())?;
            lab.switch.connect_nic(port)?;
            lab.switch.disconnect_nic(port)?;
            lab.switch.delete_nic(port)?;
            lab.switch.tear_down_port(port)?;
            lab.switch.delete_port(port)
        };
        let result = done();
        let expected = match (kind, retry) {
            (ExtensionKind::Capturing, _) => None,
            (_, true) => Some(ErrorKind::Resources),
            (_, false) => Some(ErrorKind::DataNotAccepted),
        };
        assert_eq!(result.err().map(|error| error.kind()), expected, "{refuses:?}");
        let told: &[Event] = match (refuses, kind) {
            (_, ExtensionKind::Capturing) => &[
                Event::PortCreated,
                Event::NicCreated,
                Event::PolicyChanged,
                Event::NicConnected,
                Event::NicDisconnected,
                Event::NicDeleted,
                Event::PortTeardown,
                Event::PortDeleted,
            ],
            (Refuses::Policies, _) => &[Event::PortCreated, Event::NicCreated],
            (Refuses::Nics, _) => &[Event::PortCreated],
            _ => &[],
        };
        assert_eq!(*heard.lock().unwrap(), told, "nobody is told of what did not happen");
    }
}

#[test]
fn e2_a_switch_has_one_forwarding_extension() {
    let mut lab = Lab::new();
    let mut add = |id, kind| lab.switch.add_extension(Box::new(Critic::new(id, kind))).map_err(|e| e.kind());
    assert_eq!(add(1, ExtensionKind::Forwarding), Ok(()));
    assert_eq!(add(2, ExtensionKind::Forwarding), Err(ErrorKind::InvalidParameter));
    assert_eq!(add(1, ExtensionKind::Filtering), Err(ErrorKind::InvalidParameter));
    assert_eq!(add(3, ExtensionKind::Filtering), Ok(()));
    assert_eq!(add(4, ExtensionKind::Capturing), Ok(()));
    let order: Vec<_> = lab.switch.view().extensions.iter().map(|extension| extension.id.0).collect();
    assert_eq!(order, [4, 3, 1], "the chain, top down");
    assert_eq!(lab.switch.remove_extension(Guid(1)).unwrap().id(), Guid(1));
    let gone = lab.switch.remove_extension(Guid(1)).unwrap_err();
    assert_eq!(gone, SwitchError::ExtensionNotFound { id: Guid(1) });
}

#[test]
fn e5_only_a_forwarding_extension_has_a_vf_removed() {
    for (kind, removed) in [(ExtensionKind::Filtering, false), (ExtensionKind::Forwarding, true)] {
        let mut lab = Lab::new();
        let port = lab.vm(1);
        lab.vf(port, VfPath::Assigned);
        lab.switch.add_extension(Box::new(Critic::new(1, kind))).unwrap();
        let reasons: Vec<_> =
            lab.switch.take_vf_removals().into_iter().map(|removal| removal.reason).collect();
        let reason = "it must see every frame".to_owned();
        let expected = RemovalReason::Extension { name: "critic".into(), reason };
        assert_eq!(reasons, if removed { vec![expected] } else { vec![] });
    }
}
