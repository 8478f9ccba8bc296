//! Which kernel module files a guest needs: the wanted ones and all they depend on.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

/// The modules of a guest. Drivers that Debian builds into its kernel (IPv6, AF_PACKET, virtio-pci) need no file.
pub(super) const WANTED: [&str; 10] = [
    "8021q",
    "bridge",
    "failover",
    "gve",
    "ixgbevf",
    "macvlan",
    "net_failover",
    "pktgen",
    "veth",
    "virtio_net",
];

/// The files of `wanted` and their dependencies, out of the text of `modules.dep`.
pub(super) fn closure<'a>(modules_dep: &'a str, wanted: &[&str]) -> Result<BTreeSet<&'a str>> {
    let needs: BTreeMap<&str, &str> = modules_dep.lines().filter_map(|line| line.split_once(':')).collect();
    let mut found = BTreeSet::new();
    for name in wanted {
        let (file, others) = needs
            .iter()
            .find(|(file, _)| module_name(file) == *name)
            .with_context(|| format!("the kernel has no module `{name}`"))?;
        found.insert(*file);
        // depmod lists the whole closure, not only the direct dependencies.
        found.extend(others.split_whitespace());
    }
    Ok(found)
}

/// `kernel/net/8021q/8021q.ko.xz` is the module `8021q`.
fn module_name(file: &str) -> &str {
    let base = file.rsplit('/').next().unwrap_or(file);
    base.split(".ko").next().unwrap_or(base)
}
