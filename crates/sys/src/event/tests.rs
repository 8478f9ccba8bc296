use std::os::fd::{AsFd, OwnedFd};

use rustix::event::EventfdFlags;

use super::EventFd;

#[test]
fn a_signal_is_taken_once() {
    let event = EventFd::new().unwrap();
    assert!(!event.take());
    event.signal();
    event.signal();
    assert!(event.take());
    assert!(!event.take());
}

#[test]
fn u10_a_peers_pipe_file_or_socket_is_refused() {
    let (read, write) = rustix::pipe::pipe().unwrap();
    let file = OwnedFd::from(std::fs::File::open("/proc/self/exe").unwrap());
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    for fd in [read, write, file, OwnedFd::from(socket)] {
        assert!(EventFd::from_peer(fd).is_err());
    }
}

#[test]
fn v27_a_full_blocking_eventfd_does_not_block() {
    let theirs = rustix::event::eventfd(0, EventfdFlags::empty()).unwrap();
    rustix::io::write(&theirs, &(u64::MAX - 1).to_ne_bytes()).unwrap();
    let ours = EventFd::from_peer(theirs.as_fd().try_clone_to_owned().unwrap()).unwrap();
    ours.signal();
    assert!(ours.take());
}
