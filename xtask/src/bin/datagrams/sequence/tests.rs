use super::*;

fn counts(numbers: impl IntoIterator<Item = u64>, sent: u64) -> String {
    let mut sequence = Sequence::default();
    numbers.into_iter().for_each(|number| sequence.take(number));
    sequence.counts(sent)
}

#[test]
fn what_became_of_a_stream_is_counted() {
    for (numbers, sent, expected) in [
        (vec![0, 1, 2], 3, "sent 3 received 3 lost 0 duplicated 0 reordered 0 missing none"),
        (vec![], 2, "sent 2 received 0 lost 2 duplicated 0 reordered 0 missing 0-1"),
        (vec![0, 3, 4, 6], 8, "sent 8 received 4 lost 4 duplicated 0 reordered 0 missing 1-2,5-5,7-7"),
        (vec![0, 1, 1, 0, 2], 3, "sent 3 received 3 lost 0 duplicated 2 reordered 0 missing none"),
        (vec![0, 2, 1, 4, 3], 5, "sent 5 received 5 lost 0 duplicated 0 reordered 2 missing none"),
        (vec![1, 0, 0], 3, "sent 3 received 2 lost 1 duplicated 1 reordered 1 missing 2-2"),
    ] {
        assert_eq!(counts(numbers.clone(), sent), expected, "{numbers:?}");
    }
}

#[test]
fn numbers_across_the_words_of_the_set_are_told_apart() {
    let counts = counts((0..1000).filter(|number| number % 64 != 63), 1000);
    assert!(counts.starts_with("sent 1000 received 985 lost 15 "), "{counts}");
    assert!(
        counts.ends_with(" missing 63-63,127-127,191-191,255-255,319-319,383-383,447-447,511-511"),
        "{counts}"
    );
}

#[test]
fn a_number_beyond_all_reason_takes_no_memory() {
    assert!(counts([0, u64::MAX, MOST], 1).starts_with("sent 1 received 1 lost 0 "));
}
