//! What the commands about switches, ports and frames do.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::Path;

use anyhow::Context;
use api::Client;
use api::client::Appetite;
use api::types::{
    AclRuleView, AddressChange, AddressView, PolicyChange, SwitchView, TopologyView, TraceView,
};

use crate::capture_file::CaptureFile;
use crate::cli::{
    AclArgs, AclCommand, CaptureArgs, FdbArgs, FdbCommand, Output, PortArgs, PortCommand, TraceArgs,
};
use crate::render;

/// `switch`.
pub(crate) fn switch(client: &Client, name: Option<&str>, output: Output) -> anyhow::Result<()> {
    let switches = switches(client, name)?;
    match name {
        Some(_) => Ok(render::switch(&switches[0], output)?),
        None => Ok(render::switches(&switches, output)?),
    }
}

/// `port`.
pub(crate) fn port(client: &Client, args: PortArgs, output: Output) -> anyhow::Result<()> {
    if let Some(PortCommand::Set { adapter, settings }) = args.command {
        return change(client, &adapter, &PolicyChange::Set(settings), output);
    }
    let switches = switches(client, args.switch.as_deref())?;
    let ports: Vec<_> = switches
        .iter()
        .flat_map(|switch| switch.ports.iter().map(|port| (switch.name.as_str(), port)))
        .collect();
    Ok(render::ports(&ports, output)?)
}

/// `fdb`.
pub(crate) fn fdb(client: &Client, args: FdbArgs, output: Output) -> anyhow::Result<()> {
    let path = |switch: &str| format!("/v1/switch/{}/fdb", Client::segment(switch));
    let (switch, change) = match args.command {
        None => {
            let mut all = Vec::new();
            for switch in switches(client, args.switch.as_deref())? {
                all.extend(client.get::<Vec<AddressView>>(&path(&switch.name))?);
            }
            return Ok(render::fdb(&all, output)?);
        }
        Some(FdbCommand::Add { switch, mac, vlan, port }) => {
            (switch, AddressChange { mac, vlan, port: Some(port) })
        }
        Some(FdbCommand::Del { switch, mac, vlan }) => (switch, AddressChange { mac, vlan, port: None }),
    };
    let () = client.post(&path(&switch), &change)?;
    Ok(render::consequences(&[], output)?)
}

/// `acl`.
pub(crate) fn acl(client: &Client, args: AclArgs, output: Output) -> anyhow::Result<()> {
    match args.command {
        Some(AclCommand::Add { adapter, rule }) => {
            change(client, &adapter, &PolicyChange::AddRule(Box::new((*rule).into())), output)
        }
        Some(AclCommand::Del { adapter, index }) => {
            change(client, &adapter, &PolicyChange::RemoveRule(index), output)
        }
        None => {
            let adapter = args.adapter.context("whose ACL? as in `acl VM/ADAPTER`")?;
            let rules: Vec<AclRuleView> =
                client.get(&format!("/v1/port/{}/acl", Client::segment(&adapter)))?;
            Ok(render::acl(&rules, output)?)
        }
    }
}

/// `trace`.
pub(crate) fn trace(client: &Client, args: TraceArgs, output: Output) -> anyhow::Result<()> {
    let view: TraceView = client.post("/v1/trace", &args.request()?)?;
    Ok(render::trace(&view, output)?)
}

/// `capture`.
pub(crate) fn capture(client: &Client, args: &CaptureArgs) -> anyhow::Result<()> {
    let request = args.request()?;
    let to_stdout = args.write.as_deref().is_none_or(|path| path == Path::new("-"));
    anyhow::ensure!(
        !(to_stdout && io::stdout().is_terminal()),
        "a capture is no text: name a file with -w, or pipe it, as in `softiov capture ... | tcpdump -nr -`"
    );
    // Made when the daemon has agreed: a refused capture must not empty the file of an earlier one.
    let mut file: Option<CaptureFile<Box<dyn Write>>> = None;
    let captured = client.capture(&request, |part| {
        let file = match &mut file {
            Some(file) => file,
            none => none.insert(CaptureFile::new(match &args.write {
                Some(path) if !to_stdout => Box::new(
                    std::fs::File::create(path)
                        .with_context(|| format!("cannot write {}", path.display()))?,
                ),
                _ => Box::new(io::stdout()),
            })),
        };
        match file.take(part) {
            Ok(()) => Ok(Appetite::More),
            // Whoever read it has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Appetite::Sated),
            Err(error) => Err(error).context("the capture cannot be written"),
        }
    });
    if let Some(file) = file {
        render::remark(&format!("{} frames captured, {} missed", file.frames(), file.missed()));
    }
    captured
}

fn change(client: &Client, adapter: &str, change: &PolicyChange, output: Output) -> anyhow::Result<()> {
    let path = format!("/v1/port/{}/policy", Client::segment(adapter));
    Ok(render::consequences(&client.post::<Vec<String>>(&path, change)?, output)?)
}

/// The switches, or the one called `name`.
fn switches(client: &Client, name: Option<&str>) -> anyhow::Result<Vec<SwitchView>> {
    let mut switches = client.get::<TopologyView>("/v1/topology")?.switches;
    if let Some(name) = name {
        let known: Vec<String> = switches.iter().map(|switch| switch.name.clone()).collect();
        switches.retain(|switch| switch.name == name);
        anyhow::ensure!(!switches.is_empty(), "there is no switch {name:?}: there are {}", known.join(", "));
    }
    Ok(switches)
}
