use std::time::Duration;

use api::types::TopologyView;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::{Load, draw, load_text};

/// Half a second in which alpha sent and received by its VF.
fn load() -> Load {
    let before: TopologyView = serde_json::from_str(include_str!("../topology.json")).unwrap();
    let mut now = before.clone();
    now.vports[0].sent.frames += 1_000_000;
    now.vports[0].sent.octets += 125_000_000;
    now.vports[0].received.frames += 500;
    now.vports[0].drops[0].count += 10;
    now.worker.frames += 2_000_000;
    now.worker.busy_cycles += 125_000;
    Load::between(&before, &now, Duration::from_millis(500))
}

#[test]
fn rates_are_differences_by_time() {
    insta::assert_snapshot!(load_text(&load()));
}

#[test]
fn counters_that_begin_anew_are_no_rates() {
    let now: TopologyView = serde_json::from_str(include_str!("../topology.json")).unwrap();
    let mut before = now.clone();
    before.vports[0].sent.frames = u64::MAX / 2;
    let load = Load::between(&before, &now, Duration::from_secs(1));
    let json = serde_json::to_value(&load).unwrap();
    assert_eq!(json["adapters"][0]["sent"]["mpps"], 0.0);
}

#[test]
fn the_view_fits_a_terminal() {
    let mut terminal = Terminal::new(TestBackend::new(110, 8)).unwrap();
    terminal.draw(|frame| draw(frame, Some(&load()))).unwrap();
    insta::assert_snapshot!(terminal.backend());
    // One that is too small shows less, and that is all.
    let mut terminal = Terminal::new(TestBackend::new(3, 1)).unwrap();
    terminal.draw(|frame| draw(frame, None)).unwrap();
}
