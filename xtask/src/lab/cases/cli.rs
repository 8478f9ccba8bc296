//! The daemon and its command line without guests.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::super::config::Config;
use super::super::daemon::{self, Daemon};
use super::super::scene::Lab;

/// Configurations that must be refused: what is wrong, the file, and a word that the message must hold.
const BAD_CONFIGURATIONS: &[(&str, &str, &str)] = &[
    ("not TOML", "[adapter", "line 1"),
    ("unknown key", "[adapter]\ntotal_vfs = 8\ncolour = \"red\"\n", "colour"),
    ("too many VFs", "[adapter]\ntotal_vfs = 100000\n", "total_vfs"),
    (
        "bad MAC",
        "[adapter]\ntotal_vfs = 8\n[[vm]]\nname = \"a\"\n[[vm.adapter]]\nmac = \"02:00:zz\"\n",
        "02:00:zz",
    ),
    (
        "multicast MAC",
        "[adapter]\ntotal_vfs = 8\n[[vm]]\nname = \"a\"\n[[vm.adapter]]\nmac = \"03:00:00:00:00:01\"\n",
        "03:00:00:00:00:01",
    ),
    (
        "VLAN out of range",
        "[adapter]\ntotal_vfs = 8\n[[vm]]\nname = \"a\"\n[[vm.adapter]]\nmac = \"02:00:00:00:00:01\"\nvlan = 4095\n",
        "4095",
    ),
    (
        "range upside down",
        "[adapter]\ntotal_vfs = 8\n[[vm]]\nname = \"a\"\n[[vm.adapter]]\nmac = \"02:00:00:00:00:01\"\ntrunk = [\"9-3\"]\n",
        "9-3",
    ),
    (
        "MAC given twice",
        "[adapter]\ntotal_vfs = 8\n[[vm]]\nname = \"a\"\n[[vm.adapter]]\nmac = \"02:00:00:00:00:01\"\n\
         [[vm.adapter]]\nmac = \"02:00:00:00:00:01\"\n",
        "02:00:00:00:00:01",
    ),
    (
        "name given twice",
        "[adapter]\ntotal_vfs = 8\n[[vm]]\nname = \"twin\"\n[[vm.adapter]]\nmac = \"02:00:00:00:00:01\"\n\
         [[vm]]\nname = \"twin\"\n[[vm.adapter]]\nmac = \"02:00:00:00:00:02\"\n",
        "twin",
    ),
    (
        "name that leaves the directory",
        "[adapter]\ntotal_vfs = 8\n[[vm]]\nname = \"../up\"\n[[vm.adapter]]\nmac = \"02:00:00:00:00:01\"\n",
        "../up",
    ),
    (
        "access port and trunk",
        "[adapter]\ntotal_vfs = 8\n[[vm]]\nname = \"a\"\n[[vm.adapter]]\nmac = \"02:00:00:00:00:01\"\nvlan = 5\n\
         trunk = \"all\"\n",
        "trunk",
    ),
    (
        "weight out of range",
        "[adapter]\ntotal_vfs = 8\n[[vm]]\nname = \"a\"\n[[vm.adapter]]\nmac = \"02:00:00:00:00:01\"\niov_weight = 101\n",
        "101",
    ),
];

pub(super) fn bad_input(lab: &Lab) -> Result<()> {
    let dir = lab.dir();
    for (what, text, word) in BAD_CONFIGURATIONS {
        let file = format!("{dir}/bad.toml");
        fs::write(&file, text)?;
        refused(what, &["run", "-c", &file, "--control", &format!("{dir}/bad.control")], word)?;
    }
    refused("no such file", &["run", "-c", &format!("{dir}/absent.toml")], "absent.toml")?;
    refused("no daemon", &["show", "--control", &format!("{dir}/nobody")], "nobody")?;
    refused("unknown command", &["frobnicate"], "frobnicate")?;
    refused("no command", &[], "Usage")?;

    let daemon = Daemon::start(&dir, &Config::pair(), lab.deadline)?;
    for (arguments, word) in [
        (&["vm", "qemu-args", "nosuch"][..], "nosuch"),
        (&["show", "-o", "interpretive-dance"], "interpretive-dance"),
        (&["datapath", "explode"], "explode"),
    ] {
        let call = daemon.try_call(arguments)?;
        ensure!(!call.success, "`softiov {}` succeeded: {}", arguments.join(" "), call.stdout);
        ensure!(call.stderr.contains(word), "the message does not name `{word}`: {}", call.stderr);
    }
    let arguments = daemon.call(&["vm", "qemu-args", "alpha"])?;
    ensure!(arguments.contains("vfio-user-pci"), "the arguments for QEMU are {arguments}");
    daemon.stop()
}

/// A call must fail with a message that names the cause, and not by a panic.
fn refused(what: &str, arguments: &[&str], word: &str) -> Result<()> {
    let call = daemon::call(arguments)?;
    ensure!(!call.success, "{what}: `softiov {}` succeeded", arguments.join(" "));
    ensure!(!call.stderr.contains("panicked"), "{what}: softiov panicked: {}", call.stderr);
    let names_it = call.stderr.to_lowercase().contains(&word.to_lowercase());
    ensure!(names_it, "{what}: the message does not name `{word}`: {}", call.stderr);
    Ok(())
}

pub(super) fn memory_and_start(lab: &Lab) -> Result<()> {
    const MOST_KIB: u64 = 64 * 1024;
    const MOST_TIME: Duration = Duration::from_secs(1);
    let daemon = Daemon::start(&lab.dir(), &Config::plain(64, 1), lab.deadline)?;
    let resident = daemon.resident_kib()?;
    ensure!(resident < MOST_KIB, "64 idle VFs take {resident} KiB, more than {MOST_KIB}");
    daemon.stop()?;

    let daemon = Daemon::start(&lab.dir(), &Config::plain(64, 4), lab.deadline)?;
    ensure!(daemon.ready_after < MOST_TIME, "256 VFs are ready after {:?}", daemon.ready_after);
    daemon.stop()
}
