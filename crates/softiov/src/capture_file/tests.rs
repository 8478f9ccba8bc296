use super::CaptureFile;

/// A block of `words` besides type and lengths.
fn block(kind: u32, words: &[u32]) -> Vec<u8> {
    let length = u32::try_from(12 + 4 * words.len()).unwrap();
    let all = [&[kind, length], words, &[length]].concat();
    all.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn blocks_are_written_whole_however_the_stream_is_cut() {
    let statistics = block(5, &[0, 0, 0, 0x0008_0004, 9, 0, 0x0008_0005, 3, 0, 0]);
    let all = [block(0x0a0d_0d0a, &[1, 2]), block(6, &[7; 5]), block(6, &[8]), statistics].concat();
    for cut in 1..all.len() {
        let mut out = Vec::new();
        let mut file = CaptureFile::new(&mut out);
        for part in all.chunks(cut) {
            file.take(part).unwrap();
        }
        assert_eq!((file.frames(), file.missed()), (2, 3));
        assert_eq!(out, all, "in parts of {cut}");
    }
}

#[test]
fn half_a_block_at_the_end_is_left_out() {
    let (first, second) = (block(6, &[1]), block(6, &[2]));
    let mut out = Vec::new();
    let mut file = CaptureFile::new(&mut out);
    file.take(&[&first[..], &second[..10]].concat()).unwrap();
    assert_eq!(file.frames(), 1);
    assert_eq!(out, first);
}

#[test]
fn what_is_no_pcapng_is_refused() {
    let mut file = CaptureFile::new(Vec::new());
    assert!(file.take(&[6, 0, 0, 0, 3, 0, 0, 0]).is_err());
}
