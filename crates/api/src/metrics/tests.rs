use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;

/// A sample: name, labels, value.
type Sample = (String, BTreeMap<String, String>, f64);

/// What a strict reader of the older text format makes of it: the kinds and help texts of families, and samples.
#[derive(Debug, Default)]
struct Read {
    kinds: BTreeMap<String, String>,
    helps: BTreeMap<String, String>,
    samples: Vec<Sample>,
}

/// Reads lines that are described before they come, each family in one piece, no sample twice.
fn read(text: &str) -> Read {
    assert!(text.ends_with('\n'));
    let mut read = Read::default();
    let (mut family, mut done) = (String::new(), BTreeSet::new());
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(
                !help.is_empty() && read.helps.insert(name.to_owned(), help.to_owned()).is_none(),
                "{line}"
            );
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a kind");
            assert!(matches!(kind, "counter" | "gauge" | "histogram"), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(read.helps.contains_key(name), "{line}: described first");
            assert!(read.kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}: twice");
            assert!(done.insert(std::mem::replace(&mut family, name.to_owned())), "{line}: in two pieces");
        } else {
            let sample = sample(line);
            let own = match read.kinds.get(&family).map(String::as_str) {
                Some("histogram") => {
                    ["_bucket", "_sum", "_count"].iter().any(|s| sample.0 == format!("{family}{s}"))
                }
                _ => sample.0 == family,
            };
            assert!(own, "{line}: under {family}");
            assert!(seen.insert(format!("{:?}", (&sample.0, &sample.1))), "{line}: twice");
            read.samples.push(sample);
        }
    }
    read
}

fn sample(line: &str) -> Sample {
    let name_end = line.find(['{', ' ']).expect("a value");
    let (name, mut rest) = line.split_at(name_end);
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    assert!(name.starts_with("softiov_") && name.chars().all(word), "{line}");
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (key, value) = rest.split_once("=\"").expect("a label");
            assert!(!key.is_empty() && key.chars().all(word), "{line}");
            let (value, behind) = quoted(value);
            assert!(labels.insert(key.to_owned(), value).is_none(), "{line}");
            rest = behind.strip_prefix(',').unwrap_or(behind);
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').expect("a blank").parse().expect("a number");
    (name.to_owned(), labels, value)
}

/// The text until the closing quote, and what is behind that.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next().expect("something behind the backslash").1 {
                'n' => value.push('\n'),
                c @ ('\\' | '"') => value.push(c),
                c => panic!("\\{c} is nothing"),
            },
            c => value.push(c),
        }
    }
    panic!("{text:?} has no closing quote")
}

fn snapshot() -> MetricsSnapshot {
    let traffic = |n| TrafficMetrics {
        sent_frames: n,
        sent_bytes: n * 100,
        received_frames: n + 1,
        received_bytes: u64::MAX,
        drops: vec![("egress:acl".into(), n), ("no_room".into(), n + 1)],
    };
    let adapter = |adapter: &str, path, n| AdapterMetrics {
        vm: "alpha".to_owned(),
        adapter: adapter.to_owned(),
        path,
        traffic: traffic(n),
    };
    let mut failovers =
        FailoverMetrics { by_cause: vec![("driver_up".into(), 3)], held_frames: 8, ..Default::default() };
    for millis in [1, 30, 20_000] {
        failovers.duration.observe(Duration::from_millis(millis));
    }
    MetricsSnapshot {
        adapters: vec![
            adapter("net0", MetricPath::Vf, 1),
            adapter("net0", MetricPath::Synthetic, 2),
            adapter("a \"name\" with \\ and\nmore", MetricPath::Queue, 3),
        ],
        vports: vec![VPortMetrics {
            vport: 0,
            vm: String::new(),
            adapter: String::new(),
            traffic: traffic(4),
        }],
        uplink: traffic(5),
        workers: vec![WorkerMetrics { frames: 6, busy_cycles: 7, sleeps: 8 }, WorkerMetrics::default()],
        vfs_enabled: 8,
        vfs_used: 1,
        failovers,
    }
}

fn value(read: &Read, name: &str, labels: &[(&str, &str)]) -> f64 {
    let labels: BTreeMap<_, _> =
        labels.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    let found = read.samples.iter().find(|(n, l, _)| n == name && *l == labels);
    found.unwrap_or_else(|| panic!("no {name} {labels:?} in {:#?}", read.samples)).2
}

#[test]
fn a_strict_reader_finds_each_number_under_its_labels() {
    let read = read(&classic(snapshot()));
    let vf = [("vm", "alpha"), ("adapter", "net0"), ("path", "vf")];
    let queue = [("vm", "alpha"), ("adapter", "a \"name\" with \\ and\nmore"), ("path", "queue")];
    assert_eq!(value(&read, "softiov_adapter_sent_frames_total", &vf), 1.0);
    assert_eq!(value(&read, "softiov_adapter_sent_bytes_total", &queue), 300.0);
    let dropped = [("vm", "alpha"), ("adapter", "net0"), ("path", "synthetic"), ("reason", "no_room")];
    assert_eq!(value(&read, "softiov_adapter_dropped_frames_total", &dropped), 3.0);
    let vport = [("vport", "0"), ("vm", ""), ("adapter", "")];
    assert_eq!(value(&read, "softiov_vport_received_frames_total", &vport), 5.0);
    assert_eq!(value(&read, "softiov_uplink_sent_frames_total", &[]), 5.0);
    assert_eq!(value(&read, "softiov_worker_busy_cycles_total", &[("worker", "0")]), 7.0);
    assert_eq!(value(&read, "softiov_worker_sleeps_total", &[("worker", "1")]), 0.0);
    assert_eq!(value(&read, "softiov_vfs_enabled", &[]), 8.0);
    assert_eq!(value(&read, "softiov_failovers_total", &[("cause", "driver_up")]), 3.0);
    assert_eq!(value(&read, "softiov_failover_held_frames_total", &[]), 8.0);
    assert_eq!(read.kinds.len(), read.helps.len());
}

#[test]
fn buckets_hold_all_that_is_below_their_bound() {
    let read = read(&classic(snapshot()));
    let bucket = |bound| value(&read, "softiov_failover_duration_seconds_bucket", &[("le", bound)]);
    for (bound, count) in
        [("0.0005", 0.0), ("0.001", 1.0), ("0.025", 1.0), ("0.05", 2.0), ("10.0", 2.0), ("+Inf", 3.0)]
    {
        assert_eq!(bucket(bound), count, "{bound}");
    }
    assert_eq!(value(&read, "softiov_failover_duration_seconds_count", &[]), 3.0);
    assert!((value(&read, "softiov_failover_duration_seconds_sum", &[]) - 20.031).abs() < 1e-9);
    assert_eq!(value(&read, "softiov_failover_gap_seconds_bucket", &[("le", "+Inf")]), 0.0);
}

#[test]
fn both_formats_have_the_same_samples_and_open_metrics_ends_with_its_mark() {
    let samples = |text: String| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    };
    let open = open_metrics(snapshot());
    assert!(open.ends_with("# EOF\n"));
    assert!(
        open.contains("# TYPE softiov_adapter_sent_bytes counter\n# UNIT softiov_adapter_sent_bytes bytes\n")
    );
    assert_eq!(samples(open), samples(classic(snapshot())));
}

#[test]
fn nothing_counted_is_a_text_as_well() {
    let read = read(&classic(MetricsSnapshot::default()));
    assert_eq!(value(&read, "softiov_vfs_used", &[]), 0.0);
    assert!(read.samples.iter().all(|(_, labels, _)| !labels.contains_key("vm")));
}
