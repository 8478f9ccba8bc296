//! What is shown: each form of split and of packed rings, with one queue pair and with two, whoever listens.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::client::{Client, Files, Form};
use super::daemon::{Counts, Daemon, Pair};
use super::frames::{self, Route};
use super::pcap;

/// Frames that are sent at a time. In buffers of 2 KiB they take 980, less than a receive ring has.
const FRAMES: u32 = 420;
/// How often that many are sent: the rings are gone round.
const TIMES: u32 = 3;

/// A form of the rings, and how the client connects.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) name: &'static str,
    form: Form,
    queues: u16,
    client_listens: bool,
    /// Another client is killed in the midst of its traffic before.
    killed_before: bool,
}

const SPLIT: Form = Form { packed: false, in_order: false, mergeable: false, vectorised: false };
const PACKED: Form = Form { packed: true, ..SPLIT };

pub(super) const ALL: [Scene; 8] = [
    Scene {
        name: "split, mergeable, two queues, killed before",
        form: Form { mergeable: true, ..SPLIT },
        queues: 2,
        client_listens: false,
        killed_before: true,
    },
    Scene {
        name: "split, whole buffers, client listens",
        form: SPLIT,
        queues: 1,
        client_listens: true,
        killed_before: false,
    },
    Scene {
        name: "split, in order, mergeable",
        form: Form { in_order: true, mergeable: true, ..SPLIT },
        queues: 1,
        client_listens: false,
        killed_before: false,
    },
    Scene {
        name: "split, vectorised",
        form: Form { vectorised: true, ..SPLIT },
        queues: 1,
        client_listens: false,
        killed_before: false,
    },
    Scene {
        name: "packed, mergeable, client listens, killed before",
        form: Form { mergeable: true, ..PACKED },
        queues: 1,
        client_listens: true,
        killed_before: true,
    },
    Scene {
        name: "packed, whole buffers, two queues, client listens",
        form: PACKED,
        queues: 2,
        client_listens: true,
        killed_before: false,
    },
    Scene {
        name: "packed, in order, mergeable",
        form: Form { in_order: true, mergeable: true, ..PACKED },
        queues: 1,
        client_listens: false,
        killed_before: false,
    },
    Scene {
        name: "packed, in order, vectorised, two queues",
        form: Form { in_order: true, vectorised: true, ..PACKED },
        queues: 2,
        client_listens: false,
        killed_before: false,
    },
];

/// The adapters that the scenes need.
pub(super) fn pairs() -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::new();
    for scene in &ALL {
        if !pairs.iter().any(|pair| scene.is_on(*pair)) {
            let first = pairs.last().map_or(1, |last| last.first + 2);
            pairs.push(Pair { first, client_listens: scene.client_listens, queues: scene.queues });
        }
    }
    pairs
}

impl Scene {
    fn is_on(&self, pair: Pair) -> bool {
        (pair.client_listens, pair.queues) == (self.client_listens, self.queues)
    }

    /// Sends all frames, and checks what arrives.
    pub(super) fn run(&self, daemon: &Daemon) -> Result<()> {
        let pair = pairs().into_iter().find(|pair| self.is_on(*pair)).context("the scene has a pair")?;
        if self.killed_before {
            self.kill_one(daemon, pair).context("with the client that is killed")?;
        }
        let route = Route { from: pair.first, to: pair.first + 1 };
        let sent: Vec<Vec<u8>> = (0..FRAMES * TIMES).map(|number| frames::make(number, route)).collect();
        let files = self.files(daemon.dir(), &sent)?;
        let before = daemon.counts(pair)?;
        let mut client = self.client(daemon, pair, &files)?;
        for (input, total) in (1..=u64::from(TIMES)).map(|time| time * u64::from(FRAMES)).enumerate() {
            client.send(input)?;
            client.await_received(total).with_context(|| match daemon.counts(pair) {
                Ok(now) => format!("before, the daemon counted {before:?}, and now {now:?}"),
                Err(error) => format!("{error:#}"),
            })?;
        }
        client.end()?;
        let after = self.await_disconnected(daemon, pair)?;
        let arrived: Vec<_> = files.output.iter().map(|file| pcap::read(file)).collect::<Result<_>>()?;
        frames::check(&sent, &arrived)?;
        check_counts(&sent, before, after)
    }

    fn client(&self, daemon: &Daemon, pair: Pair, files: &Files) -> Result<Client> {
        if self.client_listens {
            // A client that was killed left its sockets, and the next one would not replace them.
            for socket in pair.sockets() {
                let _ = fs::remove_file(daemon.dir().join(socket));
            }
        }
        let client = Client::start(daemon.dir(), pair, self.form, files)?;
        let rings = 2 * u64::from(self.queues);
        daemon.await_counts(pair, "running rings", |counts| counts.iter().all(|one| one.rings == rings))?;
        // What the client said before this is known to the daemon after one more answer.
        daemon.counts(pair)?;
        Ok(client)
    }

    /// Kills a client in the midst of its traffic.
    fn kill_one(&self, daemon: &Daemon, pair: Pair) -> Result<()> {
        let route = Route { from: pair.first, to: pair.first + 1 };
        let sent: Vec<Vec<u8>> = (0..64).map(|number| frames::make_short(number, route)).collect();
        let mut files = self.files(daemon.dir(), &sent)?;
        files.inputs.truncate(1);
        files.endless = true;
        let before = daemon.counts(pair)?;
        let mut client = self.client(daemon, pair, &files)?;
        client.send(0)?;
        let traffic = |counts: &[Counts; 2]| counts[1].received > before[1].received + 1000;
        daemon.await_counts(pair, "traffic", traffic)?;
        drop(client);
        self.await_disconnected(daemon, pair).map(drop)
    }

    fn await_disconnected(&self, daemon: &Daemon, pair: Pair) -> Result<[Counts; 2]> {
        daemon.await_counts(pair, "the end of both connections", |counts| {
            counts.iter().all(|one| !one.connected)
        })
    }

    /// Writes the frames to files: of each input, every queue has the frames of its flows.
    fn files(&self, dir: &Path, sent: &[Vec<u8>]) -> Result<Files> {
        let queues = usize::from(self.queues);
        let name = |kind: &str, queue: usize| dir.join(format!("{kind}-{queue}.pcap"));
        let numbered: Vec<(u32, &Vec<u8>)> = (0..).zip(sent).collect();
        let mut inputs = Vec::new();
        for (input, part) in numbered.chunks(FRAMES as usize).enumerate() {
            let files: Vec<PathBuf> = (0..queues).map(|queue| name(&format!("in-{input}"), queue)).collect();
            for (queue, file) in files.iter().enumerate() {
                let own = |number: u32| frames::flow(number) as usize % queues == queue;
                let frames: Vec<_> =
                    part.iter().filter(|(number, _)| own(*number)).map(|(_, frame)| *frame).collect();
                pcap::write(file, &frames)?;
            }
            inputs.push(files);
        }
        let output = (0..queues).map(|queue| name("out", queue)).collect();
        Ok(Files { inputs, output, endless: false })
    }
}

/// Every frame was counted once by the sender and once by the receiver, and none was lost.
fn check_counts(sent: &[Vec<u8>], before: [Counts; 2], after: [Counts; 2]) -> Result<()> {
    let octets: u64 = sent.iter().map(|frame| frame.len() as u64).sum();
    let some = (sent.len() as u64, octets);
    for (who, expected, before, after) in
        [("sender", (some, (0, 0)), before[0], after[0]), ("receiver", ((0, 0), some), before[1], after[1])]
    {
        let sent = (after.sent - before.sent, after.sent_octets - before.sent_octets);
        let received = (after.received - before.received, after.received_octets - before.received_octets);
        ensure!(
            (sent, received) == expected,
            "of the {who}, the daemon counted {sent:?} frames and octets sent and {received:?} received, not {expected:?}"
        );
        ensure!(
            after.lost == before.lost,
            "of the {who}, the daemon counted {} lost",
            after.lost - before.lost
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
