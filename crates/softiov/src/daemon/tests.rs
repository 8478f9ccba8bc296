use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::LazyLock;

use dataplane::Dataplane;
use miniport::OidRequest;
use nic_switch::VfId;
use tokio::runtime::{Builder, Runtime};
use virt_stack::Event;

use super::data_path::{DataPath, Parts};
use super::signal::Alarm;
use super::vf::Surroundings;
use super::{Daemon, DaemonError};
use crate::config::Config;

/// A daemon whose bus and NetVSP have ended: all that they served waits in the store, for those of a test.
pub(super) struct Bench {
    pub(super) around: Surroundings,
    pub(super) worker: Dataplane,
    pub(super) daemon: Daemon,
}

impl Bench {
    /// Two VMs, whose adapters have the lines `lines`.
    pub(super) fn start(folder: &Path, lines: &str) -> Self {
        let daemon = start_with(folder, lines);
        let path = daemon.lock().data_path.take().unwrap();
        let DataPath { bus, netvsp, worker, .. } = path;
        netvsp.leave();
        bus.leave();
        let Parts { adapter, switchboard, outside, store, share, notices, .. } = daemon.parts.clone();
        let (dataplane, alarm) = (worker.handle(), Alarm::new().unwrap());
        let around = Surroundings { adapter, switchboard, outside, dataplane, store, alarm, notices, share };
        Self { around, worker, daemon }
    }
}

fn start(folder: &Path) -> Daemon {
    start_with(folder, "")
}

fn start_with(folder: &Path, lines: &str) -> Daemon {
    let vm = |n: usize| {
        format!("[[vm]]\nname = \"vm{n}\"\n[[vm.adapter]]\nmac = \"02:00:00:00:00:0{n}\"\n{lines}\n")
    };
    let text = format!("[daemon]\nruntime_dir = {folder:?}\n{}{}", vm(1), vm(2));
    start_from(&text)
}

/// A daemon whose VMs have no VMM that would have to be spoken with.
fn start_from(text: &str) -> Daemon {
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Builder::new_current_thread().enable_all().build().unwrap());
    let config = Config::parse(text, Path::new("test.toml")).unwrap();
    Daemon::start(config, RUNTIME.handle().clone()).unwrap()
}

/// The sockets of VFs.
fn sockets(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".vf"));
    names.sort();
    names
}

#[test]
fn a_vf_that_is_taken_away_has_no_socket_and_its_adapter_is_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    let detach = || {
        let mut changing = daemon.lock();
        changing.tell(Event::DetachVf(VfId(0)));
        daemon.drive(&mut changing);
    };
    detach();
    let check = || {
        assert_eq!(sockets(folder.path()), ["vm2-net0.vf"]);
        let view = daemon.topology().unwrap();
        let adapters: Vec<_> = view.vms.iter().map(|vm| &vm.adapters[0]).collect();
        assert_eq!((adapters[0].vf, &adapters[0].vf_socket), (None, &None));
        assert!(adapters[0].no_vf.as_ref().unwrap().reason.contains("operator"));
        assert_eq!(adapters[1].vf, Some(1));
        assert!(!daemon.qemu_args("vm1").unwrap().iter().any(|argument| argument.contains("vfio-user")));
    };
    check();
    // Nor does it come back.
    daemon.rebuild().unwrap();
    check();
    detach();
    check();
}

#[test]
fn the_vport_of_a_synthetic_adapter_is_activated() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[daemon]\nruntime_dir = {:?}\n[[vm]]\nname = \"a\"\n[[vm.adapter]]\nmac = \"02:00:00:00:00:01\"\niov_weight = 0\n",
        folder.path()
    );
    let daemon = start_from(&text);
    let vports = daemon.topology().unwrap().vports;
    let states: Vec<_> = vports.iter().map(|vport| (vport.name.as_str(), vport.state.as_str())).collect();
    assert_eq!(states, [("", "Activated"), ("a-net0", "Activated")]);
}

#[test]
fn a_rebuild_that_fails_leaves_all_vfs_and_clients_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    let mut client = UnixStream::connect(folder.path().join("vm1-net0.vf")).unwrap();
    client.set_nonblocking(true).unwrap();
    let devices = || {
        let views = daemon.topology().unwrap().vfs.into_iter();
        views.map(|vf| vf.device.map(|device| device.connected)).collect::<Vec<_>>()
    };
    assert!((0..100_000).any(|_| devices() == [Some(true), Some(false)]));
    // The second VF cannot be made of this.
    let state = daemon.parts.store.entries("vf/1/state").remove(0).fd;
    daemon.parts.store.put("vf/1/state", File::open("/dev/null").unwrap().into(), "");
    for _ in 0..2 {
        assert!(matches!(daemon.rebuild(), Err(DaemonError::Bus(_))));
        assert_eq!(devices(), [None, None]);
        assert!(matches!(daemon.oid(OidRequest::EnumVfs), Err(DaemonError::NoDataPath)));
        assert_eq!(sockets(folder.path()), ["vm1-net0.vf", "vm2-net0.vf"]);
    }
    daemon.parts.store.put("vf/1/state", state.try_clone().unwrap(), "");
    daemon.rebuild().unwrap();
    assert_eq!(devices(), [Some(true), Some(false)]);
    assert_eq!(client.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(sockets(folder.path()), ["vm1-net0.vf", "vm2-net0.vf"]);
}
