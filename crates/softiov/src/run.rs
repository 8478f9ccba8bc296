//! `softiov run`.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use api::{Limits, SOCKET, Sockets};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
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
    // Both before anything is made: they say whether another daemon is there. Dropped in the reverse order.
    let _claim = RuntimeDir::claim(&config.daemon.runtime_dir)?;
    let sockets = Sockets::bind(&socket, &config.api)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let daemon = Arc::new(Daemon::start(config, runtime.handle().clone())?);
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
        let leaving = Arc::clone(&daemon);
        let end = async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            // VMMs are spoken with by tasks here, so that this waits elsewhere. If it panicked, the log says so.
            let _ = tokio::task::spawn_blocking(move || leaving.farewell()).await;
        };
        render::ready(daemon.number_of_vms(), &socket, sockets.tcp_address())?;
        Ok(sockets.serve(Arc::clone(&daemon) as Arc<_>, Limits::default(), end).await?)
    })
}
