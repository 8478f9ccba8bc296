//! Commands about VMs, their adapters and VFs.

use std::path::PathBuf;
use std::str::FromStr;

use api::types::FailoverTarget;
use clap::Subcommand;
use virt_stack::desired::{AdapterSpec, Name};

use crate::settings::{self, About};

/// `vm`.
#[derive(Debug, Subcommand)]
pub(crate) enum VmCommand {
    /// Lists the VMs, each adapter with its path.
    List,
    /// Shows the VMs, or one of them, with all that is wanted and why adapters have no VF.
    Show {
        /// Name of the VM.
        name: Option<String>,
    },
    /// Adds a VM.
    Add {
        /// Name of the VM.
        #[arg(value_parser = Name::new)]
        name: Name,
        /// QMP socket of its QEMU, by which VFs are plugged and unplugged; without it they are plugged by hand.
        #[arg(long, value_name = "PATH")]
        qmp: Option<PathBuf>,
        /// A network adapter, as in mac=02:00:00:00:00:01,iov-weight=50. Its keys are those of `vm set`, and `name`.
        #[arg(long = "adapter", value_name = "KEY=VALUE,...")]
        adapters: Vec<NewAdapter>,
    },
    /// Changes a VM (qmp=PATH|none) or an adapter of it.
    ///
    /// An unknown key is answered with all that there are and what each takes: words of `Set-VMNetworkAdapter`, of
    /// `ip link set ... vf` and of the configuration.
    Set {
        /// `VM/ADAPTER`; the VM is enough if it has one adapter.
        place: Place,
        #[arg(required = true, value_name = "KEY=VALUE")]
        settings: Vec<String>,
    },
    /// Removes a VM, or an adapter of it. What a VMM uses is not removed.
    Del {
        /// `VM` or `VM/ADAPTER`.
        place: Place,
    },
    /// Adds an adapter.
    #[command(subcommand)]
    Adapter(VmAdapterCommand),
    /// Says why adapters are on their paths, and what would have to change.
    Explain {
        /// `VM` or `VM/ADAPTER`.
        place: Place,
    },
    /// Moves adapters to another path. The guest's connections go on.
    Failover {
        /// `VM` or `VM/ADAPTER`.
        place: Place,
        /// `synthetic`: until another order; `vf`: as soon as its weight gives it one; `auto`: as its weight says.
        #[arg(long, value_name = "synthetic|vf|auto")]
        to: FailoverTarget,
    },
    /// Prints the arguments that attach a QEMU guest.
    QemuArgs {
        /// Name of the VM.
        name: String,
    },
}

/// `vm adapter`.
#[derive(Debug, Subcommand)]
pub(crate) enum VmAdapterCommand {
    /// Adds an adapter to a VM.
    Add {
        /// Name of the VM.
        vm: String,
        /// `mac`, and whatever else `vm set` takes; `name` is its name.
        #[arg(required = true, value_name = "KEY=VALUE")]
        settings: Vec<String>,
    },
}

/// `vf`.
#[derive(Debug, Subcommand)]
pub(crate) enum VfCommand {
    /// Lists the VFs, as Get-NetAdapterSriovVf does.
    List,
    /// Takes a VF from its holder, which stays without until `vm failover --to auto` or `vf`.
    Detach {
        /// Its number.
        number: u16,
    },
    /// Resets a VF that is in use.
    Reset {
        /// Its number.
        number: u16,
    },
}

/// `adapter`.
#[derive(Debug, Subcommand)]
pub(crate) enum AdapterCommand {
    /// Changes the SR-IOV adapter.
    Set {
        /// How many VFs may be given. Those in use are not disturbed.
        #[arg(value_name = "num-vfs=N", value_parser = num_vfs)]
        num_vfs: u16,
    },
}

fn num_vfs(text: &str) -> Result<u16, String> {
    let value = text.strip_prefix("num-vfs=").or_else(|| text.strip_prefix("num_vfs="));
    let number = value.and_then(|value| value.parse().ok());
    number.ok_or_else(|| "it is written as num-vfs=N, as in num-vfs=8".to_owned())
}

/// A VM, or an adapter of one: whether there is such a thing, the daemon knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) vm: String,
    pub(crate) adapter: Option<String>,
}

impl From<&str> for Place {
    fn from(text: &str) -> Self {
        let (vm, adapter) = match text.rsplit_once('/') {
            Some((vm, adapter)) => (vm, Some(adapter.to_owned())),
            None => (text, None),
        };
        Self { vm: vm.to_owned(), adapter }
    }
}

/// An adapter to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewAdapter(pub(crate) AdapterSpec);

impl NewAdapter {
    /// The adapter that `settings` describe.
    pub(crate) fn of(settings: &[String]) -> Result<Self, String> {
        let value = |key: &str| {
            let named = |setting: &&String| setting.split_once('=').is_some_and(|(name, _)| name == key);
            settings.iter().find(named).and_then(|setting| setting.split_once('=')).map(|(_, value)| value)
        };
        let mac = value("mac").ok_or("an adapter needs an address, as in mac=02:00:00:00:00:01")?;
        let mut spec = AdapterSpec::new(settings::mac(mac)?);
        spec.name = value("name").map(Name::new).transpose()?;
        if let Some((one, other)) = settings::contradiction(settings) {
            return Err(format!("{one:?} and {other:?} cannot both be"));
        }
        for setting in settings.iter().filter(|setting| !setting.starts_with("name=")) {
            settings::apply(&mut spec, setting, About::Adapter)
                .map_err(|reason| format!("{setting:?} cannot be set: {reason}"))?;
        }
        Ok(Self(spec))
    }
}

impl FromStr for NewAdapter {
    type Err = String;

    /// Settings with commas between them. What has no `=` belongs to the value before: a list of VLANs has commas.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut settings: Vec<String> = Vec::new();
        for part in text.split(',') {
            match settings.last_mut() {
                Some(last) if !part.contains('=') => *last += &format!(",{part}"),
                _ => settings.push(part.to_owned()),
            }
        }
        Self::of(&settings)
    }
}
