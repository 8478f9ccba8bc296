use ethernet::MacAddr;
use port::GuestRequest;

use crate::Rejection;
use crate::registers::{VFLINKS, VFMAILBOX, VFMBMEM};
use crate::rig::{ACK, CTS, NACK, Rig};

const GET_LINK_STATE: u32 = 0x10;

#[test]
fn a_ready_driver_hears_of_a_link_change_at_once() {
    let mut rig = Rig::x550();
    rig.start_driver(8);
    for (up, links) in [(false, 0), (true, 0x7000_0080)] {
        rig.host.now += 1 << 32;
        rig.write(crate::registers::VTEIMS, 7);
        rig.control.set_link(up, &mut rig.host);
        assert_eq!(rig.messages.take(), [0, 0, 1]);
        assert_eq!(rig.read(VFLINKS), links);
        assert_eq!(rig.read(VFMAILBOX), 0x10, "a message, no acknowledgement");
        assert_eq!(rig.read(VFMBMEM), 0x2000_0100);
        rig.write(VFMAILBOX, 2);
    }
}

#[test]
fn a_link_that_stays_as_it_is_is_no_news() {
    let mut rig = Rig::x550();
    rig.start_driver(8);
    rig.control.set_link(true, &mut rig.host);
    assert_eq!(rig.messages.take(), [0, 0, 0]);
    assert_eq!(rig.read(VFMAILBOX), 0);
}

/// The control message without CTS would order the driver to reset.
#[test]
fn a_driver_that_has_not_reset_gets_no_message() {
    let mut rig = Rig::x550();
    assert_eq!(rig.read(VFMAILBOX), 0x80);
    rig.control.set_link(false, &mut rig.host);
    assert_eq!(rig.read(VFMAILBOX), 0);
    assert_eq!(rig.read(VFMBMEM), 0);
    assert_eq!(rig.read(VFLINKS), 0);
}

#[test]
fn a_link_change_waits_for_the_end_of_a_conversation() {
    let mut rig = Rig::x550();
    rig.start_driver(8);
    let no_message = |rig: &mut Rig| assert_eq!(rig.read(VFMAILBOX) & 0x10, 0);
    // While the driver writes its request.
    rig.write(VFMAILBOX, 4);
    rig.write(VFMBMEM, GET_LINK_STATE);
    rig.control.set_link(false, &mut rig.host);
    no_message(&mut rig);
    // While it has not read the reply, in either framing.
    rig.write(VFMAILBOX, 1);
    assert_eq!(rig.read(VFMAILBOX), 0x30);
    no_message(&mut rig);
    rig.write(VFMAILBOX, 4);
    assert_eq!(rig.read(VFMBMEM), ACK | CTS | GET_LINK_STATE);
    rig.messages.take();
    rig.host.now += 1 << 32;
    rig.write(crate::registers::VTEIMS, 7);
    rig.write(VFMAILBOX, 2);
    assert_eq!(rig.messages.take(), [0, 0, 1], "now it is there");
    assert_eq!(rig.read(VFMAILBOX), 0x10);
    assert_eq!(rig.read(VFMBMEM), 0x2000_0100);
    rig.write(VFMAILBOX, 4);
    rig.write(VFMAILBOX, 2);
    assert_eq!(rig.read(VFMAILBOX), 0, "once");
}

#[test]
fn link_survives_every_reset_of_the_function() {
    let mut rig = Rig::x550();
    rig.write(crate::registers::VFCTRL, 1 << 26);
    assert_eq!(rig.read(VFLINKS), 0x7000_0080);
    rig.control.reset(crate::ResetKind::Device, &mut rig.host);
    rig.set_command(0x106);
    assert_eq!(rig.read(VFLINKS), 0x7000_0080);
}

#[test]
fn another_address_makes_the_driver_start_over() {
    let mut rig = Rig::x550();
    rig.start_driver(8);
    let mac = MacAddr([2, 0, 0, 0, 0xab, 0xcd]);
    rig.control.set_mac(Some(mac), &mut rig.host);
    assert_eq!(rig.messages.take(), [0, 0, 1]);
    assert_eq!(rig.read(VFMAILBOX), 0x10);
    assert_eq!(rig.read(VFMBMEM), 0x100, "without CTS: reset, please");
    rig.write(VFMAILBOX, 2);
    assert_eq!(rig.message(&[GET_LINK_STATE, 0])[0], NACK | GET_LINK_STATE);
    assert_eq!(rig.rejected(Rejection::BeforeReset), 1);
    let reply = rig.message(&[1]);
    assert_eq!(reply[..4], [ACK | 1, 0x0000_0002, 0xcdab, 0]);
    assert_eq!(rig.host.take_requests(), [GuestRequest::Reset]);
    assert_eq!(rig.message(&[GET_LINK_STATE, 0])[0], ACK | CTS | GET_LINK_STATE);
}

#[test]
fn an_address_taken_away_is_not_named() {
    let mut rig = Rig::x550();
    rig.control.set_mac(None, &mut rig.host);
    assert_eq!(rig.message(&[1])[..4], [NACK | 1, 0, 0, 0]);
    assert_eq!(rig.rejected(Rejection::NoAddressAssigned), 1);
    assert_eq!(
        rig.message(&[GET_LINK_STATE, 0])[0],
        ACK | CTS | GET_LINK_STATE,
        "the reset is done all the same"
    );
}

#[test]
fn misc_causes_go_to_the_vector_that_the_driver_chose() {
    for (ivar, messages) in [(0x82, [0, 0, 1]), (0x80, [1, 0, 0]), (0x02, [0; 3]), (0x83, [0; 3])] {
        let mut rig = Rig::x550();
        rig.start_driver(8);
        rig.write(crate::registers::VTIVAR_MISC, ivar);
        rig.control.set_link(false, &mut rig.host);
        assert_eq!(rig.messages.take(), messages, "VTIVAR_MISC {ivar:#x}");
    }
}
