use super::*;

const ROUTE: Route = Route { from: 1, to: 2 };

fn sent() -> Vec<Vec<u8>> {
    (0..120).map(|number| make(number, ROUTE)).collect()
}

#[test]
fn frames_have_their_lengths_and_differ() {
    let sent = sent();
    assert!(sent.iter().zip(LENGTHS.iter().cycle()).all(|(frame, length)| frame.len() == *length));
    assert!(sent.iter().enumerate().all(|(n, frame)| !sent[..n].contains(frame)));
}

#[test]
fn what_arrives_as_it_was_sent_passes() {
    let sent = sent();
    check(&sent, std::slice::from_ref(&sent)).unwrap();
    let of = |odd: u32| {
        (0..).zip(&sent).filter(|(n, _)| flow(*n) % 2 == odd).map(|(_, frame)| frame.clone()).collect()
    };
    check(&sent, &[of(1), of(0)]).unwrap();
}

#[test]
fn lost_doubled_swapped_and_changed_frames_do_not_pass() {
    let sent = sent();
    let spoil: [fn(&mut Vec<Vec<u8>>); 5] = [
        |frames| drop(frames.pop()),
        |frames| frames.push(frames[0].clone()),
        |frames| frames.swap(0, 1),
        |frames| frames[5][63] ^= 1,
        |frames| frames[7].truncate(60),
    ];
    for spoil in spoil {
        let mut arrived = sent.clone();
        spoil(&mut arrived);
        assert!(check(&sent, std::slice::from_ref(&arrived)).is_err());
        assert!(check(&sent, &[arrived, vec![]]).is_err());
    }
}
