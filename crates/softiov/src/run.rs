//! `softiov run`.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::control::{ControlSocket, SOCKET};
use crate::daemon::{Daemon, RuntimeDir, limit_panic_messages};
use crate::render;

/// Runs the daemon until a signal ends it.
pub(crate) fn run(path: &Path) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_env("SOFTIOV_LOG");
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| "info".into()))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    limit_panic_messages();
    let config = Config::load(path)?;
    let socket = config.daemon.runtime_dir.join(SOCKET);
    let vms = config.vms.len();
    // Both before anything is made: they say whether another daemon is there. Dropped in the reverse order.
    let _claim = RuntimeDir::claim(&config.daemon.runtime_dir)?;
    let control = ControlSocket::bind(&socket)?;
    let daemon = Arc::new(Daemon::start(config)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
        let end = async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        render::ready(vms, &socket)?;
        control.serve(daemon, end).await
    })
}
