//! What cannot be done is refused: exit code 1, a sentence that names the value and what would be right, nothing left
//! behind.

use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::daemon::{Daemon, Host, vms};
use crate::common::driver::Guest;

/// A refusal is one line, of softiov, with all of `parts` in it.
fn check(error: &str, parts: &[&str]) {
    assert!(error.starts_with("softiov: "), "{error:?}");
    for part in parts {
        assert!(error.contains(part), "{error:?} should name {part:?}");
    }
    assert!(!error.contains("panicked") && !error.contains("Error {"), "{error:?}");
}

fn host() -> Host {
    let host = Host::new();
    std::fs::create_dir(host.runtime_dir()).unwrap();
    host
}

#[test]
fn a_configuration_that_cannot_be_used_is_refused_with_its_line_and_leaves_nothing() {
    let host = host();
    for (text, parts) in [
        ("[adapter\n", &["softiov.toml", "line 3"][..]),
        ("[adapter]\ntotal_vfs = \"many\"\n", &["line 4", "many"]),
        ("[adapter]\nvfs = 4\n", &["line 4", "vfs", "total_vfs"]),
        ("[adapter]\ntotal_vfs = 257\n", &["line 4", "257", "1 to 256"]),
        ("[adapter]\ntotal_vfs = 4\nnum_vfs = 5\n", &["num_vfs 5", "total_vfs, which is 4"]),
        ("[[vm]]\nname = \"a\"\n[[vm.adapter]]\nmac = \"02:00\"\n", &["line 6", "02:00"]),
        (
            "[[vm]]\nname = \"a\"\n[[vm.adapter]]\nmac = \"02:00:00:00:00:01\"\nvlan = 4095\n",
            &["4095", "1 to 4094"],
        ),
    ] {
        check(&host.start_refused(&host.configure(text)), parts);
        assert_eq!(host.sockets(), Vec::<String>::new(), "{text}");
    }
    check(
        &host.start_refused(Path::new("/nowhere/softiov.toml")),
        &["/nowhere/softiov.toml", "No such file"],
    );
}

#[test]
fn a_runtime_folder_that_cannot_be_used_is_named() {
    let host = Host::new();
    let run = |folder: &str| {
        let path = host.path("other.toml");
        std::fs::write(&path, format!("[daemon]\nruntime_dir = {folder:?}\n{}", vms(1, "", ""))).unwrap();
        host.start_refused(&path)
    };
    let missing = host.path("missing");
    check(&run(missing.to_str().unwrap()), &["missing\"", "create it", "daemon.runtime_dir"]);
    assert!(!missing.exists());
    let file = host.path("file");
    std::fs::write(&file, "mine").unwrap();
    check(&run(file.to_str().unwrap()), &["file\"", "not a folder"]);
    // Root may write everywhere but where nobody may.
    check(&run("/sys"), &["/sys/", "cannot be created"]);
    check(&run(&format!("/{}", "x".repeat(120))), &["shorter runtime_dir"]);
}

#[test]
fn a_socket_path_that_is_taken_stays_what_it_is_and_nothing_else_is_left() {
    for name in ["vm1-net0.net", "control.sock"] {
        let host = host();
        let config = host.configure(&vms(3, "", ""));
        let path = host.runtime_dir().join(name);
        std::fs::write(&path, "mine").unwrap();
        check(&host.start_refused(&config), &[name, "not a socket", "remove it"]);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        assert_eq!(host.sockets(), [name]);
        std::fs::remove_file(&path).unwrap();

        let living = UnixListener::bind(&path).unwrap();
        check(&host.start_refused(&config), &[name, "in use"]);
        assert!(std::fs::metadata(&path).unwrap().file_type().is_socket());
        assert_eq!(host.sockets(), [name]);

        // A dead server's socket is in nobody's way.
        drop(living);
        assert_eq!(host.sockets(), [name]);
        let daemon = Daemon::start(host, &vms(3, "", ""));
        assert_eq!(daemon.host.sockets().len(), 7);
    }
}

#[test]
fn a_vf_whose_socket_path_is_taken_is_not_offered_and_explain_says_why() {
    let host = host();
    let path = host.runtime_dir().join("vm1-net0.vf");
    std::fs::write(&path, "mine").unwrap();
    let daemon = Daemon::start(host, &vms(2, "total_vfs = 2", ""));
    let explained = daemon.json(&["vm", "explain", "vm1"])[0].clone();
    let because = explained["because"].as_str().unwrap();
    assert!(
        ["vm1-net0.vf", "not a socket", "remove it"].iter().all(|part| because.contains(part)),
        "{because}"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    assert_eq!(daemon.device(0)["connected"], false, "the other is offered");
    let (_host, log) = daemon.end();
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
}

#[test]
fn a_second_daemon_on_a_runtime_folder_changes_nothing() {
    let daemon = Daemon::with_vms(1, "", "");
    let mut guest = Guest::boot(&daemon.socket(0));
    // Other VMs, so that no socket is in its way.
    let text = vms(3, "", "").replace("vm0", "other0").replace("vm1", "other1").replace("vm2", "other2");
    check(
        &daemon.host.start_refused(&daemon.host.configure(&text)),
        &["another softiov runs in", "daemon.runtime_dir"],
    );
    assert_eq!(daemon.host.sockets(), ["control.sock", "vm0-net0.net", "vm0-net0.vf"]);
    assert_eq!(daemon.json(&["vf"]).as_array().unwrap().len(), 1);
    guest.get(0x0008).unwrap();
}

#[test]
fn a_cpu_that_is_not_there_is_named() {
    let host = host();
    let config = host.configure("cpu = 100000\n");
    check(&host.start_refused(&config), &["CPU 100000"]);
    assert_eq!(host.sockets(), Vec::<String>::new());
}

#[test]
fn a_limit_of_descriptors_that_is_too_low_is_named_with_what_is_needed() {
    let host = host();
    let config = host.configure(&vms(64, "total_vfs = 64", ""));
    let limited = "ulimit -n 1000 && exec timeout 20 \"$0\" run -c \"$1\"";
    let program = env!("CARGO_BIN_EXE_softiov");
    let output = Command::new("sh").args(["-c", limited, program]).arg(&config).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    check(&error, &["64 VFs for VMs", "need 4992", "1000", "LimitNOFILE"]);
    assert_eq!(host.sockets(), Vec::<String>::new());
}

#[test]
fn commands_about_what_does_not_exist_name_it_and_what_does() {
    let daemon = Daemon::with_vms(2, "total_vfs = 4", "");
    let shown = || {
        let mut shown = daemon.json(&["show"]);
        for of_vf in shown["vfs"].as_array_mut().unwrap() {
            of_vf["life"].as_object_mut().unwrap().remove("since_ms");
        }
        for of_vm in shown["vms"].as_array_mut().unwrap() {
            of_vm["adapters"][0]["vf_life"].as_object_mut().unwrap().remove("since_ms");
        }
        shown
    };
    let before = shown();
    let host = &daemon.host;
    let taken = host.path("softiov.toml");
    let taken = taken.to_str().unwrap();
    for (command, parts) in [
        (&["vport", "99"][..], &["VPort 99", "0, 1, 2"][..]),
        (&["pci", "dump", "vf", "99"], &["VF 99", "there are 4"]),
        (&["vm", "qemu-args", "nobody"], &["\"nobody\"", "vm0, vm1"]),
        (&["vm", "qemu-args", "../../x y?z#%"], &["\"../../x y?z#%\"", "vm0, vm1"]),
        (&["oid", "request", "nonsense"], &["nonsense", "EnumVfs", "{\"ResetVf\":0}"]),
        (&["oid", "request", "{\"ResetVf\""], &["ResetVf", "EnumVfs"]),
        (&["oid", "request", "{\"ResetVf\":\"x\"}"], &["\"x\"", "{\"ResetVf\":0}"]),
        (&["oid", "trace", taken], &[taken, "must be a new file", "exists"]),
        (&["oid", "trace", "/nowhere/trace"], &["/nowhere/trace", "No such file"]),
    ] {
        check(&host.refusal(command), parts);
    }
    let after = shown();
    for part in ["vfs", "vports", "vms"] {
        assert_eq!(before[part], after[part]);
    }
    assert!(std::fs::read_to_string(taken).unwrap().starts_with("[daemon]"));
}

#[test]
fn what_the_miniport_refuses_has_its_status_and_exit_code_one() {
    let daemon = Daemon::with_vms(1, "total_vfs = 4", "");
    // Its VF belongs to the stack, and only its creator may free it.
    for (request, answer) in [
        (r#"{"FreeVf":0}"#, "FILE_NOT_FOUND: VF 0 was allocated by another client"),
        (r#"{"DeleteVPort":1}"#, "INVALID_PARAMETER: VPort 1 was created by another client"),
        (r#"{"ResetVf":9}"#, "INVALID_PARAMETER: VF 9 is not allocated"),
    ] {
        let output = daemon.host.cli(&["oid", "request", request]);
        assert_eq!(output.status.code(), Some(1), "{request}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with(answer), "{request}: {text}");
    }
    assert_eq!(daemon.json(&["vf"]).as_array().unwrap().len(), 1);
    assert_eq!(daemon.host.sockets(), ["control.sock", "vm0-net0.net", "vm0-net0.vf"]);
}

#[test]
fn without_a_daemon_the_command_line_says_how_to_start_one() {
    let host = host();
    check(&host.refusal(&["show"]), &["control.sock", "softiov run -c FILE", "--control"]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let daemon = Daemon::with_vms(64, "", "");
    let mut command = daemon.host.command(&["show", "-o", "json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Closed before anything is read of it, as by `head -0`.
    drop(child.stdout.take());
    let mut error = String::new();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert_eq!((child.wait().unwrap().code(), error.as_str()), (Some(0), ""));
}

#[test]
fn arguments_for_qemu_can_be_pasted_into_a_shell() {
    let host = Host::new();
    let folder = host.path("it's here");
    std::fs::create_dir(&folder).unwrap();
    let daemon = Daemon::with_runtime_dir(host, &folder, &vms(1, "", ""));
    let text = String::from_utf8(daemon.host.cli(&["vm", "qemu-args", "vm0"]).stdout).unwrap();
    let output = Command::new("sh").args(["-c", &format!("printf '%s\\n' {text}")]).output().unwrap();
    let arguments: Vec<String> = serde_json::from_value(daemon.json(&["vm", "qemu-args", "vm0"])).unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().collect::<Vec<_>>(), arguments);
    assert!(arguments.iter().any(|argument| argument.contains("it's here/vm0-net0.vf")));
}
