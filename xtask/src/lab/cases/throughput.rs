//! Streams, offloads, frame sizes, queues and rings.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::super::config::Config;
use super::super::net::{self, Link};
use super::super::scene::Lab;
use super::super::shell::Shell;
use super::super::vm::Vm;

/// Seconds of a stream: enough for thousands of frames on an emulated processor.
const STREAM: &str = "-t 2";

fn no_checksum_errors(guests: &[Vm; 2], links: &[Link; 2]) -> Result<()> {
    for (guest, link) in guests.iter().zip(links) {
        let errors = net::checksum_errors(guest, &link.dev)?;
        ensure!(errors == 0, "{} has counted {errors} checksum errors", guest.name());
    }
    Ok(())
}

pub(super) fn iperf3_tcp_udp(lab: &Lab) -> Result<()> {
    let scene = lab.scene(&Config::pair())?;
    let guests = scene.guests::<2>()?;
    let links = net::up_all(guests)?;
    net::serve_iperf(&guests[1])?;
    for to in [&links[1].v4, &links[1].v6] {
        net::iperf(&guests[0], to, STREAM)?;
        net::iperf(&guests[0], to, &format!("{STREAM} -R"))?;
        net::udp(&guests[0], to)?;
    }
    no_checksum_errors(guests, &links)?;
    scene.finish()
}

pub(super) fn mtu_jumbo(lab: &Lab) -> Result<()> {
    const HEADERS: [(u32, usize); 2] = [(28, 4), (48, 6)];
    let scene = lab.scene(&Config::pair())?;
    let guests = scene.guests::<2>()?;
    let links = net::up_all(guests)?;
    for mtu in [9000, 9710, 1500] {
        for (guest, Link { dev, .. }) in guests.iter().zip(&links) {
            guest.sh(&format!("ip link set {dev} mtu {mtu}"))?;
            guest.until(&format!("grep -q 1 /sys/class/net/{dev}/carrier"), Duration::from_secs(30))?;
            // Going down and up for the new MTU has cost the device its IPv6 addresses.
            net::up(guest, 0)?;
        }
        for ((headers, version), to) in HEADERS.into_iter().zip([&links[1].v4, &links[1].v6]) {
            let whole = mtu - headers;
            net::ping_with(&guests[0], &format!("-{version} -M do -s {whole}"), to)?;
            let over =
                guests[0].refuses(&format!("ping -n -{version} -M do -s {} -c 1 -w 5 {to}", whole + 1))?;
            ensure!(
                over.contains("too long") || over.contains("100% packet loss"),
                "one byte over {mtu}: {over}"
            );
        }
        net::serve_iperf(&guests[1])?;
        net::iperf(&guests[0], &links[1].v4, "-t 1")?;
    }
    for (guest, Link { dev, .. }) in guests.iter().zip(&links) {
        guest.refuses(&format!("ip link set {dev} mtu 9711"))?;
    }
    no_checksum_errors(guests, &links)?;
    scene.finish()
}

pub(super) fn offload_toggles(lab: &Lab) -> Result<()> {
    let scene = lab.scene(&Config::pair())?;
    let guests = scene.guests::<2>()?;
    let links = net::up_all(guests)?;
    net::serve_iperf(&guests[1])?;
    for features in
        ["tso off", "gso off", "tx off", "rx off", "rx on tx off", "tx on", "gso on tso on gro off", "gro on"]
    {
        for (guest, Link { dev, .. }) in guests.iter().zip(&links) {
            guest.sh(&format!("ethtool -K {dev} {features}"))?;
        }
        net::iperf(&guests[0], &links[1].v4, "-t 1")?;
        net::iperf(&guests[0], &links[1].v6, "-t 1 -R")?;
        net::iperf(&guests[0], &links[1].v4, "-t 1 -u -b 5M -l 4000")?;
    }
    no_checksum_errors(guests, &links)?;
    scene.finish()
}

pub(super) fn rss_two_queues(lab: &Lab) -> Result<()> {
    let scene = lab.scene(&Config::pair().cpus(2))?;
    let guests = scene.guests::<2>()?;
    let links = net::up_all(guests)?;
    net::serve_iperf(&guests[1])?;
    net::iperf(&guests[0], &links[1].v4, "-t 2 -P 8")?;
    net::iperf(&guests[0], &links[1].v6, "-t 2 -P 8")?;
    for (guest, Link { dev, .. }) in guests.iter().zip(&links) {
        for queue in ["rx_queue_0_packets", "rx_queue_1_packets"] {
            let frames = net::driver_counter(guest, dev, queue)?;
            ensure!(frames > 100, "{}: {queue} is {frames} after streams of 16 flows", guest.name());
        }
    }
    no_checksum_errors(guests, &links)?;
    scene.finish()
}

pub(super) fn ring_resize(lab: &Lab) -> Result<()> {
    let scene = lab.scene(&Config::pair())?;
    let guests = scene.guests::<2>()?;
    let links = net::up_all(guests)?;
    net::serve_iperf(&guests[1])?;
    for (rx, tx) in [(4096, 4096), (64, 64), (256, 2048), (512, 1024)] {
        net::start_iperf(&guests[0], &links[1].v4, "-t 4")?;
        for (guest, Link { dev, .. }) in guests.iter().zip(&links) {
            guest.sh(&format!("ethtool -G {dev} rx {rx} tx {tx}"))?;
            let rings = guest.sh(&format!("ethtool -g {dev} | sed -n '/Current/,$p'"))?;
            ensure!(rings.contains(&format!("{rx}")) && rings.contains(&format!("{tx}")), "{rings}");
        }
        net::finish_iperf(&guests[0], "-t 4")?;
        net::ping(&guests[1], &links[0].v4)?;
    }
    no_checksum_errors(guests, &links)?;
    scene.finish()
}
