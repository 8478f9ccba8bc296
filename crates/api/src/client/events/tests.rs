use proptest::prelude::*;

use super::{Lines, MAX_LINE, Notice, notice};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lines_are_the_same_wherever_the_stream_is_cut(
        lines in prop::collection::vec("[a-z:]{0,9}", 0..8),
        cuts in prop::collection::vec(1_usize..7, 1..40),
    ) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let (mut rest, mut reader, mut read) = (text.as_bytes(), Lines::default(), Vec::new());
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (part, behind) = rest.split_at((*cut).min(rest.len()));
            reader.take(part).unwrap();
            while let Some(line) = reader.next() {
                read.push(line);
            }
            rest = behind;
        }
        prop_assert_eq!(read, lines);
    }
}

#[test]
fn a_line_without_an_end_is_not_kept_for_ever() {
    let mut lines = Lines::default();
    let mut taken = 0;
    while lines.take(&[b'x'; 65_536]).is_ok() {
        taken += 65_536;
        assert!(taken <= 2 * MAX_LINE);
        assert_eq!(lines.next(), None);
    }
}

#[test]
fn comments_are_remarks_and_keep_alives_are_nothing() {
    assert_eq!(notice(": bye").unwrap(), Some(Notice::Remark("bye".to_owned())));
    for line in ["", ":", "id: 5", "retry: 1", "event: x"] {
        assert_eq!(notice(line).unwrap(), None, "{line}");
    }
    assert!(notice("data: {").is_err());
}
