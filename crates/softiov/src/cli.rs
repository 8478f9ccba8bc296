//! The command line.

mod frames;
mod network;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::frames::{CaptureArgs, TraceArgs};
pub(crate) use self::network::{AclArgs, AclCommand, FdbArgs, FdbCommand, PROTOCOLS, PortArgs, PortCommand};

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
    /// Lists the VFs, as Get-NetAdapterSriovVf does.
    Vf,
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
    /// Helps to run virtual machines.
    #[command(subcommand)]
    Vm(VmCommand),
    /// Looks after the data path.
    #[command(subcommand)]
    Datapath(DatapathCommand),
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
pub(crate) enum VmCommand {
    /// Prints the arguments that attach a QEMU guest.
    QemuArgs {
        /// Name of the VM.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DatapathCommand {
    /// Drops the data path and builds it anew from the fd store and the state pages. Guests notice a pause.
    Rebuild,
}
