use super::*;

fn fd() -> OwnedFd {
    rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap()
}

#[test]
fn descriptor_goes_with_the_first_byte_only() {
    let mut output = Output::default();
    output.reply(31, &[1_u8; 24], Some(fd()));
    assert_eq!(output.front().map(|(bytes, fd)| (bytes.len(), fd.is_some())), Some((36, true)));
    output.sent(0);
    assert!(output.front().unwrap().1.is_some());
    output.sent(1);
    assert_eq!(output.front().map(|(bytes, fd)| (bytes.len(), fd.is_some())), Some((35, false)));
    output.sent(usize::MAX - 1);
    assert!(output.front().is_none());
    output.sent(1);
    assert_eq!(output.pending(), 0);
}

#[test]
fn replies_stay_apart() {
    let mut output = Output::default();
    output.reply(1, &5_u64, None);
    output.reply(2, &[0_u8; 0], None);
    let frames: Vec<_> = output.take_frames().map(|(bytes, _)| bytes.len()).collect();
    assert_eq!(frames, [20, 12]);
}

#[test]
fn full_after_so_many_replies_or_one_descriptor() {
    let mut output = Output::default();
    for _ in 0..OUTPUT_BOUND {
        assert!(!output.is_full());
        output.reply(1, &0_u64, None);
    }
    assert!(output.is_full());
    assert!(!output.push_rest(&[1], None));
    output.sent(20);
    output.reply(1, &0_u64, Some(fd()));
    output.sent(20);
    assert!(output.is_full());
}
