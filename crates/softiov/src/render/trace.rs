//! What would become of a frame.

use std::fmt::Write;

use api::types::{DeliveryView, LossView, StageView, TraceView};

use super::table::table;

pub(super) fn trace_text(view: &TraceView) -> String {
    let mut text = format!("{}\n", view.frame);
    for StageView { title, steps } in &view.stages {
        let _ = writeln!(text, "{title}");
        for step in steps {
            let _ = writeln!(text, "  {step}");
        }
    }
    if let Some(LossView { reason, remedy }) = &view.loss {
        let _ = writeln!(text, "lost: {reason}\n  {remedy}");
        return text;
    }
    let rows =
        view.deliveries.iter().map(|DeliveryView { to, tag, by }| vec![to.clone(), tag.clone(), by.clone()]);
    text + &table(&["Delivered to", "Sees it", "By"], rows)
}
