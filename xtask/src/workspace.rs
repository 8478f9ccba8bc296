//! Where things are: the workspace, its build directory, its sources.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// The workspace's root directory.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map_or_else(|| manifest.to_path_buf(), Path::to_path_buf)
}

/// Cargo's build directory: `CARGO_TARGET_DIR`, or `target` in the workspace.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The daemon that the lab and DPDK drive: the one that the tests use too, which panics where a sum overflows.
pub(crate) fn daemon() -> PathBuf {
    target_dir().join("debug/softiov")
}

/// Builds it.
pub(crate) fn build_daemon() -> Result<()> {
    let mut cargo = Command::new(cargo());
    cargo.current_dir(root());
    process::run(cargo.args(["build", "--quiet", "--package", "softiov"]))
}

/// Builds another program of this package so that it needs no library, for a place that has another libc; returns the
/// file.
pub(crate) fn build_static(program: &str) -> Result<PathBuf> {
    let mut rustc = Command::new(cargo());
    rustc.current_dir(root()).args([
        "rustc",
        "--quiet",
        "--package",
        env!("CARGO_PKG_NAME"),
        "--bin",
        program,
    ]);
    process::run(rustc.args(["--", "-C", "target-feature=+crt-static", "-C", "strip=symbols"]))?;
    Ok(target_dir().join("debug").join(program))
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// Every Rust source file of the workspace and of `fuzz/`, sorted, as paths relative to the root.
pub(crate) fn rust_files() -> Result<Vec<PathBuf>> {
    let root = root();
    let mut found = Vec::new();
    for top in ["crates", "xtask", "fuzz"] {
        if root.join(top).is_dir() {
            collect(&root, Path::new(top), &mut found)?;
        }
    }
    found.sort();
    Ok(found)
}

fn collect(root: &Path, dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(root.join(dir)).with_context(|| format!("cannot list {}", dir.display()))? {
        let entry = entry?;
        let path = dir.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "target" {
                collect(root, &path, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}
