use super::*;

#[test]
fn the_counts_of_a_stream_are_read() {
    let text = "sent 10 received 7 lost 3 duplicated 1 reordered 2 missing 4-6 overrun 2 silence_ms 12";
    assert_eq!(
        arrived(text),
        Some(Arrived { sent: 10, received: 7, lost: 3, duplicated: 1, reordered: 2, overrun: 2 })
    );
    assert_eq!(arrived("sent 10 lost 3"), None);
}
