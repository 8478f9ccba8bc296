//! The lab itself, before the product is blamed.

use anyhow::{Result, ensure};

use super::super::scene::Lab;
use super::super::shell::Shell;
use super::super::vm::VmSpec;

/// Boots two guests without a VF and tries everything that the other cases rely on.
pub(super) fn lab_self_check(lab: &Lab) -> Result<()> {
    let guests = lab.boot(vec![VmSpec::new("alpha", 1), VmSpec { cpus: 2, ..VmSpec::new("beta", 2) }])?;
    for guest in &guests {
        let output = guest.try_sh("echo out; echo err >&2; exit 7")?;
        ensure!(output.status == 7 && output.text == "out\nerr", "the agent reports {output:?}");
        guest.sh("ping -n -c 1 127.0.0.1 && ping -n -c 1 ::1")?;
        guest.refuses("ip link show nosuch")?;
        guest.sh("lsmod | grep -q ixgbevf && lsmod | grep -q 8021q")?;
        ensure!(guest.status()? == "running", "QEMU says that {} is {}", guest.name(), guest.status()?);
        guest.start("job", "sleep 0.3; echo done; exit 3")?;
        let job = guest.finish("job", std::time::Duration::from_secs(30))?;
        ensure!(job.status == 3 && job.text == "done", "the job reports {job:?}");
    }
    ensure!(guests[1].sh("nproc")? == "2", "beta has two processors");
    for tool in ["ip", "bridge", "ethtool", "iperf3", "tcpdump", "lspci", "arping", "ss", "tc"] {
        guests[0].sh(&format!("command -v {tool}"))?;
    }
    guests[0].sh("touch /tmp/before")?;
    guests[0].reboot()?;
    guests[0].refuses("test -e /tmp/before")?;
    guests.into_iter().try_for_each(super::super::vm::Vm::quit)
}
