//! A UDP stream with sequence numbers between guests (`src/bin/datagrams`): what became of each datagram.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::daemon::Daemon;
use super::net;
use super::recording::Recording;
use super::scene::Lab;
use super::shell::Shell;
use super::vm::Vm;
use crate::ui;

/// The ports of the receivers, from here on.
const FIRST_PORT: u16 = 6001;
/// Why softiov drops a frame whose receiver has put out no buffers, and has held its senders back for long enough.
const NO_ROOM: &str = "rx_no_buffers";
/// How often a stream's last datagram is sent.
const LAST: u64 = 50;
/// Datagrams a second.
const RATE: u32 = 5000;
/// Octets that wait for the receiver while it has no processor: a second and more of the stream.
const BUFFER: u32 = 16 << 20;
/// How long either end may take to start and to end on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A stream on its way.
#[derive(Debug)]
struct Datagrams<'a> {
    from: &'a Vm,
    to: &'a Vm,
    port: u16,
    /// What the receiver's kernel had dropped when it began.
    backlog: u64,
}

/// What became of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Arrived {
    sent: u64,
    received: u64,
    lost: u64,
    duplicated: u64,
    reordered: u64,
    /// Of those lost, those that the receiving guest had taken already: its socket's buffer was full.
    overrun: u64,
}

/// Streams, and beside them captures of what softiov loses and of what it carries.
///
/// A guest under an emulated processor loses datagrams itself: its driver throws away what is in the rings of a VF that
/// goes, and its kernel what net_failover sends by a VF whose queue is not active yet. So each datagram that is missing
/// is accounted for: softiov may have dropped it only because its receiver had put out no buffers for longer than
/// senders are held back.
pub(super) struct Watched<'a> {
    streams: Vec<Datagrams<'a>>,
    drops: Recording,
    /// The guest that is moved, and what passes its adapter.
    moved: Option<(&'a Vm, Recording)>,
}

impl<'a> Watched<'a> {
    /// Starts streams, each from a guest to one at an address, and follows those of a guest that is moved.
    pub(super) fn start(
        lab: &Lab,
        daemon: &Daemon,
        moved: Option<&'a Vm>,
        ways: &[(&'a Vm, &'a Vm, &str)],
    ) -> Result<Self> {
        let drops = Recording::start(lab, daemon, "drops", &["--drops", "--snaplen", "64"])?;
        let follow = |guest: &'a Vm| -> Result<_> {
            let adapter = format!("{}/net0", guest.name());
            Ok((guest, Recording::start(lab, daemon, guest.name(), &[&adapter, "--snaplen", "64"])?))
        };
        let moved = moved.map(follow).transpose()?;
        let streams =
            ways.iter().zip(FIRST_PORT..).map(|((from, to, v4), port)| Datagrams::start(from, to, v4, port));
        Ok(Self { streams: streams.collect::<Result<_>>()?, drops, moved })
    }

    /// Ends the streams. Each datagram must have come once and in order, or been lost by a guest.
    pub(super) fn stop(self) -> Result<()> {
        let ended: Vec<_> = self.streams.into_iter().map(Datagrams::stop).collect::<Result<_>>()?;
        let drops = self.drops.end()?;
        let moved =
            self.moved.map(|(guest, passing)| Ok::<_, anyhow::Error>((guest, passing.end()?))).transpose()?;
        for Ended { stream, arrived, backlog } in ended {
            let Arrived { sent, received, lost, duplicated, reordered, overrun } = arrived;
            let dropped = drops.seen(&format!("udp.dstport == {}", stream.port))?;
            let others: Vec<_> = dropped.iter().filter(|frame| frame.comment != NO_ROOM).collect();
            ensure!(others.is_empty(), "datagrams {stream} were dropped: {others:?}");
            let dropped = u64::try_from(dropped.len())?;
            let mut taken_by_guest = overrun + backlog;
            let mut never_left = 0;
            if let Some((guest, passing)) = &moved {
                let passed = u64::try_from(passing.frames(&format!("udp dst port {}", stream.port))?)?;
                if std::ptr::eq(stream.from, *guest) {
                    // The last datagram comes several times.
                    never_left = sent.saturating_sub(passed.saturating_sub(LAST));
                } else if std::ptr::eq(stream.to, *guest) {
                    taken_by_guest = passed.saturating_sub(LAST).saturating_sub(received);
                }
            }
            ui::line(&format!(
                "     datagrams {stream}: lost by {} {never_left}, by {} {taken_by_guest}, no buffers {dropped}",
                stream.from.name(),
                stream.to.name(),
            ));
            let by_guests = never_left + taken_by_guest + dropped;
            ensure!(
                lost <= by_guests,
                "of {lost} datagrams lost {stream}, guests have lost {by_guests} only"
            );
            ensure!(
                duplicated == 0 && reordered == 0,
                "of datagrams {stream}, {duplicated} came twice and {reordered} in another order"
            );
        }
        Ok(())
    }
}

/// A stream that has ended.
struct Ended<'a> {
    stream: Datagrams<'a>,
    arrived: Arrived,
    /// What the receiving guest's kernel has dropped meanwhile because it did not come to it.
    backlog: u64,
}

impl fmt::Display for Datagrams<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from {} to {}", self.from.name(), self.to.name())
    }
}

impl<'a> Datagrams<'a> {
    /// Starts a stream to a port of `to`, whose address is `v4`.
    fn start(from: &'a Vm, to: &'a Vm, v4: &str, port: u16) -> Result<Self> {
        to.sh(&format!("sysctl -q net.core.rmem_max={BUFFER} net.core.rmem_default={BUFFER}"))?;
        let backlog = net::backlog_drops(to)?;
        to.start(&format!("receive{port}"), &format!("datagrams receive {port}"))?;
        to.until(&format!("grep -q ':{port:04X} ' /proc/net/udp"), PATIENCE)?;
        from.sh(&format!("rm -f /tmp/stop{port}"))?;
        // Somewhat before what else the guest does, or an emulated processor does not come to so many.
        let send = format!("exec datagrams send {v4}:{port} {RATE} /tmp/stop{port}");
        from.start(&format!("send{port}"), &format!("sh -c 'renice -n -5 -p $$ >/dev/null; {send}'"))?;
        Ok(Self { from, to, port, backlog })
    }

    fn stop(self) -> Result<Ended<'a>> {
        let Self { from, to, port, .. } = self;
        from.sh(&format!("touch /tmp/stop{port}"))?;
        let sent = from.finish(&format!("send{port}"), PATIENCE)?;
        let output = to.finish(&format!("receive{port}"), PATIENCE)?;
        ensure!(output.status == 0, "datagrams {self}: {}, {}", sent.text, output.text);
        ui::line(&format!("     datagrams {self}: {}; {}", sent.text, output.text));
        let arrived = arrived(&output.text);
        let arrived = arrived.with_context(|| format!("a stream ended without counts: {}", output.text))?;
        let backlog = net::backlog_drops(to)? - self.backlog;
        Ok(Ended { stream: self, arrived, backlog })
    }
}

/// Reads `sent 10 received 10 lost 0 ...`.
fn arrived(text: &str) -> Option<Arrived> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let count = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1)?.parse::<u64>().ok()
    };
    Some(Arrived {
        sent: count("sent")?,
        received: count("received")?,
        lost: count("lost")?,
        duplicated: count("duplicated")?,
        reordered: count("reordered")?,
        overrun: count("overrun")?,
    })
}

#[cfg(test)]
mod tests;
