use super::*;

#[test]
fn summary_of_a_clean_run_counts_the_passed_tests() {
    let line = "     Summary [   0.031s] 12 tests run: 12 passed (1 slow), 3 skipped";
    assert_eq!(nextest_summary(line), Some(Tally::new(12, 0)));
}

#[test]
fn summary_counts_failures_of_every_kind() {
    let line =
        "     Summary [   9.000s] 12 tests run: 8 passed, 2 failed, 1 timed out, 1 exec failed, 0 skipped";
    assert_eq!(nextest_summary(line), Some(Tally::new(8, 4)));
}

#[test]
fn other_lines_are_no_summary() {
    assert_eq!(nextest_summary("        PASS [   0.004s] ethernet checksum::tests::rfc1071"), None);
}
