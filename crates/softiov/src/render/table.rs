//! Tables.

use std::fmt::Write;

/// Columns as wide as their widest cell.
pub(super) fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let head: Vec<String> = header.iter().map(|&cell| cell.to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

/// A cell that may be empty.
pub(super) fn or_dash(cell: Option<impl ToString>) -> String {
    cell.map(|cell| cell.to_string()).filter(|cell| !cell.is_empty()).unwrap_or_else(|| "-".to_owned())
}
