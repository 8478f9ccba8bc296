//! Policies of ports of the extensible switch, with the guests that they are made against.
//!
//! Each adapter of a guest is in a subnet, and mostly in a VLAN, with the adapters of the same number of the other guests:
//! so a few guests are enough for many policies.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::super::capture::Ear;
use super::super::config::{Adapter, Config};
use super::super::daemon::Daemon;
use super::super::deadline::{PATIENCE, await_that};
use super::super::net::{self, Link};
use super::super::recording::{Recording, Seen, Way};
use super::super::scene::Lab;
use super::super::shell::Shell;
use super::super::vm::Vm;

/// The port of an adapter, `VM/ADAPTER`, as the daemon shows it.
fn port(daemon: &Daemon, name: &str) -> Result<Value> {
    let show = daemon.show()?;
    let mut ports =
        show["switches"].as_array().into_iter().flatten().flat_map(|switch| switch["ports"].as_array());
    let port = ports.by_ref().flatten().find(|port| port["name"] == name);
    port.cloned().with_context(|| format!("no port is called {name}: {}", show["switches"]))
}

/// Frames that the port of an adapter has lost for this reason.
fn drops(daemon: &Daemon, name: &str, reason: &str) -> Result<u64> {
    let port = port(daemon, name)?;
    let mut drops = port["drops"].as_array().into_iter().flatten();
    Ok(drops.find(|drop| drop["reason"] == reason).and_then(|drop| drop["count"].as_u64()).unwrap_or(0))
}

/// Waits until the port of an adapter has lost so many frames for this reason.
fn await_drops(daemon: &Daemon, name: &str, reason: &str, least: u64) -> Result<()> {
    await_that(|| Ok(drops(daemon, name, reason)? >= least))
        .with_context(|| format!("{name} has lost fewer than {least} frames for the reason {reason}"))
}

/// What a guest must not offer to others: the port ACL and the guards.
pub(super) fn port_security(lab: &Lab) -> Result<()> {
    // Beta may be reached at one TCP port and may not open a connection itself; one address may not reach it, but for
    // that TCP port, at all.
    const ACL: &str = r#"acl = [
        { direction = "inbound", action = "meter", weight = 40, protocol = 1 },
        { direction = "inbound", action = "allow", weight = 30, protocol = 6, local_ports = { first = 5201, last = 5201 }, stateful = true },
        { direction = "inbound", action = "deny", weight = 20, protocol = 6 },
        { direction = "outbound", action = "deny", weight = 20, protocol = 6 },
        { direction = "inbound", action = "deny", weight = 20, remote_ip = "10.0.0.33/32" },
    ]"#;
    let config = Config::plain(2, 2)
        .synthetic()
        .with(0, 1, |adapter| adapter.access(11).port("dhcp_guard = true\nrouter_guard = true"))
        .with(1, 0, |adapter| adapter.port(ACL))
        .with(1, 1, |adapter| adapter.access(11));
    let scene = lab.scene(&config)?;
    let [alpha, beta] = scene.guests::<2>()?;
    let daemon = &scene.daemon;

    let ends = ((alpha, &net::up(alpha, 0)?), (beta, &net::up(beta, 0)?));
    acl(daemon, ends.0, ends.1).context("ACL")?;
    explanation(lab, daemon, ends.0, ends.1).context("trace and capture of what the ACL does")?;
    let (alpha, beta) = ((alpha, &net::up(alpha, 1)?), (beta, &net::up(beta, 1)?));
    dhcp_guard(daemon, alpha, beta).context("DHCP guard")?;
    router_guard(daemon, alpha, beta).context("router guard")?;
    scene.finish()
}

/// A guest with its device in the subnet.
type End<'a> = (&'a Vm, &'a Link);

fn acl(daemon: &Daemon, (alpha, here): End<'_>, (beta, there): End<'_>) -> Result<()> {
    const DENIED: &str = "10.0.0.33";
    for guest in [alpha, beta] {
        guest.sh(
            "echo content > /tmp/page && httpd -p 9000 -h /tmp && wget -q -O - http://127.0.0.1:9000/page",
        )?;
    }
    // Not for long: that it was denied, the counter says.
    let fetch = |from: &str| format!("timeout 1 wget -q -O - http://{from}:9000/page");
    net::ping(alpha, &there.v4)?;
    net::ping(beta, &here.v4)?;
    net::serve_iperf(beta)?;
    net::iperf(alpha, &there.v4, "-t 1 --bidir")?;
    net::iperf(alpha, &there.v6, "-t 1")?;

    alpha.refuses(&fetch(&there.v4))?;
    await_drops(daemon, "alpha/net0", "egress:acl", 1)?;
    beta.refuses(&fetch(&here.v4))?;
    await_drops(daemon, "beta/net0", "ingress:acl", 1)?;

    alpha.sh(&format!("ip addr add {DENIED}/32 dev {}", here.dev))?;
    let lost = drops(daemon, "alpha/net0", "egress:acl")?;
    alpha.refuses(&format!("ping -n -q -c 2 -i 0.2 -W 1 -I {DENIED} {}", there.v4))?;
    await_drops(daemon, "alpha/net0", "egress:acl", lost + 2)?;
    net::iperf(alpha, &there.v4, &format!("-t 1 -B {DENIED}"))?;
    net::ping(alpha, &there.v4)
}

/// What softiov tells of the ACL: what would become of a frame, and captures that tcpdump can read.
fn explanation(lab: &Lab, daemon: &Daemon, (alpha, here): End<'_>, (_, there): End<'_>) -> Result<()> {
    let (from, ip) =
        (["trace", "--from", "alpha/net0", "--dst", "beta/net0"], format!("{},{}", here.v4, there.v4));
    let trace = |ports: &str| daemon.call(&[&from[..], &["--ip", &ip, "--tcp", ports]].concat());
    let denied = trace("40000,9000")?;
    ensure!(denied.contains("egress:acl"), "a trace does not explain a loss: {denied}");
    let allowed = trace("40000,5201")?;
    ensure!(
        !allowed.contains("egress:acl") && allowed.contains("beta/net0"),
        "a trace does not explain a delivery: {allowed}"
    );

    let received = Recording::start(lab, daemon, "received", &["beta/net0"])?;
    let lost = Recording::start(lab, daemon, "lost", &["--drops"])?;
    net::ping(alpha, &there.v4)?;
    alpha.refuses(&format!("timeout 1 wget -q -O - http://{}:9000/page", there.v4))?;
    received.await_frames("icmp", 6).context("three pings and answers")?;
    lost.await_frames("tcp dst port 9000", 1).context("what is lost")?;
    let (received, lost) = (received.end()?, lost.end()?);

    ensure!(received.frames("tcp dst port 9000")? == 0, "the capture of a receiver shows what it was denied");
    let seen = received.seen("icmp")?;
    let pings = [Way::In, Way::Out].repeat(3).into_iter();
    let pings = pings.map(|way| Seen { interface: "beta/net0".to_owned(), way, comment: String::new() });
    ensure!(seen.iter().cloned().eq(pings), "tshark reads three pings and answers as {seen:#?}");
    let seen = lost.seen("tcp.dstport == 9000")?;
    let denied = Seen { interface: "alpha/net0".to_owned(), way: Way::Out, comment: "egress:acl".to_owned() };
    ensure!(
        !seen.is_empty() && seen.iter().all(|frame| *frame == denied),
        "tshark reads what is lost as {seen:#?}"
    );
    Ok(())
}

/// Alpha may not serve, but it may be served.
fn dhcp_guard(daemon: &Daemon, alpha: End<'_>, beta: End<'_>) -> Result<()> {
    let serve = |(guest, link): End<'_>| {
        let config = format!(
            r"start 10.0.1.100\nend 10.0.1.110\ninterface {}\nlease_file /tmp/leases\noption subnet 255.255.255.0\n",
            link.dev
        );
        guest.sh(&format!("touch /tmp/leases && printf '{config}' > /tmp/udhcpd.conf"))?;
        guest.start("dhcp", "udhcpd -f /tmp/udhcpd.conf")?;
        guest.until("ss -Hlun | grep -q :67", PATIENCE)
    };
    let ask = |link: &Link, tries| format!("udhcpc -f -q -n -t {tries} -T 1 -i {} -s /bin/true", link.dev);

    serve(alpha)?;
    beta.0.refuses(&ask(beta.1, 3))?;
    await_drops(daemon, "alpha/net1", "ingress:dhcp_guard", 1)?;
    alpha.0.sh("kill $(pidof udhcpd)")?;
    serve(beta)?;
    alpha.0.sh(&ask(alpha.1, 20)).map(drop)
}

/// Alpha may not be a router, but it may have one.
fn router_guard(daemon: &Daemon, alpha: End<'_>, beta: End<'_>) -> Result<()> {
    let advertise = |(guest, link): End<'_>| {
        let config = format!(
            r"interface {} {{ AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; prefix fd00:99::/64 {{ }}; }};\n",
            link.dev
        );
        guest.sh(&format!("printf '{config}' > /tmp/radvd.conf"))?;
        guest.start("radvd", "radvd -n -m stderr -C /tmp/radvd.conf -p /tmp/radvd.pid")
    };
    const ROUTED: &str = "ip -6 route show | grep -q ^fd00:99::/64";

    advertise(alpha)?;
    await_drops(daemon, "alpha/net1", "ingress:router_guard", 1)?;
    net::ping(alpha.0, &beta.1.v6)?;
    beta.0.refuses(ROUTED)?;
    alpha.0.sh("kill $(pidof radvd)")?;
    advertise(beta)?;
    alpha.0.until(ROUTED, PATIENCE).map(drop)
}

/// What the ports of several guests have to do with each other: mirrors, private VLANs, limits, learned addresses.
pub(super) fn port_policies(lab: &Lab) -> Result<()> {
    const ISOLATED: &str = "private_vlan = { primary = 100, role = { isolated = 101 } }";
    const PROMISCUOUS: &str = "private_vlan = { primary = 100, role = { promiscuous = [101, 102] } }";
    const COMMUNITY: &str = "private_vlan = { primary = 200, role = { community = 202 } }";
    const OUTSIDE: &str = "private_vlan = { primary = 200, role = { isolated = 201 } }";
    let mut config = Config::plain(3, 6);
    for guest in 0..3 {
        // The last one claims a VF.
        config = (0..5).fold(config, |config, adapter| config.with(guest, adapter, Adapter::synthetic));
        config =
            config.with(guest, 1, |adapter| adapter.access(11)).with(guest, 4, |adapter| adapter.access(14));
        let (one, other) = if guest == 2 { (PROMISCUOUS, OUTSIDE) } else { (ISOLATED, COMMUNITY) };
        config =
            config.with(guest, 2, |adapter| adapter.port(one)).with(guest, 3, |adapter| adapter.port(other));
    }
    let limits = format!("storm_limit = {STORM_LIMIT}\nbandwidth = {{ maximum = {MAXIMUM} }}");
    let config = config
        .with(0, 0, |adapter| adapter.port(r#"mirroring = "source""#))
        .with(2, 0, |adapter| adapter.port(r#"mirroring = "destination""#))
        .with(0, 1, |adapter| adapter.port(&limits))
        .with(0, 4, Adapter::trusted)
        .with(0, 5, |adapter| adapter.port(r#"mirroring = "source""#));
    let scene = lab.scene_without(&config, &[(0, 5), (1, 5), (2, 5)])?;
    let guests = scene.guests::<3>()?;
    let mut subnets = Vec::new();
    for subnet in 0..5 {
        let links = guests.iter().map(|guest| net::up(guest, subnet)).collect::<Result<Vec<_>>>()?;
        subnets.push(links.try_into().ok().context("each guest has a device in each subnet")?);
    }
    let [mirrored, limited, primary, community, crowded]: [[Link; 3]; 5] =
        subnets.try_into().ok().context("there are five subnets")?;

    mirror(&scene.daemon, guests, &mirrored).context("mirror")?;
    spoof_guard(&scene.daemon, guests, &mirrored).context("MAC spoof guard")?;
    bandwidth(&scene.daemon, guests, &limited).context("bandwidth")?;
    storm(&scene.daemon, guests, &limited).context("storm limit")?;
    private_vlans(guests, &primary, &community).context("private VLANs")?;
    crowd(&scene.daemon, guests, &crowded).context("many addresses")?;
    scene.finish()
}

/// Gamma sees what alpha sends and receives.
fn mirror(daemon: &Daemon, guests: &[Vm; 3], links: &[Link; 3]) -> Result<()> {
    let [alpha, beta, gamma] = guests;
    let ear = Ear { place: gamma, dev: &links[2].dev, v4: &links[2].v4 };
    ear.listen("icmp")?;
    net::ping(alpha, &links[1].v4)?;
    net::ping(beta, &links[0].v4)?;
    ear.stop(alpha)?;
    for (from, to, frames) in [(0, 1, 6), (1, 0, 6)] {
        let filter = format!("src {} and dst {}", links[from].v4, links[to].v4);
        let heard = ear.heard(&filter)?;
        ensure!(
            heard.len() == frames,
            "the watcher sees {} of {frames} frames of `{filter}`: {heard:#?}",
            heard.len()
        );
    }
    // The frames of a VF would pass the switch by.
    let show = daemon.show()?;
    let [claimant, other] = [0, 1].map(|vm| &show["vms"][vm]["adapters"][5]);
    ensure!(other["vf"].is_u64(), "an adapter that claims a VF has none: {other}");
    let why = claimant["no_vf"]["reason"].as_str().unwrap_or_default();
    ensure!(claimant["vf"].is_null() && why.contains("mirroring"), "a mirrored adapter has a VF: {claimant}");
    Ok(())
}

/// A device on top of alpha's adapter sends with an address of its own.
fn spoof_guard(daemon: &Daemon, guests: &[Vm; 3], links: &[Link; 3]) -> Result<()> {
    const FOREIGN: &str = "02:00:00:00:66:66";
    let ([alpha, beta, _], [here, there, _]) = (guests, links);
    alpha.sh(&format!("ip link add link {} name foreign address {FOREIGN} type macvlan", here.dev))?;
    alpha.sh("ip link set foreign up && ip addr add 10.0.0.66/32 dev foreign")?;
    let before = drops(daemon, "alpha/net0", "ingress:mac_spoofed")?;
    let ear = Ear { place: beta, dev: &there.dev, v4: &there.v4 };
    ear.listen(&format!("ether src {FOREIGN}"))?;
    net::unanswered(alpha, "foreign", "10.0.0.66", &there.v4)?;
    alpha.sh("ip link del foreign")?;
    ear.stop(alpha)?;
    let heard = ear.heard(&format!("ether src {FOREIGN}"))?;
    ensure!(heard.is_empty(), "frames from a foreign address arrive: {heard:#?}");
    let dropped = drops(daemon, "alpha/net0", "ingress:mac_spoofed")? - before;
    ensure!(dropped >= 3, "{dropped} of 3 requests from a foreign address are counted");
    Ok(())
}

/// Of alpha's limited adapter, in bit/s.
const MAXIMUM: u32 = 20_000_000;
/// Of the same one, in frames/s.
const STORM_LIMIT: u32 = 100;

/// Never more than the maximum, and no less if the machine has the time.
fn bandwidth(daemon: &Daemon, guests: &[Vm; 3], links: &[Link; 3]) -> Result<()> {
    /// Several streams, so that there is always something to send.
    const STREAMS: &str = "-t 4 -P 4";
    const OCTETS: u64 = MAXIMUM as u64 / 8 * 2;
    const ATTEMPTS: u32 = 5;
    let [alpha, beta, _] = guests;
    let sent = || -> Result<u64> {
        port(daemon, "alpha/net1")?["sent"]["octets"].as_u64().context("a port counts what it sends")
    };
    net::serve_iperf(beta)?;
    let mut share = 0.0;
    for _ in 0..ATTEMPTS {
        let idle = sent()?;
        net::start_iperf(alpha, &links[1].v4, STREAMS)?;
        // Behind the burst with which it begins.
        await_that(|| Ok(sent()? > idle + OCTETS / 4))?;
        let (began, before) = (Instant::now(), sent()?);
        await_that(|| Ok(sent()? > before + OCTETS))?;
        let (octets, seconds) = (sent()? - before, began.elapsed().as_secs_f64());
        net::finish_iperf(alpha, STREAMS)?;
        #[expect(clippy::cast_precision_loss, reason = "some millions")]
        let reached = octets as f64 * 8.0 / seconds / f64::from(MAXIMUM);
        ensure!(reached < 1.05, "a limited port sends {reached:.3} of its maximum");
        share = reached;
        if share > 0.95 {
            return Ok(());
        }
    }
    bail!("a limited port sends no more than {share:.3} of its maximum, {ATTEMPTS} times")
}

/// Broadcasts are limited, while what is for one passes.
fn storm(daemon: &Daemon, guests: &[Vm; 3], links: &[Link; 3]) -> Result<()> {
    const FRAMES: u32 = 1000;
    let [alpha, beta, _] = guests;
    net::ping(alpha, &links[1].v4)?;
    let received = || -> Result<u64> {
        let count = beta.sh(&format!("cat /sys/class/net/{}/statistics/rx_packets", links[1].dev))?;
        count.parse().context("a counter is a number")
    };
    let (lost, before) = (drops(daemon, "alpha/net1", "ingress:storm_limit")?, received()?);
    // 500 frames in a second.
    let seconds = generate(alpha, &links[0].dev, &["dst_mac ff:ff:ff:ff:ff:ff", "delay 2000000"], FRAMES)?;
    net::ping_with(alpha, "-W 1", &links[1].v4)?;
    let (lost, came) = (drops(daemon, "alpha/net1", "ingress:storm_limit")? - lost, received()? - before);
    let passed = u64::from(FRAMES).checked_sub(lost).context("more is lost than was sent")?;
    // A burst besides, and some frames of the guests' own.
    let most = f64::from(STORM_LIMIT) * (seconds + 1.0);
    #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
    let share = passed as f64 / most;
    ensure!(share <= 1.0, "{passed} broadcasts pass in {seconds} s, and {STORM_LIMIT} a second may");
    ensure!((passed..passed + 50).contains(&came), "{passed} broadcasts pass, and {came} frames come");
    ensure!(passed >= u64::from(STORM_LIMIT), "only {passed} broadcasts pass in {seconds} s");
    Ok(())
}

/// Sends frames of the kernel's packet generator; how long that took, in seconds.
fn generate(guest: &Vm, dev: &str, options: &[&str], count: u32) -> Result<f64> {
    guest.sh("modprobe pktgen && echo rem_device_all > /proc/net/pktgen/kpktgend_0")?;
    guest.sh(&format!("echo add_device {dev} > /proc/net/pktgen/kpktgend_0"))?;
    for option in ["pkt_size 60", "dst 10.0.250.250"].iter().chain(options) {
        guest.sh(&format!("echo {option} > /proc/net/pktgen/{dev}"))?;
    }
    guest.sh(&format!(
        "echo count {count} > /proc/net/pktgen/{dev} && echo start > /proc/net/pktgen/pgctrl"
    ))?;
    let result = guest.sh(&format!("grep Result: /proc/net/pktgen/{dev}"))?;
    let microseconds =
        result.strip_prefix("Result: OK: ").and_then(|rest| rest.split('(').next()?.parse::<f64>().ok());
    microseconds.map(|time| time / 1e6).with_context(|| format!("the packet generator ends with `{result}`"))
}

/// Two isolated ports with a promiscuous one, and two of a community with an isolated one.
fn private_vlans(guests: &[Vm; 3], primary: &[Link; 3], community: &[Link; 3]) -> Result<()> {
    let [alpha, beta, gamma] = guests;
    // All at once, since each takes some seconds.
    let apart = [
        (alpha, &primary[0], &primary[1].v4),
        (beta, &community[1], &community[2].v4),
        (gamma, &community[2], &community[0].v4),
    ];
    for (guest, Link { dev, v4, .. }, to) in apart {
        guest.start("apart", &format!("arping -f -c 3 -w 10 -I {dev} -s {v4} {to}"))?;
    }
    for guest in [alpha, beta] {
        net::ping(guest, &primary[2].v4)?;
        net::ping(guest, &primary[2].v6)?;
    }
    net::ping(alpha, &community[1].v4)?;
    net::ping(beta, &community[0].v6)?;
    for (guest, _, to) in apart {
        let asked = guest.finish("apart", PATIENCE)?;
        let unanswered = asked.status != 0 && asked.text.contains("Sent 3 probe");
        ensure!(unanswered, "{} reaches {to}: {}", guest.name(), asked.text);
    }
    Ok(())
}

/// A trusted guest shows 10,000 addresses, one of the others' own in between: softiov stays small, and nobody else
/// notices.
fn crowd(daemon: &Daemon, guests: &[Vm; 3], links: &[Link; 3]) -> Result<()> {
    const ADDRESSES: u32 = 10_000;
    const MOST_STATIONS: u64 = 8192;
    const MOST_KIB: u64 = 4096;
    let [alpha, beta, gamma] = guests;
    let there = &links[2];
    net::ping(beta, &there.v4)?;
    let memory = daemon.resident_kib()?;
    let ear = Ear { place: alpha, dev: &links[0].dev, v4: &links[0].v4 };
    let foreign = format!("ether host {} and ether host {}", beta.mac(4), gamma.mac(4));
    ear.listen(&foreign)?;
    net::start_pinging(beta, &there.v4, "0.02")?;
    let crowd = format!("src_mac_count {ADDRESSES}");
    generate(
        alpha,
        &links[0].dev,
        &["dst_mac 02:00:00:00:77:77", "src_mac 02:00:00:aa:00:00", &crowd],
        ADDRESSES,
    )?;
    let stolen = format!("src_mac {}", gamma.mac(4));
    generate(alpha, &links[0].dev, &["dst_mac ff:ff:ff:ff:ff:ff", &stolen, "src_mac_count 1"], 100)?;
    net::ping(beta, &there.v6)?;
    let (sent, lost) = net::stop_pinging(beta)?;
    ensure!(sent > 10 && lost == 0, "{lost} of {sent} pings of others are lost");
    ear.stop(beta)?;
    let heard = ear.heard(&foreign)?;
    ensure!(heard.is_empty(), "frames of two others are flooded: {heard:#?}");
    ensure!(
        drops(daemon, "alpha/net4", "ingress:source_mac_elsewhere")? >= 100,
        "the stolen address was not counted"
    );
    let learned =
        daemon.show()?["switches"][0]["stations"].as_u64().context("a switch counts its stations")?;
    ensure!((1..=MOST_STATIONS).contains(&learned), "{learned} stations are known after {ADDRESSES}");
    let more = daemon.resident_kib()?.saturating_sub(memory);
    ensure!(more <= MOST_KIB, "{ADDRESSES} addresses have cost {more} KiB");
    Ok(())
}
