use crate::registers::{
    BAH, BAL, CONTROL, DCA, ENABLE, HEAD, LEN, QUEUES, RSCCTL, SRRCTL, TAIL, VFCTRL, VFFRTIMER, VFGORC_LSB,
    VFGORC_MSB, VFGOTC_LSB, VFGOTC_MSB, VFGPRC, VFGPTC, VFLINKS, VFMAILBOX, VFMBMEM, VFMPRC, VFMRQC,
    VFPSRTYPE, VFRETA, VFRSSRK, VFRXMEMWRAP, VFSTATUS, VTEIAC, VTEIAM, VTEICR, VTEICS, VTEIMC, VTEIMS,
    VTEITR, VTIVAR, VTIVAR_MISC, VTRSCINT, rx, tx,
};
use crate::rig::{CYCLES_PER_MICROSECOND, Call, Rig, Seen, identity};
use crate::state::word;
use crate::{Profile, Rejection};

/// Offset, value after reset, bits that read back. Written out by hand from the register description: the product's
/// own table is what is under test.
const STORED: &[(u32, u32, u32)] = &[
    (VTEIAC, 0, 7),
    (VTEIAM, 0, 7),
    (VTIVAR, 0, 0x8383_8383),
    (VTIVAR + 12, 0, 0x8383_8383),
    (VTIVAR_MISC, 0, 0x83),
    (VTRSCINT, 0, u32::MAX),
    (VTRSCINT + 8, 0, u32::MAX),
    (VFMBMEM, 0, u32::MAX),
    (VFMBMEM + 60, 0, u32::MAX),
    (VFPSRTYPE, 0, u32::MAX),
    (VTEITR, 0, 0x8000_0ff8),
    (VTEITR + 8, 0, 0x8000_0ff8),
    (0x1000 + BAL, 0, 0xffff_ff80),
    (0x11c0 + BAL, 0, 0xffff_ff80),
    (0x1000 + BAH, 0, u32::MAX),
    (0x1000 + LEN, 0, 0x000f_ff80),
    (0x1000 + DCA, 0, u32::MAX),
    (0x1000 + HEAD, 0, 0xffff),
    (0x1000 + SRRCTL, 0, u32::MAX),
    (0x1000 + TAIL, 0, 0xffff),
    (0x2000 + BAL, 0, 0xffff_ff80),
    (0x2000 + BAH, 0, u32::MAX),
    (0x2000 + LEN, 0, 0x000f_ff80),
    (0x2000 + DCA, 0, u32::MAX),
    (0x2000 + HEAD, 0, 0xffff),
    (0x2000 + TAIL, 0, 0xffff),
    (0x2038, 0, u32::MAX),
    (0x203c, 0, u32::MAX),
    (0x21c0 + CONTROL, 0, u32::MAX),
    (0x11c0 + CONTROL, 0, u32::MAX),
    (VFMRQC, 0, u32::MAX),
    (VFRSSRK, 0, u32::MAX),
    (VFRSSRK + 36, 0, u32::MAX),
    (VFRETA, 0, u32::MAX),
    (VFRETA + 60, 0, u32::MAX),
];

const PATTERNS: [u32; 5] = [0, 0x5a5a_5a5a, 0xa5a5_a5a5, u32::MAX, 0x1234_5678];

#[test]
fn stored_registers_read_back_under_their_masks() {
    let mut rig = Rig::x550();
    for (offset, reset, mask) in STORED {
        assert_eq!(rig.read(*offset), *reset, "{offset:#06x} after reset");
        for pattern in PATTERNS {
            rig.write(*offset, pattern & !ENABLE);
            assert_eq!(rig.read(*offset), pattern & !ENABLE & mask, "{offset:#06x} after {pattern:#010x}");
        }
    }
}

#[test]
fn read_only_registers_keep_their_values() {
    let mut rig = Rig::x550();
    let fixed = [
        (VFSTATUS, 0x0008_0000),
        (VFLINKS, 0x7000_0080),
        (VFRXMEMWRAP, 0),
        (rx(3, RSCCTL), 0),
        (VFGPRC, 0),
        (VFGORC_LSB, 0),
        (VFGORC_MSB, 0),
        (VFMPRC, 0),
        (VFGPTC, 0),
        (VFGOTC_LSB, 0),
        (VFGOTC_MSB, 0),
    ];
    for (written, (offset, value)) in (1..).zip(fixed) {
        rig.write(offset, u32::MAX);
        assert_eq!(rig.read(offset), value, "{offset:#06x}");
        assert_eq!(rig.rejected(Rejection::ReadOnly), written);
    }
}

/// `ethtool -t offline`: register, queues, bits that must read back, bits that are written.
#[test]
fn ethtool_register_test_passes() {
    let mut rig = Rig::x550();
    let test = |rig: &mut Rig, register: fn(u32, u32) -> u32, which: u32, mask: u32, written: u32| {
        for queue in 0..2 {
            let offset = register(queue, which);
            let before = rig.read(offset);
            for pattern in &PATTERNS[..4] {
                rig.write(offset, pattern & written);
                assert_eq!(rig.read(offset), pattern & written & mask, "{offset:#06x}, {pattern:#010x}");
            }
            rig.write(offset, before);
        }
    };
    test(&mut rig, rx, BAL, 0xffff_ff80, 0xffff_ff80);
    test(&mut rig, rx, BAH, u32::MAX, u32::MAX);
    test(&mut rig, rx, LEN, 0x000f_ff80, 0x000f_ffff);
    (0..2).for_each(|queue| rig.write(rx(queue, CONTROL), ENABLE));
    test(&mut rig, rx, TAIL, 0xffff, 0xffff);
    (0..2).for_each(|queue| rig.write(rx(queue, CONTROL), 0));
    test(&mut rig, tx, BAL, 0xffff_ff80, u32::MAX);
    test(&mut rig, tx, BAH, u32::MAX, u32::MAX);
    test(&mut rig, tx, LEN, 0x000f_ff80, 0x000f_ff80);
}

#[test]
fn rss_registers_exist_in_the_x550_only() {
    for profile in [Profile::X540, Profile::I82599] {
        let mut rig = Rig::new(profile, identity());
        for offset in [VFMRQC, VFRSSRK, VFRETA] {
            rig.write(offset, 1);
            assert_eq!(rig.read(offset), 0, "{offset:#06x}");
        }
        assert_eq!(rig.rejected(Rejection::Undefined), 3);
    }
}

#[test]
fn pf_programs_rss_where_the_guest_does_not() {
    for (queue_pairs, control, table) in [
        (1, 0, 0),
        (2, 0x0033_0001, 0x0100_0100),
        (3, 0x0033_0001, 0x0100_0100),
        (8, 0x0033_0001, 0x0302_0100),
    ] {
        let rig = Rig::new(Profile::I82599, crate::Identity { queue_pairs, ..identity() });
        assert_eq!(rig.state.register(VFMRQC), control);
        assert_eq!(rig.state.register(VFRETA + 60), table);
        assert_eq!(rig.state.register(VFRSSRK), 0x0302_0100, "key bytes 0, 1, 2, 3");
    }
}

#[test]
fn undefined_offsets_read_zero_and_ignore_writes() {
    let mut rig = Rig::x550();
    let undefined =
        [0x4, 0xc, 0x14, 0x240, 0x2f8, 0x300 + 4, 0x105c, 0x1200, 0x2024 + 0x40, 0x3128, 0x3240, 0x3ffc];
    for offset in undefined {
        rig.write(offset, u32::MAX);
        assert_eq!(rig.read(offset), 0, "{offset:#06x}");
    }
    assert_eq!(rig.rejected(Rejection::Undefined), undefined.len() as u64);
}

#[test]
fn u07_reads_of_other_widths_are_made_of_registers_read_once() {
    let mut rig = Rig::x550();
    let read = |rig: &mut Rig, offset: u64, length: usize| {
        let mut data = vec![0xee; length];
        rig.control.bar0_read(offset, &mut data, &rig.host);
        data
    };
    assert_eq!(read(&mut rig, 0x08, 8), [0, 0, 8, 0, 0, 0, 0, 0]);
    assert_eq!(read(&mut rig, 0x0a, 1), [8]);
    assert_eq!(read(&mut rig, 0x09, 4), [0, 8, 0, 0]);
    // VFLINKS ends at 0x13; a read from 0x11 goes past it.
    assert_eq!(read(&mut rig, 0x11, 7), [0, 0, 0x70, 0, 0, 0, 0]);
    rig.control.reset(crate::ResetKind::FunctionLevel, &mut rig.host);
    rig.set_command(0x106);
    assert_eq!(read(&mut rig, 0x2f8, 8), [0, 0, 0, 0, 0x80, 0, 0, 0], "RSTD is read once");
    assert_eq!(read(&mut rig, 0x2fc, 2), [0, 0], "and cleared by that");
    assert_eq!(read(&mut rig, 0x0, 0x4000).len(), 0x4000);
    assert_eq!(rig.rejected(Rejection::OutOfRange), 0);
    assert_eq!(read(&mut rig, 0x3ffe, 4), [0; 4]);
    assert_eq!(read(&mut rig, u64::MAX - 1, 4), [0; 4], "the end of the access wraps");
    assert_eq!(read(&mut rig, 0x1_0000_0008, 4), [0; 4], "no offset is cut to 32 bits");
    assert_eq!(rig.rejected(Rejection::OutOfRange), 3);
    assert!(read(&mut rig, u64::MAX, 0).is_empty());
}

#[test]
fn u07_writes_of_other_widths_do_nothing() {
    let mut rig = Rig::x550();
    let widths = [(0x300, 0), (0x300, 1), (0x300, 2), (0x300, 3), (0x300, 8), (0x301, 4), (0x302, 4)];
    for (offset, width) in widths {
        rig.control.bar0_write(offset, &vec![0xff; width], &mut rig.host);
    }
    assert_eq!(rig.rejected(Rejection::WriteWidth), widths.len() as u64);
    assert_eq!(rig.read(VFPSRTYPE), 0);
    for offset in [0x4000, 0x1_0000_0300, u64::MAX - 3, u64::MAX] {
        rig.control.bar0_write(offset, &[0xff; 4], &mut rig.host);
    }
    assert_eq!(rig.rejected(Rejection::OutOfRange), 4);
    assert_eq!(rig.read(VFPSRTYPE), 0);
}

#[test]
fn doorbells_are_stored_before_the_worker_is_woken() {
    let mut rig = Rig::x550();
    rig.write(tx(1, TAIL), 0x1_0007);
    assert_eq!(rig.host.take_calls(), [Call::Kick]);
    assert_eq!(rig.state.register(tx(1, TAIL)), 7);
    rig.write(rx(7, TAIL), 511);
    assert_eq!(rig.host.take_calls(), [Call::Kick]);
}

#[test]
fn every_write_of_queue_control_changes_the_generation_of_that_queue_alone() {
    let mut rig = Rig::x550();
    for queue in 0..QUEUES {
        for (offset, place) in [(rx(queue, CONTROL), queue), (tx(queue, CONTROL), 8 + queue)] {
            for value in [0, ENABLE, ENABLE, 0] {
                let mut expected = Seen::of(&rig.state).generations;
                rig.write(offset, value);
                expected[place as usize] += 1;
                assert_eq!(Seen::of(&rig.state).generations, expected, "queue {queue}");
            }
        }
    }
}

#[test]
fn disabling_a_queue_returns_after_the_worker_is_quiescent() {
    let mut rig = Rig::x550();
    for (offset, bit) in [(rx(2, CONTROL), 2), (tx(5, CONTROL), 13)] {
        rig.write(offset, ENABLE | 0x120);
        assert_eq!(Seen::of(&rig.state).enabled, 1 << bit);
        rig.host.calls.clear();
        rig.write(offset, 1 << 26);
        let quiesced = rig.host.take_quiesced();
        assert_eq!(quiesced.len(), 1);
        assert_eq!(quiesced[0].enabled, 0, "the worker already sees the queue disabled");
        assert_eq!(rig.read(offset), 1 << 26, "SWFLSH and the like read back");
        rig.write(offset, 0);
        assert_eq!(rig.host.take_quiesced(), [], "it was disabled already");
    }
}

#[test]
fn the_head_is_the_driver_s_while_the_queue_is_disabled() {
    let mut rig = Rig::x550();
    rig.write(rx(1, HEAD), 5);
    assert_eq!(rig.read(rx(1, HEAD)), 5);
    rig.write(rx(1, CONTROL), ENABLE);
    rig.write(rx(1, HEAD), 9);
    assert_eq!(rig.read(rx(1, HEAD)), 5);
    assert_eq!(rig.rejected(Rejection::HeadWhileEnabled), 1);
    // The transmit queue of the same number is another queue.
    rig.write(tx(1, HEAD), 9);
    assert_eq!(rig.read(tx(1, HEAD)), 9);
}

#[test]
fn octet_counters_are_read_whole() {
    let mut rig = Rig::x550();
    for (low, high) in [(VFGORC_LSB, VFGORC_MSB), (VFGOTC_LSB, VFGOTC_MSB)] {
        rig.state.set_register(high, 3);
        rig.state.set_register(low, 0xffff_ffff);
        assert_eq!(rig.read(low), 0xffff_ffff);
        rig = rig.restart(Profile::X550, identity());
        // The worker counts on between the two reads.
        rig.state.set_register(high, 4);
        rig.state.set_register(low, 5);
        assert_eq!(rig.read(high), 3);
        assert_eq!(rig.read(low), 5);
        assert_eq!(rig.read(high), 4);
    }
}

#[test]
fn interrupt_registers() {
    let mut rig = Rig::x550();
    rig.write(VTEICS, 0b1011);
    assert_eq!(rig.messages.take(), [0, 0, 0], "nothing is enabled");
    assert_eq!(rig.read(VTEICS), 0b011, "a look that clears nothing; there are three vectors");
    rig.write(VTEICR, 0b001);
    assert_eq!(rig.read(VTEICR), 0b010);
    assert_eq!(rig.read(VTEICR), 0, "reading cleared it");
    rig.write(VTEIMS, 0b101);
    rig.write(VTEIMS, 0b010);
    assert_eq!(rig.read(VTEIMS), 0b111);
    rig.write(VTEIMC, 0b101);
    assert_eq!((rig.read(VTEIMS), rig.read(VTEIMC)), (0b010, 0b010));
    rig.write(VTEICS, 0b111);
    assert_eq!(rig.messages.take(), [0, 1, 0]);
    rig.write(VTEIMS, 0b100);
    assert_eq!(rig.messages.take(), [0, 0, 1], "the pending cause fires when it is enabled");
}

/// Linux writes VTEICS every two seconds and needs an interrupt back.
#[test]
fn a_held_interrupt_wakes_the_worker_that_will_send_it() {
    let mut rig = Rig::x550();
    rig.write(VTEITR, 200 << 2);
    rig.write(VTEIMS, 1);
    rig.write(VTEICS, 1);
    assert_eq!(rig.messages.take(), [1, 0, 0]);
    assert_eq!(rig.host.take_calls(), []);
    rig.write(VTEICS, 1);
    assert_eq!(rig.messages.take(), [0, 0, 0]);
    assert_eq!(rig.host.take_calls(), [Call::Kick]);
    rig.host.now += 200 * CYCLES_PER_MICROSECOND;
    assert!(!rig.control.interrupts.release(rig.host.now));
    assert_eq!(rig.messages.take(), [1, 0, 0]);
}

#[test]
fn the_timer_counts_microseconds() {
    let mut rig = Rig::x550();
    let before = rig.read(VFFRTIMER);
    rig.host.now += 7 * CYCLES_PER_MICROSECOND;
    assert_eq!(rig.read(VFFRTIMER), before + 7);
}

#[test]
fn other_bits_of_vfctrl_do_nothing() {
    let mut rig = Rig::x550();
    rig.enable_queue(0);
    rig.host.calls.clear();
    rig.write(VFCTRL, !(1 << 26));
    assert_eq!(rig.host.take_calls(), []);
    assert_eq!(rig.read(VFCTRL), 0);
    assert_eq!(Seen::of(&rig.state).enabled, 0x101);
}

#[test]
fn the_largest_frame_starts_at_1518() {
    let mut rig = Rig::x550();
    assert_eq!(rig.state.private.load(word::MAX_FRAME), 1518);
    assert_eq!(rig.read(VFMAILBOX), 0x80);
}
