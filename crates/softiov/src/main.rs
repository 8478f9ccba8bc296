//! softiov: SR-IOV networking for virtual machines, on hosts without SR-IOV hardware. Daemon and command line.
#![forbid(unsafe_code)]

mod capture_file;
mod cli;
mod commands;
mod config;
mod daemon;
mod render;
mod run;
mod settings;
mod words;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Usage};

/// Exit code if what is typed cannot be meant, as clap has it.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    match commands::execute(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            render::error(&error);
            if error.is::<Usage>() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}
