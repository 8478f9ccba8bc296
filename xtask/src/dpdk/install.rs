//! DPDK, from the distribution's packages.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{process, ui};

/// Drivers that are packages of their own, with the file that says that one is there.
const DRIVERS: [(&str, &str); 3] = [
    ("librte-mempool-ring", "librte_mempool_ring.so"),
    ("librte-net-pcap", "librte_net_pcap.so"),
    ("librte-net-virtio", "librte_net_virtio.so"),
];
/// The program that plays the guests.
pub(super) const TESTPMD: &str = "dpdk-testpmd";
/// Its package.
const PACKAGE: &str = "dpdk-dev";

/// Installs what is missing.
pub(super) fn make_sure() -> Result<()> {
    for (program, package) in [("setpriv", "util-linux"), ("stdbuf", "coreutils")] {
        ensure!(process::exists(program), "`{program}` is missing: `apt-get install {package}` installs it");
    }
    if process::exists(TESTPMD) && DRIVERS.iter().all(|(_, file)| has_driver(file)) {
        return Ok(());
    }
    ensure!(
        rustix::process::geteuid().is_root() && process::exists("apt-get"),
        "`{TESTPMD}` or a driver of it is missing; as root on Debian this installs them"
    );
    process::capture(Command::new("apt-get").args(["update", "-qq"]))?;
    let mut packages = vec![PACKAGE.to_owned()];
    for (name, _) in DRIVERS {
        packages.push(versioned(name)?);
    }
    ui::line(&format!("installing {} (once)", packages.join(" ")));
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(&packages);
    process::capture(install.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null())).map(drop)
}

/// The full name of a library's package, which ends with the version of its interface.
fn versioned(name: &str) -> Result<String> {
    let pattern = format!("^{name}[0-9]+$");
    let found = process::capture(Command::new("apt-cache").args(["search", "--names-only", &pattern]))?;
    let first = found.split_whitespace().next();
    first.map(str::to_owned).with_context(|| format!("there is no package {name}"))
}

/// Whether a driver is where DPDK looks for it: `/usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0`, say.
fn has_driver(file: &str) -> bool {
    let entries = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
    entries(Path::new("/usr/lib"))
        .flat_map(|arch| entries(&arch.path().join("dpdk")))
        .flat_map(|version| entries(&version.path()))
        .any(|entry| entry.file_name().to_string_lossy().starts_with(file))
}
