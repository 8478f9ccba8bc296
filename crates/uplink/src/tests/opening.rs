//! What cannot be opened, and what is said then.

use super::host::{Namespace, ip, veth};
use super::packet::config;
use super::switch::Switch;
use crate::{Backend, NewTap, OpenError, XdpMode, open};
use ethernet::MacAddr;
use port::{Put, Refusal};

fn tap(name: &str, new: Option<NewTap>) -> Backend {
    Backend::Tap { name: name.into(), new }
}

fn error(backend: Backend) -> OpenError {
    open(&config(backend, 1, 1)).unwrap_err()
}

#[test]
fn names_that_no_netdev_can_have_are_refused() {
    for name in ["", "sixteen-letters-", ".", "..", "a/b", "a b", "a:b", "tap%d", "täp", "a\nb"] {
        let backends = [
            tap(name, Some(NewTap::default())),
            tap(name, None),
            Backend::Packet { name: name.into() },
            Backend::Xdp { name: name.into(), mode: XdpMode::Best },
        ];
        for backend in backends {
            assert!(matches!(error(backend), OpenError::BadName { .. }), "{name:?}");
        }
    }
}

#[test]
fn netdevs_that_are_not_there_are_not_made() {
    Namespace::new().run(|| {
        let backends = [
            tap("nowhere", None),
            Backend::Packet { name: "nowhere".into() },
            Backend::Xdp { name: "nowhere".into(), mode: XdpMode::Best },
        ];
        for backend in backends {
            let error = error(backend);
            assert!(matches!(error, OpenError::NoSuchNetdev { .. }));
            assert!(error.to_string().contains("\"nowhere\""), "{error}");
        }
    });
}

#[test]
fn a_tap_cannot_be_made_where_a_netdev_is() {
    Namespace::new().run(|| {
        veth();
        ip("tuntap add theirs mode tap vnet_hdr");
        for name in ["near", "theirs"] {
            let error = error(tap(name, Some(NewTap::default())));
            assert!(matches!(error, OpenError::Exists { .. }), "{error}");
        }
    });
}

#[test]
fn a_netdev_that_is_no_tap_is_not_opened_as_one() {
    Namespace::new().run(|| {
        veth();
        let error = error(tap("near", None));
        assert!(matches!(error, OpenError::NotThisTap { .. }), "{error}");
    });
}

#[test]
fn a_tap_is_not_made_with_what_it_cannot_have() {
    Namespace::new().run(|| {
        // Each by another name: one that was just removed may take a moment to go.
        for (n, address) in
            [MacAddr::ZERO, MacAddr::BROADCAST, MacAddr([1, 0, 0, 0, 0, 1])].into_iter().enumerate()
        {
            let new = NewTap { address: Some(address), mtu: None };
            let error = error(tap(&format!("address{n}"), Some(new)));
            assert!(matches!(error, OpenError::BadAddress { .. }), "{error}");
        }
        let with_mtu = |mtu| tap(&format!("mtu{mtu}"), Some(NewTap { address: None, mtu: Some(mtu) }));
        for mtu in [0, 67, 65_522, u32::MAX] {
            let error = error(with_mtu(mtu));
            assert!(matches!(error, OpenError::BadMtu { .. }), "{mtu}: {error}");
        }
        for mtu in [68, 65_521] {
            let uplink = open(&config(with_mtu(mtu), 1, 1)).unwrap();
            assert_eq!(uplink.watcher.unwrap().state().unwrap().mtu, mtu);
        }
    });
}

#[test]
fn ports_without_queues_are_refused() {
    let error = open(&config(Backend::None, 2, 3)).unwrap_err();
    assert!(matches!(error, OpenError::TooFewQueues { ports: 3, queues: 2 }));
}

#[test]
fn nowhere_takes_and_brings_nothing() {
    let (mut uplink, mut switch) = (open(&config(Backend::None, 2, 2)).unwrap(), Switch::new());
    assert_eq!(uplink.ports.len(), 2);
    for end in &mut uplink.ports {
        let frame = super::host::numbered(1, 64);
        assert_eq!(switch.send(&mut *end.port, &frame), Put::Refused(Refusal::NotReady));
        assert!(switch.fetch(&mut *end.port, None).is_empty() && !end.port.has_work());
    }
}
