//! `dpdk-testpmd` as both guests of a pair.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::thread::sched_getaffinity;

use super::daemon::Pair;
use super::install;
use crate::console::Console;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(20);
/// How long the frames of one input may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Between two looks at counters of the client.
const PERIOD: Duration = Duration::from_millis(5);
/// Descriptors of the sender's rings: few, so that it goes round them often.
const SENDER_RING: u32 = 128;
/// Descriptors of the receiver's rings. What a scene sends at a time fits in one of them, so that nothing is lost
/// however the processors are shared out.
pub(super) const RECEIVER_RING: u32 = 1024;
/// Bytes of a packet buffer, headroom included: a jumbo frame takes five of the small ones.
const SMALL_BUFFER: u32 = 2176;
const LARGE_BUFFER: u32 = 9600;

/// How the driver uses its rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) packed: bool,
    pub(super) in_order: bool,
    pub(super) mergeable: bool,
    pub(super) vectorised: bool,
}

impl Form {
    fn arguments(self) -> String {
        let Self { packed, in_order, mergeable, vectorised } = self;
        let bits = [packed, in_order, mergeable, vectorised].map(u8::from);
        let [packed, in_order, mergeable, vectorised] = bits;
        format!("packed_vq={packed},in_order={in_order},mrg_rxbuf={mergeable},vectorized={vectorised}")
    }

    /// What the driver says of its receive function when it has this form.
    fn receive_path(self) -> &'static str {
        match self {
            Self { packed: true, vectorised: true, .. } if has_avx512() => "packed ring vectorized Rx path",
            Self { packed: true, mergeable: true, .. } => "packed ring mergeable buffer Rx path",
            Self { packed: true, .. } => "packed ring standard Rx path",
            Self { vectorised: true, .. } => "using vectorized Rx path",
            Self { in_order: true, .. } => "using inorder Rx path",
            Self { mergeable: true, .. } => "using mergeable buffer Rx path",
            _ => "using standard Rx path",
        }
    }
}

/// What DPDK's vectorised packed rings need.
fn has_avx512() -> bool {
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    flags.split_whitespace().any(|flag| flag == "avx512f")
}

/// The files that it reads, by input and queue, and those that it writes, by queue.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) inputs: Vec<Vec<PathBuf>>,
    pub(super) output: Vec<PathBuf>,
    /// It sends its inputs over and over.
    pub(super) endless: bool,
}

/// The running client.
#[derive(Debug)]
pub(super) struct Client {
    console: Console,
    inputs: usize,
}

impl Client {
    /// Starts it, and its ports; they are connected then.
    pub(super) fn start(dir: &Path, pair: Pair, form: Form, files: &Files) -> Result<Self> {
        let mut command = Console::command(install::TESTPMD);
        command.args(arguments(dir, pair, form, files)?).env("RUNTIME_DIRECTORY", path(dir)?);
        let console = Console::start(command, ANSWER)?;
        let mut client = Self { console, inputs: files.inputs.len() };
        client.console.expect(0, &["testpmd>"]).context("dpdk-testpmd does not start")?;
        if form.mergeable {
            for port in [client.sender(), client.sender() + 1] {
                client.console.tell(&format!("port config {port} rx_offload scatter on"))?;
            }
        }
        client.console.ask("port start all", &["\nDone"]).context("the ports do not start")?;
        let said = client.console.said();
        let path = form.receive_path();
        ensure!(said.matches(path).count() == 2, "both ports should have said `{path}`; they said\n{said}");
        // A full ring is waited for, and not a reason to drop.
        client.console.tell("set burst tx delay 1 retry 100000000")?;
        client.console.ask("set fwd io retry", &["forwarding mode with retry"])?;
        Ok(client)
    }

    /// The port that sends; the next ones receive and write.
    fn sender(&self) -> usize {
        self.inputs
    }

    /// Begins to send input number `input`.
    pub(super) fn send(&mut self, input: usize) -> Result<()> {
        let sender = self.sender();
        let ports = format!("set portlist {input},{sender},{},{}", sender + 1, sender + 2);
        self.console.tell(&ports)?;
        self.console.ask("start", &["streams"]).map(drop)
    }

    /// Waits until the receiver has `total` frames since it was started, and ends the sending.
    pub(super) fn await_received(&mut self, total: u64) -> Result<()> {
        let until = Instant::now() + LIMIT;
        let show = format!("show port stats {}", self.sender() + 2);
        loop {
            let said = self.console.ask(&show, &["TX-packets:", "Tx-pps"])?;
            let count = said.split_once("TX-packets:").and_then(|(_, rest)| rest.split_whitespace().next());
            let count: u64 = count.context("the statistics have no number")?.parse()?;
            if count >= total {
                break;
            }
            ensure!(Instant::now() < until, "{count} of {total} frames have come");
            thread::sleep(PERIOD);
        }
        self.console.ask("stop", &["Done."]).map(drop)
    }

    /// Ends it, so that all is written.
    pub(super) fn end(self) -> Result<()> {
        let status = self.console.end("quit")?;
        ensure!(status.success(), "dpdk-testpmd ended with {status}");
        Ok(())
    }
}

fn arguments(dir: &Path, pair: Pair, form: Form, files: &Files) -> Result<Vec<String>> {
    let processors = sched_getaffinity(None)?;
    let processors: Vec<String> =
        (0..1024).filter(|cpu| processors.is_set(*cpu)).map(|cpu| cpu.to_string()).collect();
    let buffer = if form.mergeable { SMALL_BUFFER } else { LARGE_BUFFER };
    let queues = pair.queues;
    let mut all: Vec<String> = vec![format!("--lcores=(0,1)@({})", processors.join(","))];
    // Memory is a memfd of plain pages, and nothing is shared with another process.
    let plain = ["--no-pci", "--no-huge", "--iova-mode=va", "--no-shconf", "--no-telemetry", "-m", "512"];
    all.extend(plain.map(str::to_owned));
    all.extend(["--log-level=pmd.net.virtio.init:info", "--force-max-simd-bitwidth=512"].map(str::to_owned));
    let mut device = |arguments: String| all.push(format!("--vdev={arguments}"));
    for (number, input) in files.inputs.iter().enumerate() {
        let endless = if files.endless { ",infinite_rx=1" } else { "" };
        device(format!("net_pcap{number}{}{endless}", each("rx_pcap", input)?));
    }
    let rings = [SENDER_RING, RECEIVER_RING];
    for (number, (socket, ring)) in pair.sockets().into_iter().zip(rings).enumerate() {
        let socket = dir.join(socket);
        let address = usize::from(pair.first) + number;
        let server = if pair.client_listens { ",server=1" } else { "" };
        device(format!(
            "net_virtio_user{number},path={}{server},queues={queues},queue_size={ring},mac=02:00:00:00:00:{address:02x},{}",
            path(&socket)?,
            form.arguments()
        ));
    }
    device(format!("net_pcap{}{}", files.inputs.len(), each("tx_pcap", &files.output)?));
    all.extend(
        ["--", "-i", "--nb-cores=1", "--total-num-mbufs=8192", "--max-pkt-len=9018"].map(str::to_owned),
    );
    all.extend([format!("--mbuf-size={buffer}"), format!("--rxq={queues}"), format!("--txq={queues}")]);
    let fewer_waits =
        ["--no-lsc-interrupt", "--disable-device-start", "--disable-link-check", "--no-flush-rx"];
    all.extend(fewer_waits.map(str::to_owned));
    Ok(all)
}

/// A key for each file.
fn each(key: &str, files: &[PathBuf]) -> Result<String> {
    files.iter().map(|file| Ok(format!(",{key}={}", path(file)?))).collect()
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
