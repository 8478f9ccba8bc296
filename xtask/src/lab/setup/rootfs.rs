//! The Debian root: a minimal trixie with QEMU, the guests' kernel and their tools.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::super::{dir, root};
use super::{mirror, stamped};
use crate::{process, ui};

const SUITE: &str = "trixie";
/// QEMU has a vfio-user client since 10.1, and the backports' is the one that the design was tried on.
const BACKPORTS: &str = "trixie-backports";
const FROM_BACKPORTS: [&str; 2] = ["qemu-system-x86", "linux-modules-cloud-amd64"];
const TOOLS: [&str; 13] = [
    "busybox-static",
    "cpio",
    "ethtool",
    "iperf3",
    "iproute2",
    "iputils-ping",
    "kmod",
    "pci.ids",
    "pciutils",
    "radvd",
    "tcpdump",
    "tshark",
    "xz-utils",
];
/// What nobody reads in a chroot stays out, and no file is synced: a root that was cut short is made again.
const DPKG: &str = "path-exclude=/usr/share/doc/*\npath-exclude=/usr/share/man/*\npath-exclude=/usr/share/locale/*\n\
                    force-unsafe-io\n";

/// Makes the root unless it is there and complete.
pub(super) fn make() -> Result<()> {
    let mirror = mirror::configured();
    let recipe = format!("v1\n{mirror}\n{SUITE} {TOOLS:?}\n{BACKPORTS} {FROM_BACKPORTS:?}\n{DPKG}");
    stamped("the Debian root of QEMU and the guests", &root().join("etc/softiov-lab"), &recipe, || {
        build(&mirror)
    })
}

/// Builds beside the final place, so that a build that was cut short is never taken for a root.
fn build(mirror: &str) -> Result<()> {
    let new = dir().join("root.new");
    let log = dir().join("setup.log");
    for old in [&new, &root()] {
        if old.exists() {
            fs::remove_dir_all(old).with_context(|| format!("cannot remove {}", old.display()))?;
        }
    }
    ui::line(&format!("lab: debootstrap {SUITE} from {mirror} (log: {})", log.display()));
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", SUITE]).arg(&new).arg(mirror);
    process::run_logged(&mut debootstrap, &log)?;

    fs::write(new.join("etc/dpkg/dpkg.cfg.d/softiov-lab"), DPKG)?;
    let source = format!("deb {mirror} {BACKPORTS} main\n");
    fs::write(new.join("etc/apt/sources.list.d/backports.list"), source)?;
    let apt = |arguments: &[&str]| process::run_logged(inside(&new).arg("apt-get").args(arguments), &log);
    apt(&["update"])?;
    ui::line("lab: installing the guests' tools");
    apt(&[&["install", "-y", "--no-install-recommends"][..], &TOOLS[..]].concat())?;
    ui::line(&format!("lab: installing QEMU and the guests' kernel from {BACKPORTS}"));
    let backports = ["install", "-y", "--no-install-recommends", "-t", BACKPORTS];
    apt(&[&backports[..], &FROM_BACKPORTS[..]].concat())?;
    // The image comes in a package of its own, named after the modules' version.
    let kernel = format!("linux-binary-{}", kernel_version(&new)?);
    apt(&[&backports[..], &[kernel.as_str()]].concat())?;
    apt(&["clean"])?;
    fs::rename(&new, root()).context("cannot put the new root in its place")
}

/// The version of the one kernel in the root.
pub(super) fn kernel_version(root: &Path) -> Result<String> {
    let dir = root.join("usr/lib/modules");
    let mut versions = Vec::new();
    for entry in
        fs::read_dir(&dir).with_context(|| format!("there are no kernel modules in {}", dir.display()))?
    {
        versions.push(entry?.file_name().to_string_lossy().into_owned());
    }
    match versions.as_slice() {
        [version] => Ok(version.clone()),
        _ => bail!("{} must hold one kernel, it holds {versions:?}", dir.display()),
    }
}

/// A command inside a root, in namespaces of its own: it leaves neither a mount nor a process behind.
pub(super) fn inside(root: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--wd=/"]);
    command.arg(format!("--root={}", root.display())).args(["--", "env"]);
    command.args(["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"]);
    command
}
