use super::*;

fn bits(log: &DirtyLog) -> Vec<u64> {
    let words = log.0.as_slice().iter().enumerate();
    let set = words.flat_map(|(n, word)| {
        let word = word.load(Ordering::SeqCst);
        (0..32).filter(move |bit| word >> bit & 1 == 1).map(move |bit| 32 * n as u64 + bit)
    });
    set.collect()
}

#[test]
fn pages_of_a_range() {
    for (address, length, pages) in [
        (0, 1, vec![0]),
        (4095, 1, vec![0]),
        (4095, 2, vec![0, 1]),
        (0x1_f000, 0x2001, vec![31, 32, 33]),
        (5, 0, vec![]),
    ] {
        let log = DirtyLog::new(Words::heap(2));
        log.mark(address, length);
        assert_eq!(bits(&log), pages, "{length} bytes at {address:#x}");
    }
}

#[test]
fn l07_a_log_that_is_too_short() {
    let log = DirtyLog::new(Words::heap(1));
    log.mark(0x1_f000, 0x2000);
    log.mark(u64::MAX - 3, 4);
    log.mark(u64::MAX, usize::MAX);
    log.mark(0, usize::MAX);
    assert_eq!(bits(&log), (0..32).collect::<Vec<_>>());
    DirtyLog::new(Words::heap(0)).mark(0, 100);
}
