//! The command line.

mod frames;
mod network;
mod vms;

use std::path::PathBuf;

use api::Client;
use api::client::TcpServer;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::frames::{CaptureArgs, TraceArgs};
pub(crate) use self::network::{AclArgs, AclCommand, FdbArgs, FdbCommand, PROTOCOLS, PortArgs, PortCommand};
pub(crate) use self::vms::{AdapterCommand, NewAdapter, Place, VfCommand, VmAdapterCommand, VmCommand};

/// SR-IOV networking for virtual machines, on hosts without SR-IOV hardware.
#[derive(Debug, Parser)]
#[command(name = "softiov", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: Global,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Control socket of the daemon.
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "SOFTIOV_CONTROL",
        default_value = "/run/softiov/control.sock"
    )]
    pub(crate) control: PathBuf,
    /// A daemon of another host, by TLS, instead of the control socket. Stands before the command, as its files do.
    #[arg(long, value_name = "HOST:PORT", env = "SOFTIOV_TCP", requires_all = ["cert", "key", "ca"])]
    pub(crate) tcp: Option<String>,
    /// This user's certificate for --tcp, PEM.
    #[arg(long, value_name = "FILE", env = "SOFTIOV_CERT")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of the certificate, PEM.
    #[arg(long, value_name = "FILE", env = "SOFTIOV_KEY")]
    pub(crate) key: Option<PathBuf>,
    /// The authority of that daemon's certificate, PEM.
    #[arg(long, value_name = "FILE", env = "SOFTIOV_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// How to print.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the daemon with a configuration, until it is told to end (SIGINT, SIGTERM).
    Run {
        /// The configuration, TOML.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Shows the whole: both data paths, the adapter, its switches, the VMs, counters, drops by reason.
    Show,
    /// Lists the extensible switches; or one, with its ports.
    Switch {
        /// Name of the switch.
        name: Option<String>,
    },
    /// Lists the ports of the extensible switches, or sets their policies.
    Port(PortArgs),
    /// Lists the stations that the extensible switches know, or sets static ones.
    Fdb(FdbArgs),
    /// Lists the rules of an adapter's port ACL with what they have counted, or changes them.
    Acl(AclArgs),
    /// Lists the VM queues of an adapter without SR-IOV, as Get-NetAdapterVmqQueue does.
    Queue,
    /// Captures frames as pcapng, for `tcpdump -r` or Wireshark.
    Capture(CaptureArgs),
    /// Says what would become of a frame, and why. No frame is sent, nothing is counted.
    Trace(TraceArgs),
    /// Lists the VFs, as Get-NetAdapterSriovVf does; or takes one from its holder, or resets it.
    Vf {
        #[command(subcommand)]
        command: Option<VfCommand>,
    },
    /// Lists the VPorts, as Get-NetAdapterVPort does; or one, with its counters.
    Vport {
        /// Number of the VPort.
        id: Option<u32>,
    },
    /// Lists the receive filters.
    Filter,
    /// Issues an OID request, or records all of them.
    #[command(subcommand)]
    Oid(OidCommand),
    /// Looks at PCI functions.
    #[command(subcommand)]
    Pci(PciCommand),
    /// Lists the virtual machines, or changes what is wanted of them.
    Vm {
        #[command(subcommand)]
        command: Option<VmCommand>,
    },
    /// Has a file say which VMs there are to be: all others are removed.
    Apply {
        /// TOML or JSON with `[[vm]]` as in the configuration; `-` is the standard input.
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        /// Only says what it would change.
        #[arg(long)]
        dry_run: bool,
    },
    /// Changes the SR-IOV adapter.
    #[command(subcommand)]
    Adapter(AdapterCommand),
    /// Lists what happened: changes of path with their cost, the lives of VFs, VMMs, changes of what is wanted.
    Events {
        /// Events after the one with this number.
        #[arg(long, value_name = "N", default_value_t = 0)]
        since: u64,
        /// Then goes on with further ones, as they happen.
        #[arg(short, long)]
        follow: bool,
    },
    /// Prints counters and gauges, as Prometheus reads them.
    Metrics,
    /// Shows adapters and what they move, again and again. Lines if the output is no terminal; `q` ends it.
    Top {
        /// Seconds between two views.
        #[arg(short, long, default_value_t = 1.0, value_parser = interval)]
        interval: f64,
        /// Ends after so many views.
        #[arg(short = 'n', long)]
        count: Option<u64>,
    },
    /// Looks after the data path.
    #[command(subcommand)]
    Datapath(DatapathCommand),
    /// Prints what has a shell complete commands.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Writes manual pages, one for each command.
    Man {
        /// The folder for them.
        folder: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum OidCommand {
    /// Issues one request, such as `EnumVfs` or `{"ResetVf":0}`.
    Request {
        /// The request: a name, or JSON where it has parameters.
        request: String,
    },
    /// Records every request and answer into a new file, a JSON object a line.
    Trace {
        /// The file; it must not exist yet. Without one, recording ends.
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PciCommand {
    /// Prints config space in the format that `lspci -F FILE` reads.
    Dump {
        #[command(subcommand)]
        function: FunctionName,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum FunctionName {
    /// The physical function.
    Pf,
    /// A virtual function.
    Vf {
        /// Its number, from 0.
        number: u16,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DatapathCommand {
    /// Drops the data path and builds it anew from the fd store and the state pages. Guests notice a pause.
    Rebuild,
}

impl Global {
    /// The daemon that these name.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let (Some(tcp), Some(cert), Some(key), Some(ca)) = (&self.tcp, &self.cert, &self.key, &self.ca)
        else {
            return Ok(Client::unix(self.control.clone()));
        };
        let address = tcp.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let Some((host, port)) = address else {
            return Err(Usage(format!("{tcp:?} is no HOST:PORT, as in host1:7443")).into());
        };
        let host = host.trim_matches(['[', ']']).to_owned();
        let (ca, cert, key) = (ca.clone(), cert.clone(), key.clone());
        Ok(Client::tcp(TcpServer { host, port, ca, cert, key })?)
    }
}

/// What is typed cannot be meant.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

fn interval(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.ok_or_else(|| "seconds from 0.1 to 3600".to_owned())
}
