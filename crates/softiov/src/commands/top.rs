//! What `top` does: it looks again and again, and shows the difference.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use api::Client;
use api::types::TopologyView;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Output;
use crate::render;
use crate::render::top::{self, Load};

/// How often keys and signals are looked at.
const GLANCE: Duration = Duration::from_millis(100);

/// `top`.
pub(super) fn top(client: &Client, interval: f64, count: Option<u64>, output: Output) -> anyhow::Result<()> {
    let mut looks = Looks {
        client,
        interval: Duration::from_secs_f64(interval),
        left: count.unwrap_or(u64::MAX),
        before: look(client)?,
    };
    if output == Output::Json || !io::stdout().is_terminal() {
        return lines(&mut looks, output);
    }
    let ended = ended_by_signal()?;
    let mut terminal = ratatui::try_init()?;
    let shown = show(&mut looks, &mut terminal, &ended);
    // Also after a panic: the library's hook does the same.
    ratatui::restore();
    shown
}

/// Looks at the daemon, each with the one before.
struct Looks<'a> {
    client: &'a Client,
    interval: Duration,
    /// Views that are still to come.
    left: u64,
    before: (Instant, TopologyView),
}

impl Looks<'_> {
    /// When the next look is due.
    fn due(&self) -> Instant {
        self.before.0 + self.interval
    }

    /// What was moved since the last look.
    fn next(&mut self) -> anyhow::Result<Load> {
        let now = look(self.client)?;
        let load = Load::between(&self.before.1, &now.1, now.0 - self.before.0);
        self.before = now;
        self.left -= 1;
        Ok(load)
    }
}

fn look(client: &Client) -> anyhow::Result<(Instant, TopologyView)> {
    let view = client.get("/v1/topology")?;
    Ok((Instant::now(), view))
}

fn lines(looks: &mut Looks<'_>, output: Output) -> anyhow::Result<()> {
    while looks.left > 0 {
        std::thread::sleep(looks.due().saturating_duration_since(Instant::now()));
        if !render::load(&looks.next()?, output)? {
            break;
        }
    }
    Ok(())
}

fn show(
    looks: &mut Looks<'_>,
    terminal: &mut ratatui::DefaultTerminal,
    ended: &AtomicBool,
) -> anyhow::Result<()> {
    let mut load = None;
    while !ended.load(Ordering::Relaxed) {
        terminal.draw(|frame| top::draw(frame, load.as_ref()))?;
        if looks.left == 0 {
            break;
        }
        let left = looks.due().saturating_duration_since(Instant::now());
        if left.is_zero() {
            load = Some(looks.next()?);
        } else if event::poll(left.min(GLANCE))? && is_end(&event::read()?) {
            break;
        }
    }
    Ok(())
}

/// `q`, Esc or Ctrl-C, which is a key while the terminal is raw.
fn is_end(event: &Event) -> bool {
    let Event::Key(key) = event else { return false };
    let interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc))
}

/// Becomes true when a signal asks this program to end: the terminal is to be restored before it does.
fn ended_by_signal() -> io::Result<Arc<AtomicBool>> {
    let ended = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&ended);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Watched from here on, whenever the thread begins.
    let (mut terminate, mut hang_up, mut interrupt) = {
        let _inside = runtime.enter();
        let watch = |kind| signal(kind);
        (watch(SignalKind::terminate())?, watch(SignalKind::hangup())?, watch(SignalKind::interrupt())?)
    };
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        told.store(true, Ordering::Relaxed);
    })?;
    Ok(ended)
}
