use std::path::Path;

use miniport::Action;
use nic_switch::{VPortId, VfId};

use super::Daemon;
use crate::config::Config;

fn start(folder: &Path) -> Daemon {
    let vm = |n: usize| format!("[[vm]]\nname = \"vm{n}\"\n[[vm.adapter]]\nmac = \"02:00:00:00:00:0{n}\"\n");
    let text = format!("[daemon]\nruntime_dir = {folder:?}\n{}{}", vm(1), vm(2));
    Daemon::start(Config::parse(&text, Path::new("test.toml")).unwrap()).unwrap()
}

fn sockets(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_vf_that_is_taken_away_has_no_socket_and_its_adapter_is_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    let spec = daemon.lock().spec(VfId(0)).cloned().unwrap();
    let detach = Action::DetachVf { vf: spec.vf, generation: spec.generation, vport: VPortId(1) };
    daemon.lock().execute(&detach).unwrap();
    let check = || {
        assert_eq!(sockets(folder.path()), ["vm2-net0.vf"]);
        let view = daemon.topology().unwrap();
        let adapters: Vec<_> = view.vms.iter().map(|vm| &vm.adapters[0]).collect();
        assert_eq!((adapters[0].vf, &adapters[0].socket), (None, &None));
        assert_eq!(adapters[0].no_vf.as_deref(), Some("taken away by an operator"));
        assert_eq!((adapters[1].vf, &adapters[1].no_vf), (Some(1), &None));
        assert!(!daemon.qemu_args("vm1").unwrap().iter().any(|argument| argument.contains("vfio-user")));
    };
    check();
    // Nor does it come back.
    daemon.rebuild().unwrap();
    check();
    daemon.lock().execute(&detach).unwrap();
    check();
}
