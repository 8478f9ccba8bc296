//! What the commands about the SR-IOV adapter do.

use std::path::PathBuf;
use std::process::ExitCode;

use api::Client;
use api::types::{AdapterChange, AdapterView, OidView, TextView, TopologyView, VfView};

use crate::cli::{AdapterCommand, FunctionName, Output, PciCommand, VfCommand};
use crate::render;

/// `vf`.
pub(super) fn vf(client: &Client, command: Option<&VfCommand>, output: Output) -> anyhow::Result<()> {
    let order = |number, what| client.post::<TextView>(&format!("/v1/vfs/{number}/{what}"), &());
    match command {
        None | Some(VfCommand::List) => render::vfs(&client.get::<Vec<VfView>>("/v1/vfs")?, output)?,
        Some(VfCommand::Detach { number }) => render::text(&order(number, "detach")?, output)?,
        Some(VfCommand::Reset { number }) => render::text(&order(number, "reset")?, output)?,
    }
    Ok(())
}

/// `vport`.
pub(super) fn vport(client: &Client, id: Option<u32>, output: Output) -> anyhow::Result<()> {
    let mut vports = client.get::<TopologyView>("/v1/topology")?.vports;
    let Some(id) = id else { return Ok(render::vports(&vports, output)?) };
    let known: Vec<String> = vports.iter().map(|vport| vport.vport_id.to_string()).collect();
    vports.retain(|vport| vport.vport_id == id);
    anyhow::ensure!(!vports.is_empty(), "VPort {id} does not exist; there are {}", known.join(", "));
    Ok(render::vport(&vports[0], output)?)
}

/// `filter`.
pub(super) fn filter(client: &Client, output: Output) -> anyhow::Result<()> {
    let vports = client.get::<TopologyView>("/v1/topology")?.vports;
    let filters: Vec<_> = vports.into_iter().flat_map(|vport| vport.filters).collect();
    Ok(render::filters(&filters, output)?)
}

/// `adapter`.
pub(super) fn change(client: &Client, command: &AdapterCommand, output: Output) -> anyhow::Result<()> {
    let AdapterCommand::Set { num_vfs } = *command;
    let view: AdapterView = client.patch("/v1/adapter", &AdapterChange { num_vfs })?;
    Ok(render::adapter(&view, output)?)
}

/// `oid request`.
pub(super) fn oid(client: &Client, request: String, output: Output) -> anyhow::Result<ExitCode> {
    // A name alone need not be quoted.
    let json = serde_json::from_str(&request).unwrap_or(serde_json::Value::String(request));
    let answer: OidView = client.post("/v1/oid", &json)?;
    render::oid(&answer, output)?;
    Ok(if answer.status == "SUCCESS" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `oid trace`.
pub(super) fn record_oids(client: &Client, file: Option<PathBuf>, output: Output) -> anyhow::Result<()> {
    let file = file.map(std::path::absolute).transpose()?;
    Ok(render::text(&client.post("/v1/oid-trace", &file)?, output)?)
}

/// `pci`.
pub(super) fn pci(client: &Client, command: &PciCommand, output: Output) -> anyhow::Result<()> {
    let name = match command {
        PciCommand::Dump { function: FunctionName::Pf } => "pf".to_owned(),
        PciCommand::Dump { function: FunctionName::Vf { number } } => number.to_string(),
    };
    Ok(render::text(&client.get(&format!("/v1/pci/{name}"))?, output)?)
}
