use super::*;

#[test]
fn the_closing_line_is_read_as_it_is_written() {
    for tally in [Tally::default(), Tally::new(12, 0), Tally::new(0, 3)] {
        assert_eq!(Tally::parse(&tally.to_string()), Some(tally));
    }
    for other in ["", "12 passed", "passed, failed", "12 passed, x failed", "12 passed, 1 failed, 2 skipped"]
    {
        assert_eq!(Tally::parse(other), None, "{other:?}");
    }
}
