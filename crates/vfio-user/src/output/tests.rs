use super::*;

fn frame(output: &mut Output, payload: &[u8]) {
    let mut message = output.encode(1, 9, Header::REPLY);
    message.push(payload);
    message.finish();
}

#[test]
fn memory_stays_bounded_for_a_client_that_is_always_one_message_behind() {
    let mut output = Output::default();
    frame(&mut output, &[0; 984]);
    for _ in 0..1000 {
        frame(&mut output, &[0; 984]);
        output.sent(1000);
        assert_eq!(output.pending(), 1000);
        assert!(
            output.bytes.len() <= 3000,
            "{} bytes for {} that wait",
            output.bytes.len(),
            output.pending()
        );
    }
}

#[test]
fn memory_of_a_long_message_is_given_back() {
    let mut output = Output::default();
    frame(&mut output, &[0; 1 << 20]);
    output.sent(usize::MAX);
    assert_eq!(output.pending(), 0);
    assert!(output.bytes.capacity() <= KEPT);
}

#[test]
fn messages_are_sent_one_by_one_and_go_on_where_they_stopped() {
    let mut output = Output::default();
    frame(&mut output, &[1, 2, 3, 4]);
    frame(&mut output, &[5]);
    assert_eq!(output.front().unwrap().0.len(), 20);
    output.sent(0);
    output.sent(17);
    assert_eq!(output.front().unwrap().0, [2, 3, 4]);
    output.sent(3);
    assert_eq!(output.front().unwrap().0[16..], [5]);
    output.sent(17);
    assert!(output.front().is_none());
}

#[test]
fn descriptor_goes_with_the_first_byte_and_never_again() {
    let (mut output, fd) = (Output::default(), rustix::pipe::pipe().unwrap().0);
    output.push_frame(&[1, 2, 3], Some(fd));
    assert!(output.front().unwrap().1.is_some());
    output.sent(0);
    assert!(output.front().unwrap().1.is_some());
    output.sent(1);
    assert!(output.front().unwrap().1.is_none());
}

#[test]
fn abandoned_message_leaves_nothing() {
    let mut output = Output::default();
    frame(&mut output, &[1]);
    let mut message = output.encode(2, 9, Header::REPLY);
    message.space(100).fill(7);
    drop(message);
    frame(&mut output, &[2]);
    assert_eq!(output.pending(), 34);
    output.sent(17);
    assert_eq!(output.front().unwrap().0[16..], [2]);
}
