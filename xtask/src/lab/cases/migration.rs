//! Live migration of a stock guest from one QEMU to another on this host, by its synthetic adapter: both QEMUs are
//! connected to the same socket of softiov.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::super::config::Config;
use super::super::net;
use super::super::scene::{Lab, Scene};
use super::super::shell::Shell;
use super::super::vm::Vm;

/// Bandwidth of a migration that is not to end by itself, in bytes/s: less than what a guest writes.
const SLOW: u64 = 1 << 20;
/// Bandwidth of one whose progress can be seen.
const MEDIUM: u64 = 64 << 20;
/// No limit.
const FAST: u64 = 0;
/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// One that fails and one that is given up leave the guest where it is; then it migrates twice, receiving.
pub(super) fn live_migration(lab: &Lab) -> Result<()> {
    let Scene { daemon, guests } = lab.scene(&Config::pair().synthetic())?;
    let [alpha, beta]: [Vm; 2] = guests.try_into().ok().context("the scene has two guests")?;
    let (here, there) = (net::up(&alpha, 0)?, net::up(&beta, 0)?);
    net::serve_iperf(&beta)?;
    net::ping(&alpha, &there.v4)?;
    let settled = daemon.footprint()?;
    net::start_pinging(&beta, &here.v4, "0.05")?;

    // The QEMU that the guest is on its way to dies.
    let doomed = alpha.successor("alpha-doomed", &lab.dir())?;
    alpha.begin_migration(&doomed, SLOW)?;
    doomed.kill();
    alpha.await_migration("failed")?;
    net::iperf(&alpha, &there.v4, "-t 1 --bidir")?;
    daemon.await_footprint(settled).context("after a failed migration")?;

    let unused = alpha.successor("alpha-unused", &lab.dir())?;
    let waiting = daemon.footprint()?;
    alpha.begin_migration(&unused, SLOW)?;
    net::iperf(&alpha, &there.v4, "-t 1 --bidir")?;
    // Two QEMUs are connected, but only the guest's has given memory; what has come since is the log.
    let logging = daemon.footprint()?;
    ensure!(
        logging.memory_maps > waiting.memory_maps,
        "no log of written memory is mapped during a migration: {logging:?}, before it {waiting:?}"
    );
    alpha.cancel_migration()?;
    unused.await_end()?;
    daemon.await_footprint(settled).context("after a migration was given up")?;
    net::iperf(&alpha, &there.v4, "-t 1 --bidir")?;

    let moved = under_tcp(lab, alpha, &beta, &there.v4)?;
    let moved_again = under_udp(lab, moved, &there.v4)?;

    net::ping(&moved_again, &there.v6)?;
    let (sent, lost) = net::stop_pinging(&beta)?;
    ensure!(
        lost * 20 <= sent,
        "{lost} of {sent} pings were lost in two migrations, a failed one, and one given up"
    );
    daemon.await_footprint(settled).context("after two migrations")?;
    for guest in [moved_again, beta] {
        guest.quit()?;
    }
    daemon.stop()
}

/// A stream goes on, and data that softiov writes into memory which has been transferred before arrives with the guest.
fn under_tcp(lab: &Lab, guest: Vm, peer: &Vm, peer_v4: &str) -> Result<Vm> {
    const STREAM: &str = "-t 4 --bidir";
    /// Bytes that wait in the guest's socket, unread: more than the buffers hold that are in the ring at any time.
    const WAITING: u32 = 2_000_000;

    peer.sh("dd if=/dev/urandom of=/tmp/file bs=1M count=6 2>/dev/null")?;
    peer.sh("httpd -p 9000 -h /tmp")?;
    // A window as wide from the beginning, since the receiver does not read.
    guest.sh("sysctl -q net.ipv4.tcp_rmem='4096 16777216 16777216'")?;
    // So much is written that the migration does not end.
    guest.start("write", "until test -e /tmp/read; do dd if=/dev/zero of=/tmp/zero bs=1M count=16; done")?;

    let to = guest.successor("alpha-moved", &lab.dir())?;
    guest.begin_migration(&to, MEDIUM)?;
    guest.linger_in_migration(SLOW)?;
    let receiver = format!(
        "wget -q -O - http://{peer_v4}:9000/file | {{ until test -e /tmp/read; do sleep 0.1; done; sha256sum; }}"
    );
    guest.start("receive", &receiver)?;
    guest.until(
        &format!("ss -Htn dport = 9000 | awk '$2 > {WAITING} {{ f = 1 }} END {{ exit !f }}'"),
        PATIENCE,
    )?;
    net::start_iperf(&guest, peer_v4, STREAM)?;
    guest.until("ss -Htn dport = 5201 | grep -q ESTAB", PATIENCE)?;
    guest.complete_migration()?;
    guest.quit()?;

    to.sh("touch /tmp/read")?;
    let received = to.finish("receive", PATIENCE)?.text;
    let sent = peer.sh("sha256sum < /tmp/file")?;
    ensure!(
        received == sent,
        "what was received during the migration has the checksum {received}, it should be {sent}"
    );
    net::finish_iperf(&to, STREAM)?;
    Ok(to)
}

/// The same way once more, in one go, while datagrams come.
fn under_udp(lab: &Lab, guest: Vm, peer_v4: &str) -> Result<Vm> {
    const STREAM: &str = "-t 4 -u -b 20M -R";
    net::start_iperf(&guest, peer_v4, STREAM)?;
    guest.until("ss -Hun | grep -q :5201", PATIENCE)?;
    let to = guest.successor("alpha-moved-again", &lab.dir())?;
    guest.begin_migration(&to, FAST)?;
    guest.complete_migration()?;
    guest.quit()?;
    let stream = net::finish_iperf(&to, STREAM)?;
    ensure!(stream.lost_percent < 50.0, "{} % of the datagrams are lost in a migration", stream.lost_percent);
    Ok(to)
}
