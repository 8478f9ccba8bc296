//! Network namespaces, netdevs in them, and plain peers on those.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::netlink::Netlink;
use crate::syscall::bind_packet;

/// A network namespace that lives as long as this, and what runs in it.
#[derive(Debug)]
pub(super) struct Namespace(fs::File);

impl Namespace {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("uplink-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        ip(&format!("netns add {name}"));
        let file = fs::File::open(format!("/run/netns/{name}"));
        // The name goes at once, so that nothing stays behind whatever the test does.
        ip(&format!("netns delete {name}"));
        let namespace = Self(file.expect("ip makes /run/netns"));
        namespace.run(|| {
            // So that netdevs are silent until they are used. Where it fails there is no IPv6 to chatter.
            let _ = fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
            ip("link set lo up");
        });
        namespace
    }

    /// Runs `task` in the namespace, on a thread of its own, so that the test's stays where it is.
    pub(super) fn run<T: Send>(&self, task: impl FnOnce() -> T + Send) -> T {
        let enter = || {
            self.enter();
            task()
        };
        std::thread::scope(|scope| scope.spawn(enter).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Moves this thread into the namespace.
    pub(super) fn enter(&self) {
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("tests of uplinks move into network namespaces: run them as root");
    }
}

/// Runs `ip`, which must succeed.
pub(super) fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .expect("tests of uplinks need the program `ip` of iproute2");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`ip {arguments}` failed (these tests need root): {said}");
}

/// Makes a veth pair `near` and `far`, both switched on, without addresses.
pub(super) fn veth() {
    ip("link add near type veth peer name far");
    ip("link set near up");
    ip("link set far up");
    until("carrier", || {
        let mut netlink = Netlink::open().unwrap();
        netlink.by_name("near").unwrap().carrier && netlink.by_name("far").unwrap().carrier
    });
}

/// A packet socket without offloads: what is on the wire, byte by byte.
#[derive(Debug)]
pub(super) struct Peer(OwnedFd);

impl Peer {
    pub(super) fn on(name: &str) -> Self {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None).unwrap();
        let index = Netlink::open().unwrap().by_name(name).unwrap().index;
        bind_packet(socket.as_fd(), index, 3).unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 64 << 20).unwrap();
        Self(socket)
    }

    pub(super) fn send(&self, frame: &[u8]) {
        until("room to send", || self.try_send(frame));
    }

    /// Sends a frame if there is room for it.
    pub(super) fn try_send(&self, frame: &[u8]) -> bool {
        send(&self.0, frame, SendFlags::empty()).is_ok()
    }

    /// The next frame with the tests' EtherType that comes within a second.
    pub(super) fn receive(&self) -> Option<Vec<u8>> {
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end {
            wait_readable(&self.0, Duration::from_millis(100));
            if let Some(frame) = self.look() {
                return Some(frame);
            }
        }
        None
    }

    /// The next frame with the tests' EtherType that has come.
    pub(super) fn look(&self) -> Option<Vec<u8>> {
        self.look_for(is_ours)
    }

    /// The next frame that is `wanted` of those that have come.
    pub(super) fn look_for(&self, wanted: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        let mut frame = [0; 16_384];
        loop {
            match recv(&self.0, frame.as_mut_slice(), RecvFlags::empty()) {
                Ok((length, _)) if wanted(&frame[..length]) => return Some(frame[..length].to_vec()),
                Ok(_) => {}
                Err(Errno::AGAIN | Errno::NETDOWN) => return None,
                Err(error) => panic!("receive: {error}"),
            }
        }
    }
}

/// The EtherType that IEEE 802 leaves to experiments: nothing else in the namespaces uses it.
pub(super) const ETHERTYPE: u16 = 0x88b5;

pub(super) fn is_ours(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&ETHERTYPE.to_be_bytes())
}

/// A frame with a number in it.
pub(super) fn numbered(number: u32, length: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa];
    frame.extend(ETHERTYPE.to_be_bytes());
    frame.extend(number.to_be_bytes());
    frame.extend((frame.len()..length).map(|n| n.to_le_bytes()[0] ^ number.to_le_bytes()[0]));
    frame
}

pub(super) fn number(frame: &[u8]) -> u32 {
    u32::from_be_bytes(*frame[14..].first_chunk().unwrap())
}

/// True if it is readable within `limit`.
pub(super) fn wait_readable(fd: impl AsFd, limit: Duration) -> bool {
    let limit = Timespec::try_from(limit).unwrap();
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&limit)).unwrap() > 0
}

/// Waits for what must come; gives up only when the machine cannot be that slow.
///
/// Also what follows from closing a descriptor comes a little later: a program that another test of this process starts
/// has all of its descriptors until it begins.
pub(super) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(30), "waited in vain for {what}");
        std::thread::yield_now();
    }
}
