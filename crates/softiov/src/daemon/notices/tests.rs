use std::time::Instant;

use nic_switch::VfId;
use vf82599::GuestSign;
use virt_stack::VmId;

use super::{Notice, NoticeBoard, VmmNews};

const VF: VfId = VfId(3);

fn signs(board: &NoticeBoard) -> Vec<GuestSign> {
    let notices = board.take(Some(Instant::now())).unwrap();
    let sign = |notice| match notice {
        Notice::Guest { sign, .. } => Some(sign),
        _ => None,
    };
    notices.into_iter().filter_map(sign).collect()
}

#[test]
fn a_guest_that_opens_and_closes_its_ring_in_a_loop_fills_nothing() {
    let board = NoticeBoard::default();
    for _ in 0..10_000 {
        board.sign(VF, 1, GuestSign::ReceiveOpen);
        board.sign(VF, 1, GuestSign::ReceiveClosed);
    }
    assert_eq!(signs(&board), [GuestSign::ReceiveOpen, GuestSign::ReceiveClosed]);
    assert_eq!(signs(&board), []);
}

#[test]
fn a_client_that_came_again_was_away_in_between() {
    let board = NoticeBoard::default();
    board.client(VF, 1, true);
    board.client(VF, 1, false);
    board.client(VF, 1, true);
    let client = |connected| Notice::Client { vf: VF, generation: 1, connected };
    assert_eq!(board.take(None).unwrap(), [client(false), client(true)]);
}

#[test]
fn a_vmm_that_floods_has_to_wait() {
    let board = NoticeBoard::default();
    let mut taken = 0;
    while board.vmm(VmId(1), VmmNews::Lost) {
        taken += 1;
    }
    assert_eq!(board.take(None).unwrap().len(), taken);
    assert!(board.vmm(VmId(1), VmmNews::Lost));
}

#[test]
fn whoever_waits_is_woken_by_a_nudge_and_by_the_end() {
    let board = NoticeBoard::default();
    board.nudge();
    assert_eq!(board.take(None), Some(Vec::new()));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| board.take(None));
        board.end();
        assert_eq!(reader.join().unwrap(), None);
    });
}
