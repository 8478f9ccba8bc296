//! A network namespace with the netdev of an uplink, and the kernel's own network stack as the machine outside.

use std::fs::{self, File};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::frames::Mac;

/// The netdev of the uplink: a tap.
pub(crate) const UPLINK: &str = "uplink0";
/// Where in a frame the content of a datagram begins.
pub(crate) const PAYLOAD: usize = 42;
const PORT: u16 = 9;

/// The machine outside.
pub(crate) struct Outside(UdpSocket);

impl Outside {
    /// Moves this thread, and what it starts from now on, into a network namespace in which there is the uplink.
    pub(crate) fn enter() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("softiov-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        ip(&format!("netns add {name}"));
        let namespace = File::open(format!("/run/netns/{name}"));
        // The name goes at once, so that nothing stays behind whatever the test does.
        ip(&format!("netns delete {name}"));
        move_into_link_name_space(namespace.unwrap().as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        // So that nothing is sent but by the test. Where it fails there is no IPv6.
        let _ = fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
        ip(&format!("tuntap add {UPLINK} mode tap"));
        ip(&format!("addr add {}/24 dev {UPLINK}", address(0)));
        ip(&format!("link set {UPLINK} up"));
        Self(UdpSocket::bind((address(0), PORT)).unwrap())
    }

    /// Sends a datagram to number `n`, who has this address.
    pub(crate) fn send(&self, n: u8, mac: Mac, content: &[u8]) {
        let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
        ip(&format!("neigh replace {} lladdr {mac} dev {UPLINK} nud permanent", address(n)));
        self.0.send_to(content, (address(n), PORT)).unwrap();
    }
}

fn address(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 9, 0, 1 + n)
}

fn ip(arguments: &str) {
    let ip = Command::new("ip").args(arguments.split_whitespace()).output();
    let output = ip.expect("tests with an uplink need the program `ip` of iproute2");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`ip {arguments}` failed (these tests need root): {said}");
}
