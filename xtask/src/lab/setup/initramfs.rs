//! The guests' initramfs: busybox, the network tools with their libraries, kernel modules, and an init that serves
//! the host's commands.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result};

use super::super::root;
use super::super::sandbox::in_root;
use super::{INITRAMFS, KERNEL, modules, rootfs, stamped};
use crate::{process, workspace};

const INIT: &str = include_str!("init.sh");
/// Copied from the root with the libraries that they load; each other command is busybox's.
const PROGRAMS: [&str; 13] = [
    "/usr/bin/busybox",
    "/usr/bin/dash",
    "/usr/bin/ip",
    "/usr/bin/iperf3",
    "/usr/bin/lspci",
    "/usr/bin/ping",
    "/usr/bin/setpci",
    "/usr/bin/ss",
    "/usr/bin/tcpdump",
    "/usr/sbin/bridge",
    "/usr/sbin/ethtool",
    "/usr/sbin/radvd",
    "/usr/sbin/tc",
];
/// Files that programs open while they run; libgcc is what iperf3 cancels its threads with.
const DATA: [&str; 2] = ["/usr/lib/x86_64-linux-gnu/libgcc_s.so.1", "/usr/share/misc/pci.ids"];
/// The guests' own program, which is not in the root but built here.
const DATAGRAMS: [&str; 2] =
    [include_str!("../../bin/datagrams/main.rs"), include_str!("../../bin/datagrams/sequence.rs")];
/// Where the initramfs is put together, as a path of the Debian root: its own tools do the packing.
const TREE: &str = "/boot/lab/tree";

/// Makes the initramfs and puts the kernel beside it, unless both are there.
pub(super) fn make() -> Result<()> {
    let recipe = format!("v3\n{PROGRAMS:?}\n{DATA:?}\n{:?}\n{INIT}\n{}", modules::WANTED, DATAGRAMS.concat());
    stamped("the guests' initramfs", &in_root("/boot/lab/stamp"), &recipe, build)
}

fn build() -> Result<()> {
    let tree = in_root(TREE);
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    for dir in
        ["dev", "etc", "proc", "run", "sys", "tmp", "usr/bin", "usr/lib", "usr/lib64", "usr/sbin", "var"]
    {
        fs::create_dir_all(tree.join(dir))?;
    }
    for link in ["bin", "lib", "lib64", "sbin"] {
        symlink(format!("usr/{link}"), tree.join(link))?;
    }
    symlink("dash", tree.join("usr/bin/sh"))?;
    fs::write(tree.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")?;
    fs::write(tree.join("etc/group"), "root:x:0:\n")?;
    fs::write(tree.join("init"), INIT)?;
    fs::set_permissions(tree.join("init"), fs::Permissions::from_mode(0o755))?;

    for file in PROGRAMS.iter().chain(&DATA).map(|file| (*file).to_owned()).chain(libraries()?) {
        copy(&file, &tree)?;
    }
    fs::copy(workspace::build_static("datagrams")?, tree.join("usr/bin/datagrams"))?;
    applets(&tree)?;
    kernel_modules(&tree)?;

    fs::copy(
        in_root("/usr/lib/modules").join(rootfs::kernel_version(&root())?).join("vmlinuz"),
        in_root(KERNEL),
    )
    .context("the Debian root has no kernel image")?;
    pack()
}

/// The shared libraries of the programs, and their loader.
fn libraries() -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    // busybox is static, which `ldd` calls an error.
    let dynamic = PROGRAMS.iter().filter(|program| !program.ends_with("/busybox"));
    let listing = process::capture(rootfs::inside(&root()).arg("ldd").args(dynamic))?;
    for word in listing.lines().filter(|line| line.starts_with('\t')).flat_map(str::split_whitespace) {
        if word.starts_with('/') {
            found.insert(format!("/usr{}", word.strip_prefix("/usr").unwrap_or(word)));
        }
    }
    Ok(found)
}

/// Copies a file of the root, whole where it is a link, to the same path of the tree.
fn copy(file: &str, tree: &Path) -> Result<()> {
    let to = tree.join(file.trim_start_matches('/'));
    fs::create_dir_all(to.parent().context("a file stands in a directory")?)?;
    fs::copy(in_root(file), &to).with_context(|| format!("the Debian root has no {file}"))?;
    Ok(())
}

/// Links every command of busybox that no real program of the tree provides.
fn applets(tree: &Path) -> Result<()> {
    for applet in process::capture(rootfs::inside(&root()).args(["busybox", "--list"]))?.lines() {
        let taken =
            ["usr/bin", "usr/sbin"].iter().any(|dir| tree.join(dir).join(applet).symlink_metadata().is_ok());
        if !taken {
            symlink("busybox", tree.join("usr/bin").join(applet))?;
        }
    }
    // Where the kernel looks for it, to load the modules that commands ask for.
    symlink("../bin/busybox", tree.join("usr/sbin/modprobe"))?;
    Ok(())
}

/// Unpacks the modules, so that the emulated processor need not.
fn kernel_modules(tree: &Path) -> Result<()> {
    let version = rootfs::kernel_version(&root())?;
    let base = format!("/usr/lib/modules/{version}");
    let modules_dep =
        fs::read_to_string(in_root(&base).join("modules.dep")).context("the kernel has no modules.dep")?;
    let files = modules::closure(&modules_dep, &modules::WANTED)?;
    for file in &files {
        copy(&format!("{base}/{file}"), tree)?;
    }
    let packed = files.iter().filter(|file| file.ends_with(".xz")).map(|file| format!("{TREE}{base}/{file}"));
    process::run(rootfs::inside(&root()).args(["xz", "-d", "-f", "--"]).args(packed))?;
    for list in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
        copy(&format!("{base}/{list}"), tree)?;
    }
    process::run(rootfs::inside(&root()).args(["depmod", "-b", TREE, &version]))
}

/// Packs the tree, uncompressed: an emulated processor unpacks slower than it reads.
fn pack() -> Result<()> {
    let script = format!("cd {TREE} && find . | sort | cpio --quiet --reproducible -o -H newc > {INITRAMFS}");
    process::run(rootfs::inside(&root()).args(["sh", "-c", &script]))
}
