//! Who hears which frames, and how often: captures in guests and namespaces.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::net;
use super::shell::Shell;

/// How long a capture may take to start, to hear what it should, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Length of the ping that ends a capture; no other frame has it.
const LAST_PING: u32 = 777;

/// Where frames are listened to: a place, its device there, and its address.
pub(super) struct Ear<'a> {
    pub(super) place: &'a dyn Shell,
    pub(super) dev: &'a str,
    pub(super) v4: &'a str,
}

impl Ear<'_> {
    /// Listens to what the device receives (not to what it sends) and what matches `filter`.
    pub(super) fn listen(&self, filter: &str) -> Result<()> {
        // In this order: what stands behind a `vlan` is looked for in tagged frames only.
        let tcpdump = format!(
            "tcpdump -Z root --immediate-mode -U -Q in -i {} -w /tmp/ear.pcap '{} or ({filter})'",
            self.dev,
            last_ping()
        );
        self.place.start("ear", &tcpdump)?;
        self.place.until("grep -q 'listening on' /tmp/ear.out", PATIENCE).map(drop)
    }

    /// Waits for a last ping from `by`, before which everything has come that was sent before, and ends the listening.
    pub(super) fn stop(&self, by: &dyn Shell) -> Result<()> {
        net::ping_with(by, &format!("-s {LAST_PING}"), self.v4)?;
        self.end()
    }

    /// Waits until the last ping has been heard, whoever sent it, and ends the listening.
    fn end(&self) -> Result<()> {
        self.place
            .until(&format!("test -n \"$({})\"", read(&last_ping())), PATIENCE)
            .with_context(|| format!("{} did not hear the last ping", self.place.name()))?;
        self.place.sh("kill -INT $(pidof tcpdump)")?;
        self.place.finish("ear", PATIENCE).map(drop)
    }

    /// What was heard that matches `filter`, a line for each frame.
    pub(super) fn heard(&self, filter: &str) -> Result<Vec<String>> {
        let text = self.place.sh(&read(filter))?;
        // What tcpdump cannot decode follows on lines of its own.
        Ok(text.lines().filter(|line| !line.starts_with('\t')).map(str::to_owned).collect())
    }
}

fn last_ping() -> String {
    format!("(icmp[icmptype] == icmp-echo and ip[2:2] == {})", LAST_PING + 28)
}

fn read(filter: &str) -> String {
    format!("tcpdump -Z root -n -e -r /tmp/ear.pcap '{filter}' 2>/dev/null")
}

/// One that sends to all, by a ping of this many requests each: a broadcast, an IPv4 and an IPv6 multicast.
const REQUESTS: usize = 5;
const GROUP: &str = "239.1.2.3";
const GROUP_MAC: &str = "01:00:5e:01:02:03";

/// What the speaker (the first) sends to all, each listener hears exactly once, and the speaker itself not at all.
pub(super) fn each_hears_once(ears: &[Ear<'_>], speaker: usize) -> Result<()> {
    let Ear { place: from, dev, .. } = &ears[speaker];
    let kinds = [
        (
            "broadcast",
            "ip dst 10.0.0.255 and icmp[icmptype] == icmp-echo".to_owned(),
            "-b 10.0.0.255".to_owned(),
        ),
        ("multicast", format!("ip dst {GROUP} and icmp[icmptype] == icmp-echo"), format!("-I {dev} {GROUP}")),
        ("IPv6 multicast", "ip6 dst ff02::1 and ip6[40] == 128".to_owned(), format!("-6 -I {dev} ff02::1")),
    ];
    let all = kinds.iter().map(|(_, filter, _)| format!("({filter})")).collect::<Vec<_>>().join(" or ");
    for ear in ears {
        ear.place.sh(&format!("ip maddr add {GROUP_MAC} dev {} 2>/dev/null; true", ear.dev))?;
        ear.listen(&all)?;
    }
    for (what, _, to) in &kinds {
        // Nobody need answer.
        let output = from.try_sh(&format!("ping -n -q -c {REQUESTS} -i 0.02 -W 0.1 {to}"))?;
        let sent = output.text.contains(&format!("{REQUESTS} packets transmitted"));
        ensure!(sent, "{}: the {what} is not sent: {}", from.name(), output.text);
    }
    for (number, ear) in ears.iter().enumerate() {
        let other = if number == speaker { &ears[(speaker + 1) % ears.len()] } else { &ears[speaker] };
        ear.stop(other.place)?;
        let expected = if number == speaker { 0 } else { REQUESTS };
        for (what, filter, _) in &kinds {
            let heard = ear.heard(filter)?;
            ensure!(
                heard.len() == expected,
                "{} hears {} of {expected} frames of a {what} from {}: {heard:#?}",
                ear.place.name(),
                heard.len(),
                from.name()
            );
        }
    }
    Ok(())
}
