//! What the cases do with networks in guests: addresses, pings, streams, counters.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::deadline;
use super::shell::Shell;
use super::vm::Vm;

/// How long a link may take to come up, and a first answer to arrive, on a busy emulated machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A network device of a guest that is up and has addresses.
#[derive(Debug, Clone)]
pub(super) struct Link {
    /// Its name in the guest.
    pub(super) dev: String,
    pub(super) v4: String,
    pub(super) v6: String,
}

/// Brings adapter `index` of a guest up, with the addresses `10.0.INDEX.GUEST` and `fd00:INDEX::GUEST`.
pub(super) fn up(guest: &Vm, index: usize) -> Result<Link> {
    let dev = guest.netdev(index)?;
    up_device(guest, &dev, index)
}

/// Brings a device of a guest up in subnet `net`.
pub(super) fn up_device(guest: &Vm, dev: &str, net: usize) -> Result<Link> {
    up_as(guest, dev, net, guest.number())
}

/// Brings a device up with the addresses `10.0.NET.NUMBER` and `fd00:NET::NUMBER`.
pub(super) fn up_as(place: &dyn Shell, dev: &str, net: usize, number: u8) -> Result<Link> {
    let link =
        Link { dev: dev.to_owned(), v4: format!("10.0.{net}.{number}"), v6: format!("fd00:{net}::{number}") };
    let Link { v4, v6, .. } = &link;
    place.sh(&format!(
        "ip addr replace {v4}/24 dev {dev} && ip link set {dev} up && ip addr replace {v6}/64 dev {dev} nodad"
    ))?;
    place.until(&format!("ip link show dev {dev} | grep -q LOWER_UP"), PATIENCE)?;
    Ok(link)
}

/// Brings the first adapter of each guest up.
pub(super) fn up_all<const N: usize>(guests: &[Vm; N]) -> Result<[Link; N]> {
    let links = guests.iter().map(|guest| up(guest, 0)).collect::<Result<Vec<_>>>()?;
    links.try_into().ok().context("there are as many links as guests")
}

/// Waits until the devices below net_failover's have these drivers, in the order of the alphabet: `virtio_net` of the
/// synthetic adapter, `ixgbevf` of the VF.
pub(super) fn await_drivers(guest: &dyn Shell, dev: &str, drivers: &str) -> Result<()> {
    let list = format!(
        "for d in /sys/class/net/{dev}/lower_*; do basename $(readlink -f $d/device/driver); done | sort | xargs"
    );
    guest.until(&format!("test \"$({list})\" = '{drivers}'"), deadline::PATIENCE).map(drop)
}

/// Pings an address until three answers have come.
pub(super) fn ping(from: &dyn Shell, to: &str) -> Result<()> {
    ping_with(from, "", to)
}

/// Pings with further options.
pub(super) fn ping_with(from: &dyn Shell, options: &str, to: &str) -> Result<()> {
    from.sh(&format!("ping -n -q -c 3 -i 0.1 -w {} {options} {to}", PATIENCE.as_secs())).map(drop)
}

/// An address that must not answer: ARP requests for it, which reach everybody in the VLAN, stay unanswered.
pub(super) fn unreachable(from: &Vm, link: &Link, to: &str) -> Result<()> {
    unanswered(from, &link.dev, &link.v4, to)
}

/// Asks for `to` by three ARP requests from the address `source`, which must all leave and all stay unanswered.
pub(super) fn unanswered(from: &Vm, dev: &str, source: &str, to: &str) -> Result<()> {
    let asked = from.refuses(&format!("arping -f -c 3 -w 10 -I {dev} -s {source} {to}"))?;
    ensure!(asked.contains("Sent 3 probe"), "{}: arping did not send what it should: {asked}", from.name());
    Ok(())
}

/// Starts a continuous ping.
pub(super) fn start_pinging(from: &dyn Shell, to: &str, period: &str) -> Result<()> {
    from.start("pinging", &format!("ping -n -q -i {period} {to}"))
}

/// Ends the continuous ping; returns (sent, lost).
pub(super) fn stop_pinging(from: &dyn Shell) -> Result<(u64, u64)> {
    from.sh("kill -INT $(pidof ping)")?;
    let output = from.finish("pinging", PATIENCE)?;
    let (sent, received) =
        ping_counts(&output.text).with_context(|| format!("ping ended without counts: {}", output.text))?;
    // The last request may still be on its way when ping is stopped.
    Ok((sent, sent.saturating_sub(received).saturating_sub(1)))
}

/// Reads `220 packets transmitted, 219 received, ...`.
fn ping_counts(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().find(|line| line.contains(" packets transmitted"))?;
    let number = |word: &str| {
        let part = line.split(", ").find(|part| part.contains(word))?;
        part.split_whitespace().next()?.parse().ok()
    };
    Some((number("transmitted")?, number("received")?))
}

/// What a stream by iperf3 reached.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    /// Bytes that arrived.
    pub(super) bytes: u64,
    /// Share of datagrams lost, in percent; 0 for TCP.
    pub(super) lost_percent: f64,
}

/// Starts an iperf3 server unless it runs.
pub(super) fn serve_iperf(guest: &dyn Shell) -> Result<()> {
    guest.sh("pidof iperf3 >/dev/null || iperf3 -s -D")?;
    guest.until("ss -Hltn | grep -q :5201", PATIENCE).map(drop)
}

/// Runs an iperf3 stream to its end; it must move data.
pub(super) fn iperf(from: &dyn Shell, to: &str, options: &str) -> Result<Stream> {
    // The last stream has ended at the client's side, and not yet at the server's, which says so or hangs up.
    const BUSY: [&str; 2] = ["server is busy", "unable to receive control message"];
    let until = Instant::now() + PATIENCE;
    loop {
        start_iperf(from, to, options)?;
        match finish_iperf(from, options) {
            Err(error)
                if Instant::now() < until && BUSY.iter().any(|busy| format!("{error:#}").contains(busy)) => {}
            finished => return finished,
        }
    }
}

/// Sends UDP, at a rate that an emulated guest takes; it arrives. What a guest loses that had no CPU for a while is lost
/// once; what a path loses is lost each time.
pub(super) fn udp(from: &dyn Shell, to: &str) -> Result<()> {
    let mut lost = Vec::new();
    for _ in 0..3 {
        lost.push(iperf(from, to, "-t 1 -u -b 5M")?.lost_percent);
        if lost.last().is_some_and(|percent| *percent < 5.0) {
            return Ok(());
        }
    }
    anyhow::bail!("of UDP from {} to {to} these percentages were lost: {lost:?}", from.name())
}

/// Starts an iperf3 stream.
pub(super) fn start_iperf(from: &dyn Shell, to: &str, options: &str) -> Result<()> {
    from.start("iperf", &format!("iperf3 -c {to} -J -i 0 --connect-timeout 20000 {options}"))
}

/// Waits for the end of the stream.
pub(super) fn finish_iperf(from: &dyn Shell, options: &str) -> Result<Stream> {
    let output = from.finish("iperf", Duration::from_secs(90))?;
    let stream = stream(&output.text).with_context(|| format!("iperf3 {options} on {}", from.name()))?;
    ensure!(output.status == 0 && stream.bytes > 0, "iperf3 {options} on {}: no data arrived", from.name());
    Ok(stream)
}

/// Ends a stream that would go on.
pub(super) fn stop_iperf(from: &dyn Shell) -> Result<()> {
    from.sh("kill -INT $(pidof iperf3)")?;
    let output = from.finish("iperf", PATIENCE)?;
    ensure!(output.text.contains("interrupt"), "iperf3 ended otherwise than interrupted: {}", output.text);
    Ok(())
}

/// Reads the report of iperf3, which may follow a warning.
fn stream(text: &str) -> Result<Stream> {
    let report = text.find('{').map_or("", |start| &text[start..]);
    let result: Value =
        serde_json::from_str(report).with_context(|| format!("iperf3 printed no JSON: {text}"))?;
    if let Some(error) = result.get("error") {
        anyhow::bail!("iperf3 failed: {error}");
    }
    let end = &result["end"];
    let bytes = end["sum_received"]["bytes"].as_u64().context("iperf3 counted no received bytes")?;
    let lost_percent = end["sum_received"]["lost_percent"].as_f64().unwrap_or(0.0);
    Ok(Stream { bytes, lost_percent })
}

/// All checksum errors that a guest has counted: its protocol stacks, and its driver if that counts them.
pub(super) fn checksum_errors(guest: &dyn Shell, dev: &str) -> Result<u64> {
    let text = guest
        .sh(&format!("cat /proc/net/snmp /proc/net/snmp6; ethtool -i {dev}; ethtool -S {dev} || true"))?;
    let errors = count_checksum_errors(&text);
    errors.with_context(|| format!("{} shows no checksum counters: {text}", guest.name()))
}

/// Sums `InCsumErrors` of the tables of `snmp` (a line of names, a line of values), the same names of `snmp6`
/// (a name and a value on each line), and ixgbevf's `rx_csum_offload_errors`. `None` when one of them is absent; no other
/// driver has the last.
fn count_checksum_errors(text: &str) -> Option<u64> {
    let (mut tables, mut singles, mut driver) = (None, None, None);
    let add = |sum: &mut Option<u64>, value: &str| {
        *sum = Some(sum.unwrap_or(0) + value.parse::<u64>().unwrap_or(0));
    };
    let mut names = "";
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [name, value] if name.ends_with("6InCsumErrors") => add(&mut singles, value),
            ["rx_csum_offload_errors:", value] => add(&mut driver, value),
            [_, value, ..] if value.parse::<i64>().is_ok() => {
                let columns = names.split_whitespace().zip(&words);
                columns
                    .filter(|(name, _)| *name == "InCsumErrors")
                    .for_each(|(_, value)| add(&mut tables, value));
            }
            _ => names = line,
        }
    }
    let driver = if text.contains("driver: ixgbevf") { driver? } else { 0 };
    Some(tables? + singles? + driver)
}

/// TCP connections that a guest has counted as reset or given up, at either end.
pub(super) fn tcp_resets(guest: &dyn Shell) -> Result<u64> {
    let text = guest.sh("cat /proc/net/snmp /proc/net/netstat")?;
    count_tcp_resets(&text).with_context(|| format!("{} shows no counters of TCP: {text}", guest.name()))
}

/// Sums what tells of a connection that did not end as it should, out of tables of a line of names and a line of
/// values. `None` when nothing does.
fn count_tcp_resets(text: &str) -> Option<u64> {
    let lines: Vec<&str> = text.lines().collect();
    let columns = lines.chunks_exact(2).flat_map(|table| {
        let [names, values] = [table[0], table[1]].map(str::split_whitespace);
        names.zip(values)
    });
    let tells = |name: &str| ["EstabResets", "OutRsts"].contains(&name) || name.starts_with("TCPAbort");
    let counts = columns.filter(|(name, _)| tells(name)).map(|(_, value)| value.parse::<u64>().ok());
    counts.reduce(|sum, count| Some(sum? + count?))?
}

/// Frames that a guest's kernel dropped because it did not come to them in time: the second column of `softnet_stat`.
pub(super) fn backlog_drops(guest: &dyn Shell) -> Result<u64> {
    let text = guest.sh("cat /proc/net/softnet_stat")?;
    let drops = text.lines().map(|line| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok());
    drops.sum::<Option<u64>>().with_context(|| format!("{} shows no backlog: {text}", guest.name()))
}

/// The value of one counter of `ethtool -S`.
pub(super) fn driver_counter(guest: &dyn Shell, dev: &str, name: &str) -> Result<u64> {
    let text = guest.sh(&format!("ethtool -S {dev}"))?;
    let found = text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "));
    let value = found.with_context(|| format!("`ethtool -S {dev}` has no {name}"))?;
    value.trim().parse().with_context(|| format!("{name} is `{value}`, not a number"))
}

#[cfg(test)]
mod tests;
