use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;

use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn socket_is_for_its_user_only_and_goes_with_the_listener() {
    let folder = folder();
    let path = folder.path().join("vf0.sock");
    let listener = Listener::bind(&path).unwrap();
    let metadata = path.metadata().unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(listener.path(), path);
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn live_server_is_not_replaced() {
    let folder = folder();
    let path = folder.path().join("vf0.sock");
    let first = Listener::bind(&path).unwrap();
    assert!(matches!(Listener::bind(&path), Err(BindError::InUse { .. })));
    drop(first.accept());
    assert!(UnixStream::connect(&path).is_ok());
}

#[test]
fn live_server_with_a_full_backlog_is_not_replaced() {
    let folder = folder();
    let path = folder.path().join("vf0.sock");
    let _first = Listener::bind(&path).unwrap();
    let address = SocketAddrUnix::new(&path).unwrap();
    let mut waiting = Vec::new();
    loop {
        let client = new_socket().unwrap();
        if rustix::net::connect(&client, &address).is_err() {
            break;
        }
        waiting.push(client);
        assert!(waiting.len() < 100, "the backlog is bounded");
    }
    assert!(matches!(Listener::bind(&path), Err(BindError::InUse { .. })));
}

#[test]
fn stale_socket_is_replaced() {
    let folder = folder();
    let path = folder.path().join("vf0.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let listener = Listener::bind(&path).unwrap();
    let _client = UnixStream::connect(&path).unwrap();
    assert!(listener.accept().unwrap().is_some());
    assert!(listener.accept().unwrap().is_none());
}

#[test]
fn other_files_are_left_alone() {
    let folder = folder();
    let path = folder.path().join("precious");
    std::fs::write(&path, "data").unwrap();
    assert!(matches!(Listener::bind(&path), Err(BindError::NotASocket { .. })));
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(Listener::bind(&link), Err(BindError::NotASocket { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "data");
}

#[test]
fn errors_name_what_is_wrong() {
    let folder = folder();
    let missing = folder.path().join("no/such");
    let error = Listener::bind(&missing.join("vf0.sock")).unwrap_err();
    assert!(matches!(&error, BindError::FolderMissing { folder, .. } if *folder == missing), "{error}");
    assert!(error.to_string().contains("no/such"), "{error}");
    let long = folder.path().join("x".repeat(108));
    assert!(matches!(Listener::bind(&long), Err(BindError::PathTooLong { .. })));
    assert!(matches!(Listener::bind(Path::new("")), Err(BindError::Socket { .. })));
}

#[test]
fn socket_of_a_successor_is_not_removed() {
    let folder = folder();
    let path = folder.path().join("vf0.sock");
    let old = Listener::bind(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let _new = Listener::bind(&path).unwrap();
    let inode = path.metadata().unwrap().ino();
    drop(old);
    assert_eq!(path.metadata().unwrap().ino(), inode);
}

#[test]
fn handed_over_socket_keeps_its_path_and_the_clients_that_wait() {
    let folder = folder();
    let path = folder.path().join("vf0.sock");
    let (socket, kept) = {
        let listener = Listener::bind(&path).unwrap();
        let _waiting = UnixStream::connect(&path).unwrap();
        listener.into_parts()
    };
    assert!(path.exists());
    let listener = Listener::from_parts(socket, kept);
    assert!(listener.accept().unwrap().is_some());
    drop(listener);
    assert!(!path.exists());
}

#[test]
fn q07_second_client_is_turned_away_at_once() {
    let folder = folder();
    let path = folder.path().join("vf0.sock");
    let listener = Listener::bind(&path).unwrap();
    let _first = UnixStream::connect(&path).unwrap();
    let _server = listener.accept().unwrap().unwrap();
    assert!(!listener.accept_second().unwrap());
    for _ in 0..100 {
        let mut second = UnixStream::connect(&path).unwrap();
        assert!(listener.accept_second().unwrap());
        assert_eq!(second.read(&mut [0]).unwrap(), 0, "closed");
    }
}

#[test]
fn whoever_is_hung_up_on_reads_the_end_and_no_error() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(&[7; 50_000]).unwrap();
    hang_up(&ours);
    assert_eq!(theirs.write(&[7]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    drop(ours);
    assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
    // Without that:
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(&[7]).unwrap();
    drop(ours);
    assert_eq!(theirs.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}
