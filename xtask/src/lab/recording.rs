//! softiov's captures, and what the programs that others wrote read in them.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::daemon::Daemon;
use super::deadline::{PATIENCE, await_that};
use super::sandbox;
use super::scene::Lab;
use super::vm::Killed;
use crate::process;

/// A capture that runs.
pub(super) struct Recording {
    process: Killed,
    record: Record,
}

/// A file that a capture has written, or still writes. It has the same path for the daemon and in the Debian root.
pub(super) struct Record {
    file: String,
}

/// What tshark says of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) interface: String,
    pub(super) way: Way,
    /// Why the frame was lost, or nothing.
    pub(super) comment: String,
}

/// Which way a frame went, from the side of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    In,
    Out,
}

impl Recording {
    /// Starts `softiov capture` with these arguments and a file of this name, and waits until it has begun.
    pub(super) fn start(lab: &Lab, daemon: &Daemon, name: &str, arguments: &[&str]) -> Result<Self> {
        let file = format!("{}/{name}.pcapng", lab.dir());
        let process = daemon.spawn(&[&["capture"], arguments, &["-w", &file]].concat())?;
        await_that(|| Ok(fs::metadata(&file).is_ok_and(|file| file.len() > 0)))
            .with_context(|| format!("the capture of {arguments:?} does not begin"))?;
        Ok(Self { process, record: Record { file } })
    }

    /// Waits until tcpdump reads at least so many frames that match `filter`.
    pub(super) fn await_frames(&self, filter: &str, least: usize) -> Result<()> {
        await_that(|| Ok(self.record.frames(filter)? >= least))
            .with_context(|| format!("{} has fewer than {least} frames `{filter}`", self.record.file))
    }

    /// Interrupts the capture as Ctrl-C does, which completes the file.
    pub(super) fn end(mut self) -> Result<Record> {
        kill_process(Pid::from_child(&self.process.0), Signal::INT)?;
        let ended = process::wait_until(&mut self.process.0, Instant::now() + PATIENCE)?;
        ensure!(
            ended.is_some_and(|status| status.success()),
            "a capture that is interrupted ends with {ended:?}"
        );
        Ok(self.record)
    }
}

impl Record {
    /// How many frames tcpdump reads that match `filter`, in the language of libpcap.
    pub(super) fn frames(&self, filter: &str) -> Result<usize> {
        let mut tcpdump = sandbox::chroot("tcpdump");
        let text = process::capture(tcpdump.args(["-Z", "root", "-r", &self.file, "--count", filter]))?;
        let count = text.split_whitespace().next().and_then(|count| count.parse().ok());
        count.with_context(|| format!("tcpdump counts `{text}`"))
    }

    /// The frames that tshark reads and that match `filter`, in the language of Wireshark.
    pub(super) fn seen(&self, filter: &str) -> Result<Vec<Seen>> {
        let mut tshark = sandbox::chroot("tshark");
        tshark.args(["-n", "-r", &self.file, "-Y", filter, "-T", "fields"]);
        for field in ["frame.interface_name", "frame.packet_flags_direction", "frame.comment"] {
            tshark.args(["-e", field]);
        }
        process::capture(&mut tshark)?.lines().map(seen).collect()
    }
}

/// Reads a line of tshark's: interface, direction as pcapng numbers it, comment, with tabs between them.
fn seen(line: &str) -> Result<Seen> {
    let mut fields = line.split('\t');
    let mut field = || fields.next().with_context(|| format!("tshark leaves a field out: `{line}`"));
    let (interface, direction, comment) = (field()?, field()?, field()?);
    let way = match direction.trim_start_matches("0x").trim_start_matches('0') {
        "1" => Way::In,
        "2" => Way::Out,
        _ => bail!("tshark reads `{direction}` as the direction of a frame: `{line}`"),
    };
    Ok(Seen { interface: interface.to_owned(), way, comment: comment.to_owned() })
}
