//! softiov: SR-IOV networking for virtual machines, on hosts without SR-IOV hardware. Daemon and command line.
#![forbid(unsafe_code)]

mod capture_file;
mod cli;
mod commands;
mod config;
mod control;
mod daemon;
mod render;
mod run;
mod view;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, DatapathCommand, FunctionName, OidCommand, PciCommand, VmCommand};
use crate::control::client::Client;
use crate::view::{OidView, TextView, TopologyView};

fn main() -> ExitCode {
    match execute(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            render::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    let client = Client::new(cli.global.control.clone());
    let output = cli.global.output;
    match cli.command {
        Command::Run { config } => run::run(&config)?,
        Command::Show => render::topology(&client.get("/v1/topology")?, output)?,
        Command::Switch { name } => commands::switch(&client, name.as_deref(), output)?,
        Command::Port(args) => commands::port(&client, args, output)?,
        Command::Fdb(args) => commands::fdb(&client, args, output)?,
        Command::Acl(args) => commands::acl(&client, args, output)?,
        Command::Queue => render::queues(&client.get::<TopologyView>("/v1/topology")?.queues, output)?,
        Command::Capture(args) => commands::capture(&client, &args)?,
        Command::Trace(args) => commands::trace(&client, args, output)?,
        Command::Vf => render::vfs(&client.get::<TopologyView>("/v1/topology")?.vfs, output)?,
        Command::Vport { id } => {
            let mut vports = client.get::<TopologyView>("/v1/topology")?.vports;
            if let Some(id) = id {
                let known: Vec<String> = vports.iter().map(|v| v.vport_id.to_string()).collect();
                vports.retain(|v| v.vport_id == id);
                anyhow::ensure!(
                    !vports.is_empty(),
                    "VPort {id} does not exist; there are {}",
                    known.join(", ")
                );
                render::vport(&vports[0], output)?;
            } else {
                render::vports(&vports, output)?;
            }
        }
        Command::Filter => {
            let vports = client.get::<TopologyView>("/v1/topology")?.vports;
            render::filters(&vports.into_iter().flat_map(|v| v.filters).collect::<Vec<_>>(), output)?;
        }
        Command::Oid(OidCommand::Request { request }) => {
            // A name alone need not be quoted.
            let json = serde_json::from_str(&request).unwrap_or(serde_json::Value::String(request));
            let answer: OidView = client.post("/v1/oid", &json)?;
            render::oid(&answer, output)?;
            if answer.status != "SUCCESS" {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Oid(OidCommand::Trace { file }) => {
            let file = file.map(std::path::absolute).transpose()?;
            render::text(&client.post::<TextView>("/v1/trace", &file)?, output)?;
        }
        Command::Pci(PciCommand::Dump { function }) => {
            let name = match function {
                FunctionName::Pf => "pf".to_owned(),
                FunctionName::Vf { number } => number.to_string(),
            };
            render::text(&client.get::<TextView>(&format!("/v1/pci/{name}"))?, output)?;
        }
        Command::Vm(VmCommand::QemuArgs { name }) => {
            let path = format!("/v1/vm/{}/qemu-args", Client::segment(&name));
            render::arguments(&client.get::<Vec<String>>(&path)?, output)?;
        }
        Command::Datapath(DatapathCommand::Rebuild) => {
            render::text(&client.post::<TextView>("/v1/datapath/rebuild", &())?, output)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
