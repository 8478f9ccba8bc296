//! A VF is found, driven, left and found again.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::super::config::Config;
use super::super::net::{self, Link};
use super::super::scene::Lab;
use super::super::shell::Shell;
use super::super::vm::Vm;

/// The guests reach each other by IPv4 and IPv6, both ways.
fn reach_each_other(guests: &[Vm; 2], links: &[Link; 2]) -> Result<()> {
    for (from, to) in [(0, 1), (1, 0)] {
        net::ping(&guests[from], &links[to].v4)?;
        net::ping(&guests[from], &links[to].v6)?;
    }
    Ok(())
}

pub(super) fn two_guests_basics(lab: &Lab) -> Result<()> {
    let scene = lab.scene(&Config::pair())?;
    let guests = scene.guests::<2>()?;
    let links = net::up_all(guests)?;
    for (guest, Link { dev, .. }) in guests.iter().zip(&links) {
        let driver = guest.sh(&format!("ethtool -i {dev}"))?;
        ensure!(driver.contains("driver: ixgbevf"), "{}: {driver}", guest.name());
        let link = guest.sh(&format!("ethtool {dev}"))?;
        ensure!(link.contains("Speed: 10000Mb/s"), "{}: the link is not at 10 Gbit/s: {link}", guest.name());
        ensure!(link.contains("Link detected: yes"), "{}: there is no link: {link}", guest.name());
        let features = guest.sh(&format!("ethtool -k {dev}"))?;
        ensure!(features.contains("tcp-segmentation-offload: on"), "{}: {features}", guest.name());
        let rings = guest.sh(&format!("ethtool -g {dev}"))?;
        ensure!(rings.contains("4096"), "{}: the largest ring is not 4096: {rings}", guest.name());
    }
    reach_each_other(guests, &links)?;
    for (guest, Link { dev, .. }) in guests.iter().zip(&links) {
        for counter in ["rx_packets", "tx_packets"] {
            let frames = net::driver_counter(guest, dev, counter)?;
            ensure!(frames >= 12, "{}: {counter} is {frames} after 24 pings and answers", guest.name());
        }
    }
    scene.finish()
}

pub(super) fn lspci_decodes(lab: &Lab) -> Result<()> {
    let scene = lab.scene(&Config::plain(1, 1))?;
    let [guest] = scene.guests::<1>()?;
    net::up(guest, 0)?;
    let text = guest.sh("lspci -vvv -nn -d 8086:1565 2>&1")?;
    for part in [
        "Ethernet controller",
        "[0200]",
        "X550 Virtual Function",
        "Kernel driver in use: ixgbevf",
        "Express (v2) Endpoint",
        "FLReset+",
        "MSI-X: Enable+ Count=3 Masked-",
        "Advanced Error Reporting",
        "BusMaster+",
    ] {
        ensure!(text.contains(part), "lspci does not show `{part}`: {text}");
    }
    for complaint in
        ["!!!", "<chain looped>", "<chain broken>", "<unreadable>", "unknown", "Unknown", "??", "lspci:"]
    {
        ensure!(!text.contains(complaint), "lspci complains with `{complaint}`: {text}");
    }
    scene.finish()
}

pub(super) fn driver_reload(lab: &Lab) -> Result<()> {
    let scene = lab.scene(&Config::pair())?;
    let guests = scene.guests::<2>()?;
    reach_each_other(guests, &net::up_all(guests)?)?;
    for _ in 0..5 {
        guests[0].sh("rmmod ixgbevf")?;
        guests[0].sh("modprobe ixgbevf")?;
        reach_each_other(guests, &net::up_all(guests)?)?;
    }
    scene.finish()
}

pub(super) fn guest_reboot(lab: &Lab) -> Result<()> {
    let scene = lab.scene(&Config::pair())?;
    let guests = scene.guests::<2>()?;
    reach_each_other(guests, &net::up_all(guests)?)?;
    for under_load in [true, false] {
        // In the midst of traffic the device still holds the old system's rings.
        net::start_pinging(&guests[1], "10.0.0.1", "0.01")?;
        if under_load {
            net::serve_iperf(&guests[1])?;
            net::start_iperf(&guests[0], "10.0.0.2", "-t 60")?;
            guests[0].until("pidof iperf3", Duration::from_secs(10))?;
        }
        guests[0].reboot()?;
        reach_each_other(guests, &net::up_all(guests)?)?;
        net::stop_pinging(&guests[1])?;
    }
    scene.finish()
}
