//! What the commands do: they ask the daemon, and print.

mod adapter;
mod events;
mod network;
mod shell;
mod top;
mod vms;

use std::process::ExitCode;

use api::types::TopologyView;

use crate::cli::{Cli, Command, DatapathCommand, OidCommand};
use crate::{render, run};

/// Does what the command line says.
pub(crate) fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    let client = cli.global.client()?;
    let output = cli.global.output;
    match cli.command {
        Command::Run { config } => run::run(&config)?,
        Command::Show => render::topology(&client.get("/v1/topology")?, output)?,
        Command::Switch { name } => network::switch(&client, name.as_deref(), output)?,
        Command::Port(args) => network::port(&client, args, output)?,
        Command::Fdb(args) => network::fdb(&client, args, output)?,
        Command::Acl(args) => network::acl(&client, args, output)?,
        Command::Queue => render::queues(&client.get::<TopologyView>("/v1/topology")?.queues, output)?,
        Command::Capture(args) => network::capture(&client, &args)?,
        Command::Trace(args) => network::trace(&client, args, output)?,
        Command::Vf { command } => adapter::vf(&client, command.as_ref(), output)?,
        Command::Vport { id } => adapter::vport(&client, id, output)?,
        Command::Filter => adapter::filter(&client, output)?,
        Command::Adapter(command) => adapter::change(&client, &command, output)?,
        Command::Oid(OidCommand::Request { request }) => return adapter::oid(&client, request, output),
        Command::Oid(OidCommand::Trace { file }) => adapter::record_oids(&client, file, output)?,
        Command::Pci(command) => adapter::pci(&client, &command, output)?,
        Command::Datapath(DatapathCommand::Rebuild) => {
            render::text(&client.post("/v1/datapath/rebuild", &())?, output)?;
        }
        Command::Vm { command } => vms::vm(&client, command, output)?,
        Command::Apply { file, dry_run } => vms::apply(&client, &file, dry_run, output)?,
        Command::Events { since, follow } => events::events(&client, since, follow, output)?,
        Command::Metrics => render::text(&api::types::TextView { text: client.text("/metrics")? }, output)?,
        Command::Top { interval, count } => top::top(&client, interval, count, output)?,
        Command::Completions { shell } => shell::completions(shell)?,
        Command::Man { folder } => shell::man(&folder)?,
    }
    Ok(ExitCode::SUCCESS)
}
