//! Makes the Debian root with QEMU and the guests' tools, and out of it the guests' initramfs.
//!
//! Each product has a stamp, the text of its recipe: it is made again when the recipe changes, and only then.

mod initramfs;
mod mirror;
mod modules;
mod rootfs;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{dir, sandbox};
use crate::{process, ui};

/// The guests' kernel, as a path of the Debian root.
pub(super) const KERNEL: &str = "/boot/lab/vmlinuz";
/// The guests' initramfs, as a path of the Debian root.
pub(super) const INITRAMFS: &str = "/boot/lab/initramfs";

/// Boots the guest for a person; beside the root.
const GUEST: &str = include_str!("setup/guest.sh");

/// Makes what is missing.
pub(crate) fn run() -> Result<()> {
    sandbox::require_root()?;
    for (program, package) in [
        ("debootstrap", "debootstrap"),
        ("unshare", "util-linux"),
        ("setpriv", "util-linux"),
        ("nsenter", "util-linux"),
        ("chroot", "coreutils"),
    ] {
        if !process::exists(program) {
            bail!("`{program}` is missing: `apt-get install {package}` installs it");
        }
    }
    fs::create_dir_all(dir()).with_context(|| format!("cannot make {}", dir().display()))?;
    let lock = File::create(dir().join("lock"))?;
    lock.lock().context("cannot lock the lab's directory")?;
    rootfs::make()?;
    initramfs::make()?;
    let guest = dir().join("guest");
    fs::write(&guest, GUEST).with_context(|| format!("cannot write {}", guest.display()))?;
    Ok(fs::set_permissions(&guest, Permissions::from_mode(0o755))?)
}

/// Runs `make` unless the stamp holds the recipe, and stamps what it made.
fn stamped(what: &str, stamp: &Path, recipe: &str, make: impl FnOnce() -> Result<()>) -> Result<()> {
    if fs::read_to_string(stamp).is_ok_and(|made_by| made_by == recipe) {
        return Ok(());
    }
    ui::step(&format!("lab: making {what}"));
    make().with_context(|| format!("cannot make {what}"))?;
    fs::write(stamp, recipe).with_context(|| format!("cannot write {}", stamp.display()))
}

#[cfg(test)]
mod tests;
