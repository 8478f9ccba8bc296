//! Private namespaces around a run of the lab: mounts, processes and network.
//!
//! The kernel ends every process and undoes every mount of the sandbox when its first process ends, however it ends,
//! and a network namespace without an interface makes sure that test traffic stays inside the guests.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, ensure};

use super::root;
use crate::process;

/// Where the run directory is seen in the sandbox, by the daemon and, with the same path, by QEMU in its root. Short,
/// because the path of a Unix socket has at most 107 bytes.
pub(super) const RUN: &str = "/run/softiov-lab";

/// Runs this program again, with `arguments`, in a sandbox, and waits for it.
pub(super) fn enter(arguments: &[&str]) -> Result<ExitStatus> {
    require_root()?;
    let me = env::current_exe().context("cannot find this program's own file")?;
    let mut command = Command::new("setpriv");
    // When this process dies, unshare is killed; it kills the first process of the sandbox; that ends all the others.
    command.args(["--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]);
    command.args(["--mount-proc", "--"]).arg(me).args(arguments);
    command.status().with_context(|| format!("cannot run `{}`", process::shown(&command)))
}

/// Mounts what QEMU needs in its root, and the run directory on both sides. Called inside the sandbox.
pub(super) fn mount(run_dir: &Path) -> Result<()> {
    let inner = in_root(RUN);
    for dir in [Path::new(RUN), &inner, run_dir] {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    process::run(Command::new("mount").args(["--bind"]).arg(run_dir).arg(RUN))?;
    process::run(Command::new("mount").args(["--bind"]).arg(run_dir).arg(&inner))?;
    process::run(Command::new("mount").args(["-t", "proc", "proc"]).arg(root().join("proc")))
}

/// A command that runs in the Debian root.
pub(super) fn chroot(program: &str) -> Command {
    let mut command = Command::new("chroot");
    command.arg(root()).arg(program).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
    command
}

/// The place of an absolute path of the Debian root, seen from outside.
pub(super) fn in_root(path: &str) -> PathBuf {
    root().join(path.trim_start_matches('/'))
}

/// Fails unless this process is root: debootstrap, chroot and namespaces need it.
pub(super) fn require_root() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "the lab must run as root: it makes a Debian root, and namespaces for the guests"
    );
    Ok(())
}
