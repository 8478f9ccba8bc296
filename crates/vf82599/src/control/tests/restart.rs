use ethernet::MacAddr;
use port::GuestRequest;

use crate::registers::{
    CONTROL, ENABLE, TAIL, VFGPRC, VFMAILBOX, VFMBMEM, VFRETA, VTEICR, VTEIMS, VTIVAR_MISC, rx, tx,
};
use crate::rig::{ACK, CTS, Call, NACK, Rig, Seen, identity};
use crate::state::word;
use crate::{Identity, Profile};

fn restart(rig: Rig) -> Rig {
    rig.restart(Profile::X550, identity())
}

#[test]
fn a_conversation_goes_on_after_a_restart_at_any_step() {
    for cut in 0..8 {
        let mut rig = Rig::x550();
        rig.start_driver(8);
        let mut steps = 0;
        let mut step = |rig: Rig| {
            steps += 1;
            if steps - 1 == cut { restart(rig) } else { rig }
        };
        rig = step(rig);
        rig.write(VFMAILBOX, 4);
        rig = step(rig);
        assert_eq!(rig.read(VFMAILBOX), 4, "restart at step {cut}");
        rig.write(VFMBMEM, 9);
        rig = step(rig);
        rig.write(VFMBMEM + 4, 0);
        rig = step(rig);
        rig.write(VFMAILBOX, 1);
        rig = step(rig);
        assert_eq!(rig.read(VFMAILBOX), 0x30, "restart at step {cut}");
        rig = step(rig);
        rig.write(VFMAILBOX, 4);
        assert_eq!(rig.read(VFMAILBOX), 4);
        rig = step(rig);
        assert_eq!(rig.mailbox_words()[..5], [ACK | CTS | 9, 2, 2, 0, 0], "restart at step {cut}");
        rig.write(VFMAILBOX, 2);
        rig = step(rig);
        assert_eq!(rig.read(VFMAILBOX), 0, "restart at step {cut}");
        assert_eq!(steps, 8);
    }
}

/// The data path ended between taking the request and placing the reply.
#[test]
fn a_request_that_was_taken_is_answered_by_the_next_data_path() {
    let mut rig = Rig::x550();
    rig.start_driver(8);
    rig.write(VFMBMEM, 5);
    rig.write(VFMBMEM + 4, 9018);
    rig.state.set_register(VFMAILBOX, 1);
    let mut rig = restart(rig);
    assert_eq!(rig.host.take_requests(), [GuestRequest::SetMaxFrame(9018)]);
    assert_eq!(rig.read(VFMAILBOX), 0x30);
    assert_eq!(rig.read(VFMBMEM), ACK | CTS | 5);
    assert_eq!(rig.state.private.load(word::MAX_FRAME), 9018);
}

#[test]
fn a_request_is_marked_as_taken_until_its_reply_is_placed() {
    let mut rig = Rig::x550();
    rig.start_driver(8);
    rig.message(&[5, 9018]);
    assert_eq!(rig.host.mailbox_at_request & 1, 1);
    assert_eq!(rig.state.register(VFMAILBOX) & 1, 0);
}

/// The data path ended between placing the reply and showing it.
#[test]
fn a_reply_that_was_placed_is_not_made_again() {
    let mut rig = Rig::x550();
    rig.start_driver(8);
    rig.write(VFMBMEM, NACK | CTS | 5);
    rig.state.set_register(VFMAILBOX, 1);
    let mut rig = restart(rig);
    assert_eq!(rig.host.take_requests(), []);
    assert_eq!(rig.read(VFMAILBOX), 0x30);
    assert_eq!(rig.read(VFMBMEM), NACK | CTS | 5);
}

#[test]
fn what_was_negotiated_and_asked_for_holds() {
    let mut rig = Rig::x550();
    rig.start_driver(4);
    rig.message(&[5, 9018]);
    rig.message(&[1 << 16 | 6, 0x0000_0002, 0x0100]);
    rig.enable_queue(1);
    rig.write(tx(1, TAIL), 33);
    rig.write(VFRETA, 0x0100_0100);
    let seen = Seen::of(&rig.state);
    let mut rig = restart(rig);
    assert_eq!(Seen::of(&rig.state), seen, "queues run on");
    assert!(rig.control.is_receiving());
    assert_eq!(rig.host.take_calls(), [Call::Kick]);
    assert_eq!(rig.read(tx(1, TAIL)), 33);
    assert_eq!(rig.read(VFRETA), 0x0100_0100);
    assert_eq!(rig.read(VTIVAR_MISC), 0x82);
    // API 1.3 has promiscuous mode, and no messages of 1.6.
    assert_eq!(rig.message(&[0xc, 3])[0], ACK | CTS | 0xc);
    assert_eq!(rig.message(&[0x11])[0], NACK | CTS | 0x11);
    assert_eq!(rig.state.private.load(word::MAX_FRAME), 9018);
    rig.host.calls.clear();
    rig.message(&[2 << 16 | 6, 0x0000_0002, 0x0200]);
    let list = [MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])];
    assert_eq!(rig.host.take_requests(), [GuestRequest::SetUnicast(list.to_vec())]);
}

#[test]
fn a_control_message_that_waited_is_put_in_after_a_restart() {
    let mut rig = Rig::x550();
    rig.start_driver(8);
    rig.write(VFMAILBOX, 4);
    rig.control.set_link(false, &mut rig.host);
    let mut rig = restart(rig);
    assert_eq!(rig.read(VFMAILBOX), 4);
    rig.write(VFMAILBOX, 2);
    assert_eq!(rig.read(VFMAILBOX), 0x10);
    assert_eq!(rig.read(VFMBMEM), 0x2000_0100);
}

/// The data path may have masked a vector and ended before it sent the message.
#[test]
fn every_vector_is_signalled_once() {
    let mut rig = Rig::x550();
    rig.start_driver(8);
    rig.state.set_register(VTEIMS, 0);
    rig.state.set_register(VTEICR, 0);
    let rig = restart(rig);
    assert_eq!(rig.messages.take(), [1, 1, 1]);
}

#[test]
fn queues_beyond_those_granted_do_not_count_as_receiving() {
    let mut rig = Rig::x550();
    rig.write(rx(2, CONTROL), ENABLE);
    assert!(!rig.control.is_receiving(), "there are two queue pairs");
    rig.write(rx(1, CONTROL), ENABLE);
    assert!(rig.control.is_receiving());
}

#[test]
fn a_function_that_was_stopped_stays_stopped() {
    let mut rig = Rig::x550();
    rig.write(rx(0, CONTROL), ENABLE);
    rig.set_command(0x102);
    let rig = restart(rig);
    assert_eq!(rig.state.private.load(word::DMA_ENABLED), 0);
    assert!(!rig.control.is_receiving());
}

#[test]
fn an_address_assigned_meanwhile_is_named_at_the_next_reset() {
    let mut rig = Rig::x550();
    rig.start_driver(8);
    let mac = Some(MacAddr([2, 0, 0, 0, 0, 9]));
    let mut rig = rig.restart(Profile::X550, Identity { mac, ..identity() });
    assert_eq!(rig.message(&[1])[1..3], [0x0000_0002, 0x0900]);
}

#[test]
fn a_reset_that_was_begun_is_finished() {
    // By the driver, which keeps the statistics; of the function.
    for (extent, packets) in [(1, 11), (2, 0)] {
        let mut rig = Rig::x550();
        rig.start_driver(8);
        rig.enable_queue(0);
        rig.state.set_register(VFGPRC, 11);
        rig.state.private.store(word::RESETTING, extent);
        let mut rig = restart(rig);
        let calls = rig.host.take_calls();
        assert!(matches!(&calls[0], Call::Quiesce(seen) if (seen.dma_enabled, seen.enabled) == (false, 0)));
        assert_eq!(calls[1], Call::Request(GuestRequest::Reset));
        assert_eq!(Seen::of(&rig.state).enabled, 0);
        assert_eq!(rig.read(VTIVAR_MISC), 0);
        assert_eq!(rig.read(VFGPRC), packets);
        assert_eq!(rig.read(VFMAILBOX), 0x80);
        let rig = restart(rig);
        assert_eq!(rig.host.calls, [Call::Kick], "once");
    }
}
