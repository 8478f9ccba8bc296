//! The Debian mirror that this machine is configured to use.

use std::fs;
use std::path::Path;

const DEFAULT: &str = "http://deb.debian.org/debian";

/// The first mirror of the Debian archive in apt's sources.
pub(super) fn configured() -> String {
    let mut files = vec![Path::new("/etc/apt/sources.list").to_path_buf()];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .find_map(|text| in_sources(&text))
        .unwrap_or_else(|| DEFAULT.to_owned())
}

/// The first mirror in a `.list` or `.sources` file. Others (security, third parties) do not end in `/debian`.
pub(super) fn in_sources(text: &str) -> Option<String> {
    text.lines()
        .filter(|line| line.starts_with("deb ") || line.starts_with("URIs:"))
        .flat_map(str::split_whitespace)
        .map(|word| word.trim_end_matches('/'))
        .find(|word| word.starts_with("http") && word.ends_with("/debian"))
        .map(str::to_owned)
}
