//! Rows of the catalogue of hostile inputs that the control half answers for.

use pcie::PowerState;

use crate::registers::{CONTROL, ENABLE, VFCTRL, VFMAILBOX, VFSTATUS, VTEIMS, VTIVAR, VTIVAR_MISC, rx};
use crate::rig::{Call, Rig, Seen, identity};
use crate::state::word;
use crate::{Profile, Rejection, ResetKind};

/// Device Control, Initiate Function Level Reset.
const FLR: (u64, [u8; 2]) = (0xa8, [0, 0x80]);

#[test]
fn c05_bus_master_off_returns_after_the_worker_is_quiescent() {
    let mut rig = Rig::x550();
    rig.enable_queue(0);
    rig.host.calls.clear();
    for round in 0..1000 {
        rig.set_command(0x102);
        let [Call::Quiesce(seen)] = &rig.host.take_calls()[..] else { panic!("round {round}") };
        assert!(!seen.dma_enabled, "the worker already sees that it may not");
        assert_eq!(seen.enabled, 0x101, "the queues stay enabled");
        assert!(!rig.control.is_receiving());
        rig.set_command(0x102);
        assert_eq!(rig.host.take_calls(), [], "nothing changed");
        rig.set_command(0x106);
        assert_eq!(rig.host.take_calls(), [Call::Kick], "the worker looks at the queues again");
        assert!(rig.control.is_receiving());
    }
}

#[test]
fn c05_bars_are_not_decoded_without_memory_space() {
    let mut rig = Rig::x550();
    rig.set_command(0x104);
    assert_eq!(rig.read(VFSTATUS), u32::MAX, "as a bus answers for nobody");
    rig.write(rx(0, CONTROL), ENABLE);
    rig.control.bar3_write(0, &[1; 4]);
    assert_eq!(rig.rejected(Rejection::NotDecoded), 3);
    rig.set_command(0x106);
    assert_eq!(rig.read(rx(0, CONTROL)), 0);
    assert_eq!(rig.read(VFSTATUS), 0x0008_0000);
}

#[test]
fn c07_msix_accesses_of_odd_widths_do_nothing() {
    let mut rig = Rig::x550();
    for (offset, width) in
        [(0, 1), (0, 2), (0, 3), (2, 4), (4, 8), (0, 16), (0x2000, 4), (0x1000, 4), (u64::MAX, 4)]
    {
        rig.control.bar3_write(offset, &vec![0xff; width]);
    }
    assert_eq!(rig.rejected(Rejection::MsixAccess), 9);
    let mut data = [0xee; 3];
    rig.control.bar3_read(0, &mut data);
    assert_eq!(data, [0; 3]);
    let mut entry = [0xee; 8];
    rig.control.bar3_read(0, &mut entry);
    assert_eq!(entry, [0; 8]);
}

#[test]
fn c08_vectors_that_do_not_exist_raise_nothing() {
    let mut rig = Rig::x550();
    rig.start_driver(8);
    rig.write(VTIVAR, u32::MAX);
    rig.write(VTIVAR_MISC, u32::MAX);
    rig.write(VTEIMS, u32::MAX);
    rig.control.set_link(false, &mut rig.host);
    rig.write(crate::registers::VTEICS, !7);
    assert_eq!(rig.messages.take(), [0; 3]);
}

/// What the guest writes as message address goes nowhere from here: a vector is a number.
#[test]
fn c11_message_addresses_are_not_followed() {
    let mut rig = Rig::x550();
    rig.write_config(0x72, &0x8000_u16.to_le_bytes());
    for (n, word) in [0x1000_u32, 0, 0xdead_beef, 0].into_iter().enumerate() {
        rig.control.bar3_write(4 * n as u64, &word.to_le_bytes());
    }
    rig.write(VTEIMS, 1);
    rig.write(crate::registers::VTEICS, 1);
    assert_eq!(rig.messages.take(), [1, 0, 0]);
    let calls = rig.host.take_calls();
    assert!(calls.iter().all(|call| *call == Call::Kick), "{calls:?}");
}

#[test]
fn c11_a_vector_that_was_pending_is_signalled_when_its_mask_goes() {
    let mut rig = Rig::x550();
    rig.write_config(0x72, &0x8000_u16.to_le_bytes());
    assert_eq!(rig.control.msix().deliver(1), pcie::Delivery::Pending);
    rig.control.bar3_write(0x1c, &0_u32.to_le_bytes());
    assert_eq!(rig.messages.take(), [0, 1, 0]);
    // By the function's mask.
    rig.write_config(0x72, &0xc000_u16.to_le_bytes());
    assert_eq!(rig.control.msix().deliver(1), pcie::Delivery::Pending);
    rig.write_config(0x72, &0x8000_u16.to_le_bytes());
    assert_eq!(rig.messages.take(), [0, 1, 0]);
    assert!(!rig.control.msix().is_pending(1));
}

#[test]
fn c12_flr_twice_and_in_mid_transmission() {
    let mut rig = Rig::x550();
    rig.enable_queue(0);
    for _ in 0..2 {
        rig.host.calls.clear();
        rig.write_config(FLR.0, &FLR.1);
        let quiesced = rig.host.take_quiesced();
        assert_eq!(quiesced.len(), 1);
        assert_eq!((quiesced[0].dma_enabled, quiesced[0].enabled), (false, 0));
        assert_eq!(rig.read_config(0), 0x1565_8086, "config space answers right away");
        assert_eq!(rig.read_config(0xa8) & 0x8000, 0, "the bit reads 0");
    }
}

#[test]
fn c12_d3hot_ends_dma_and_d0_brings_it_back() {
    let mut rig = Rig::x550();
    rig.enable_queue(0);
    rig.host.calls.clear();
    // A VF has no power management capability: its PF sets the state.
    let effects = rig.control.config().set_power_state(PowerState::D3Hot);
    rig.control.config_changed(&effects, &mut rig.host);
    let quiesced = rig.host.take_quiesced();
    assert_eq!(quiesced.len(), 1);
    assert!(!quiesced[0].dma_enabled);
    assert_eq!(rig.read(VFSTATUS), u32::MAX);
    assert_eq!(rig.read_config(0), 0x1565_8086, "config space answers in D3hot");
    let effects = rig.control.config().set_power_state(PowerState::D0);
    rig.control.config_changed(&effects, &mut rig.host);
    assert_eq!(rig.state.private.load(word::DMA_ENABLED), 1);
    assert_eq!(Seen::of(&rig.state).enabled, 0x101, "no soft reset");
}

#[test]
fn c14_a_vf_that_is_gone_reads_all_ones() {
    let mut rig = Rig::x550();
    rig.control.unplug(&mut rig.host);
    for width in [1, 2, 4, 8, 16] {
        let mut data = vec![0; width];
        rig.control.bar0_read(0x1000, &mut data, &rig.host);
        assert_eq!(data, vec![0xff; width]);
        data.fill(0);
        rig.control.config_read(0, &mut data);
        assert_eq!(data, vec![0xff; width]);
    }
}

#[test]
fn u07_config_accesses_past_the_end_do_nothing() {
    let mut rig = Rig::x550();
    for (offset, width) in [(4095, 2), (4096, 1), (0x1_0004, 4), (u64::MAX, 1), (u64::MAX - 3, 4)] {
        let mut data = vec![0xee; width];
        rig.control.config_read(offset, &mut data);
        assert_eq!(data, vec![0; width], "{offset:#x}");
        rig.write_config(offset, &data);
    }
    assert_eq!(rig.rejected(Rejection::ConfigAccess), 10);
    for width in [0, 3, 8, 256] {
        rig.write_config(4, &vec![0; width]);
    }
    assert_eq!(rig.rejected(Rejection::ConfigAccess), 14);
    assert_eq!(rig.read_config(4) & 6, 6, "Command stands");
    let mut all = vec![0; 4096];
    rig.control.config_read(0, &mut all);
    assert_eq!(all[..4], [0x86, 0x80, 0x65, 0x15]);
}

#[test]
fn u12_resets_in_any_number_end() {
    let mut rig = Rig::x550();
    for _ in 0..1000 {
        rig.enable_queue(0);
        rig.write(VFCTRL, u32::MAX);
        rig.control.reset(ResetKind::Device, &mut rig.host);
        rig.set_command(0x106);
    }
    assert_eq!(rig.host.take_quiesced().len(), 2000);
    assert_eq!(rig.read(VFMAILBOX), 0x80);
}

/// N10 for this device: numbers in messages beyond any limit, each NACKed under its own reason.
#[test]
fn n10_numbers_in_messages_beyond_their_limits() {
    let mut rig = Rig::new(Profile::X550, identity());
    rig.start_driver(8);
    let messages: [(&[u32], Rejection); 10] = [
        (&[3 | 31 << 16], Rejection::TooManyGroups),
        (&[3 | 255 << 16], Rejection::TooManyGroups),
        (&[4 | 1 << 16, 4095], Rejection::BadVlan),
        (&[4 | 1 << 16, u32::MAX], Rejection::BadVlan),
        (&[4, 0x1_0005], Rejection::BadVlan),
        (&[5, 67], Rejection::BadFrameLength),
        (&[5, 9729], Rejection::BadFrameLength),
        (&[5, u32::MAX], Rejection::BadFrameLength),
        (&[0xc, 4], Rejection::BadReception),
        (&[0xffff], Rejection::UnknownMessage),
    ];
    for (message, reason) in messages {
        let before = rig.rejected(reason);
        assert_eq!(rig.message(message)[0] >> 30, 0b01, "{message:x?}");
        assert_eq!(rig.rejected(reason), before + 1, "{message:x?}");
    }
    assert_eq!(rig.host.take_requests(), [], "the PF is not bothered");
}
