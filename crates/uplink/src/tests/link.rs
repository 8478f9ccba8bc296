//! What is heard of a netdev.

use std::process::Command;

use super::host::{Namespace, ip, until, veth};
use super::packet::config;
use super::switch::hear;
use crate::netlink::Netlink;
use crate::{Backend, LinkEvent, XdpMode, open};

#[test]
fn changes_of_other_netdevs_are_not_told() {
    Namespace::new().run(|| {
        veth();
        let mut uplink = open(&config(Backend::Packet { name: "near".into() }, 1, 1)).unwrap();
        let watcher = uplink.watcher.as_mut().unwrap();
        while watcher.next_event().is_some() {}
        ip("link set far mtu 1400");
        ip("link set lo mtu 1400");
        ip("link add further type veth peer name furthest");
        ip("link delete further");
        assert_eq!(watcher.next_event(), None);
        ip("link set near mtu 1400");
        let event = watcher.next_event();
        assert!(matches!(event, Some(LinkEvent::Changed(state)) if state.mtu == 1400), "{event:?}");
        assert_eq!(watcher.next_event(), None, "the same state is told once");
    });
}

#[test]
fn carrier_comes_and_goes_with_the_other_end() {
    Namespace::new().run(|| {
        veth();
        let mut uplink = open(&config(Backend::Packet { name: "near".into() }, 1, 1)).unwrap();
        ip("link set far down");
        hear(&mut uplink, "no carrier", |event| {
            matches!(event, LinkEvent::Changed(state) if state.up && !state.carrier && !state.is_running())
        });
        ip("link set far up");
        hear(&mut uplink, "carrier", |event| matches!(event, LinkEvent::Changed(state) if state.is_running()));
    });
}

#[test]
fn what_was_missed_is_looked_up() {
    Namespace::new().run(|| {
        veth();
        let mut uplink = open(&config(Backend::Packet { name: "near".into() }, 1, 1)).unwrap();
        let watcher = uplink.watcher.as_mut().unwrap();
        // More changes than the socket has room for.
        let mut netlink = Netlink::open().unwrap();
        for n in 0..2000 {
            netlink.set_mtu(watcher.index(), 1000 + n % 2).unwrap();
        }
        netlink.set_mtu(watcher.index(), 1234).unwrap();
        until("the last change", || {
            watcher.next_event();
            watcher.state().unwrap().mtu == 1234
        });
    });
}

#[test]
fn a_removal_that_was_missed_is_found_out() {
    Namespace::new().run(|| {
        veth();
        let mut uplink = open(&config(Backend::Packet { name: "near".into() }, 1, 1)).unwrap();
        let mut netlink = Netlink::open().unwrap();
        let index = uplink.watcher.as_ref().unwrap().index();
        for n in 0..2000 {
            netlink.set_mtu(index, 1000 + n % 2).unwrap();
        }
        ip("link delete near");
        hear(&mut uplink, "its removal", |event| event == LinkEvent::Removed);
    });
}

#[test]
fn all_addresses_are_heard_as_long_as_the_uplink_is_open() {
    Namespace::new().run(|| {
        veth();
        let promiscuous = || {
            let output = Command::new("ip").args(["-d", "link", "show", "near"]).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            !text.contains(" promiscuity 0 ")
        };
        assert!(!promiscuous());
        for backend in [
            Backend::Packet { name: "near".into() },
            Backend::Xdp { name: "near".into(), mode: XdpMode::Copy },
        ] {
            let uplink = open(&config(backend, 1, 1)).unwrap();
            assert!(promiscuous());
            drop(uplink);
            until("only its own frames", || !promiscuous());
        }
    });
}
