use std::path::Path;

use super::scan::{self, Line};
use super::{size, unsafe_code};

const NONE: [usize; 0] = [];

fn line(code: &str, comment: &str) -> Line {
    Line { code: code.to_owned(), comment: comment.to_owned() }
}

fn breaches(path: &str, source: &str) -> Vec<usize> {
    unsafe_code::check(Path::new(path), source).into_iter().map(|breach| breach.line).collect()
}

#[test]
fn text_and_comments_are_not_code() {
    let source =
        "let a = \"unsafe // \\\" {\"; // unsafe\nlet b = r#\"x\" unsafe\"#;\n/* a /* b */\nunsafe */ c";
    assert_eq!(
        scan::lines(source),
        [
            line("let a = ; ", "// unsafe"),
            line("let b = ;", ""),
            line("", " a /* b */"),
            line(" c", "unsafe */"),
        ]
    );
}

#[test]
fn characters_and_lifetimes_are_told_apart() {
    let source = r#"fn f<'a>(x: &'a str) -> bool { x.contains('"') || x.contains('\'') || x == "unsafe" }"#;
    let code = &scan::lines(source)[0].code;
    assert!(code.starts_with("fn f<'a>(x: &'a str)"), "{code}");
    assert!(!code.contains("unsafe"), "{code}");
}

#[test]
fn a_text_over_several_lines_stays_a_text() {
    assert_eq!(scan::lines("a(\"x\nunsafe {\n\")")[1], line("", ""));
}

#[test]
fn size_limit_is_600_lines() {
    assert_eq!(size::check(&"\n".repeat(600)), None);
    assert_eq!(size::check(&"\n".repeat(601)).map(|breach| breach.line), Some(601));
}

#[test]
fn unsafe_stands_in_two_crates_only() {
    let source = "// SAFETY: sound.\nunsafe { f() }";
    assert_eq!(breaches("crates/sys/src/map.rs", source), NONE);
    assert_eq!(breaches("crates/guest-memory/src/lib.rs", source), NONE);
    assert_eq!(breaches("crates/ethernet/src/lib.rs", source), [2]);
    assert_eq!(breaches("crates/ethernet/src/lib.rs", "#![expect(unsafe_code, reason = \"x\")]"), [1]);
    assert_eq!(breaches("crates/sys-extra/src/lib.rs", source), [2]);
}

#[test]
fn forbidding_unsafe_is_free() {
    assert_eq!(
        breaches("crates/ethernet/src/lib.rs", "#![forbid(unsafe_code)]\nfn not_unsafe_at_all() {}"),
        NONE
    );
}

#[test]
fn opting_in_needs_its_note() {
    let with = "// UNSAFETY: maps memory.\n#![expect(unsafe_code, reason = \"x\")]";
    assert_eq!(breaches("crates/sys/src/map.rs", with), NONE);
    assert_eq!(
        breaches("crates/sys/src/map.rs", "//! Maps.\n\n#![expect(unsafe_code, reason = \"x\")]"),
        [3]
    );
}

#[test]
fn each_block_needs_its_own_note() {
    let source = "\
// SAFETY: the first.
let a = unsafe { f() };
let b = unsafe { g() };
// SAFETY: the statement
// spans lines.
let c = call(
    unsafe { h() },
);
";
    assert_eq!(breaches("crates/sys/src/map.rs", source), [3]);
}

#[test]
fn declarations_have_docs_instead() {
    let source = "pub unsafe fn f();\nunsafe impl Send for A {}\nunsafe extern \"C\" {}";
    assert_eq!(breaches("crates/sys/src/map.rs", source), [2]);
}
