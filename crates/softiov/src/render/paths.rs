//! A drawing of the two data paths, with the frames that went there.

use api::types::{CountersView, PathView, TopologyView, TrafficView};

/// Inner width of a box.
const BOX: usize = 21;

/// Frames that some ports sent and received.
#[derive(Clone, Copy, Default)]
struct Frames {
    sent: u64,
    received: u64,
}

impl Frames {
    fn of<'a>(traffic: impl Iterator<Item = (&'a TrafficView, &'a TrafficView)>) -> Self {
        traffic.fold(Self::default(), |sum, (sent, received)| Self {
            sent: sum.sent + sent.frames,
            received: sum.received + received.frames,
        })
    }

    fn text(self) -> String {
        format!("sent {} ▼ ▲ received {}", self.sent, self.received)
    }
}

pub(super) fn paths(view: &TopologyView) -> String {
    let adapters = || view.vms.iter().flat_map(|vm| &vm.adapters);
    let on_vf = adapters().filter(|adapter| matches!(adapter.path, PathView::Vf(_))).count();
    let synthetic = adapters().count() - on_vf;
    let both = |counters: &'_ CountersView| (counters.sent, counters.received, counters.direct);
    let switch_side: Vec<_> = adapters()
        .map(|adapter| both(&adapter.synthetic.counters))
        .chain(view.hosts.iter().map(|host| both(&host.counters)))
        .collect();
    let vfs =
        Frames::of(view.vports.iter().filter(|v| v.function_id != "PF").map(|v| (&v.sent, &v.received)));
    let others = Frames::of(switch_side.iter().map(|(sent, received, _)| (sent, received)));
    let direct: u64 = switch_side.iter().map(|(.., direct)| direct).sum();
    let (up, down) = (view.default_vport.received.frames, view.default_vport.sent.frames);
    let wire = &view.uplink.counters;
    let wire = Frames { sent: wire.received.frames, received: wire.sent.frames };
    let joint = [format!(" {up} ▶"), format!("◀ {down} ")];
    let gap = joint.iter().map(|text| text.chars().count()).max().unwrap_or(0) + 4;
    let line = "─".repeat(BOX);
    let column = BOX + 2 + gap;
    let row = |left: &str, right: &str| format!("{left:column$}{right}\n");
    let mut text = row(
        &format!("on VFs: {on_vf}"),
        &format!("synthetic: {synthetic}, of the host: {}", view.hosts.len()),
    );
    text += &row(&vfs.text(), &others.text());
    text += &format!("┌{line}┐{:gap$}┌{line}┐\n", "");
    text += &format!("│{:^BOX$}│{:─>gap$}│{:^BOX$}│\n", "NIC switch", joint[0], "extensible switch");
    text += &format!("│{:^BOX$}│{:─<gap$}│{:^BOX$}│\n", "", joint[1], "");
    text += &format!("└{line}┘{:gap$}└{line}┘\n", "");
    text += &row(&wire.text(), &format!("of these {direct} received by VM queues, past this switch"));
    let up = if view.uplink.link.up { "up" } else { "down" };
    text += &match &view.uplink.interface {
        Some(interface) => format!("uplink {interface}, link {up}\n"),
        None => "no uplink\n".to_owned(),
    };
    text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}
