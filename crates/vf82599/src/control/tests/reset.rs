use port::GuestRequest;

use crate::ResetKind;
use crate::registers::{
    CONTROL, ENABLE, LEN, QUEUES, SRRCTL, TAIL, VFCTRL, VFGORC_LSB, VFGPRC, VFMAILBOX, VFMBMEM, VFMRQC,
    VFPSRTYPE, VTEIAC, VTEIAM, VTEICR, VTEICS, VTEIMS, VTEITR, VTIVAR, VTIVAR_MISC, rx, tx,
};
use crate::rig::{ACK, Call, MAC, NACK, Rig, Seen, identity};
use crate::state::word;
use crate::{Identity, MsixExposure, Profile};

/// Every way to reset a function with all of a driver's state in it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Driver,
    FlrByGuest,
    FlrByPf,
    Device,
    Disconnected,
}

const WAYS: [Way; 5] = [Way::Driver, Way::FlrByGuest, Way::FlrByPf, Way::Device, Way::Disconnected];

impl Way {
    fn go(self, rig: &mut Rig) {
        match self {
            Self::Driver => rig.write(VFCTRL, 1 << 26),
            // Device Control at 0xa8, Initiate Function Level Reset.
            Self::FlrByGuest => rig.write_config(0xa8, &0x8000_u16.to_le_bytes()),
            Self::FlrByPf => rig.control.reset(ResetKind::FunctionLevel, &mut rig.host),
            Self::Device => rig.control.reset(ResetKind::Device, &mut rig.host),
            Self::Disconnected => rig.control.reset(ResetKind::Disconnected, &mut rig.host),
        }
    }
}

/// Registers that hold something after [`busy`], and nothing after a reset.
const LEFT_OVERS: [u32; 11] = [
    VTEIMS,
    VTEICR,
    VTEIAC,
    VTEIAM,
    VTEITR,
    VTIVAR,
    VTIVAR_MISC,
    VFPSRTYPE,
    VFMRQC,
    rx(0, SRRCTL),
    tx(3, LEN),
];

fn busy() -> Rig {
    let mut rig = Rig::x550();
    rig.start_driver(8);
    assert_eq!(rig.message(&[5, 9018])[0] >> 31, 1, "SET_LPE");
    assert_eq!(rig.message(&[1 << 16 | 6, 2, 0])[0] >> 31, 1, "SET_MACVLAN");
    for queue in [0, 3, 7] {
        rig.write(tx(queue, LEN), 4096);
        rig.enable_queue(queue);
        rig.write(tx(queue, TAIL), 7);
    }
    rig.write(VTIVAR, 0x8080_8080);
    rig.write(VTEITR, 0x28);
    rig.write(VFPSRTYPE, 1 << 29);
    rig.write(VFMRQC, 1);
    rig.write(rx(0, SRRCTL), 2);
    rig.write(VTEIAC, 3);
    rig.write(VTEICS, 7);
    rig.write(VTEIMS, 7);
    rig.state.set_register(VFGPRC, 11);
    rig.state.set_register(VFGORC_LSB, 1111);
    rig.state.private.store(word::COUNTERS, 11);
    for offset in LEFT_OVERS {
        assert_ne!(rig.state.register(offset), 0, "{offset:#06x} has something to lose");
    }
    rig.messages.take();
    rig.host.calls.clear();
    rig
}

#[test]
fn every_reset_stops_dma_first_then_tells_the_pf_and_leaves_nothing() {
    for way in WAYS {
        let mut rig = busy();
        let generations = Seen::of(&rig.state).generations;
        way.go(&mut rig);
        let calls = rig.host.take_calls();
        let Some(Call::Quiesce(seen)) = calls.first() else { panic!("{way:?}: {calls:?}") };
        assert_eq!((seen.dma_enabled, seen.enabled), (false, 0), "{way:?}");
        assert!(seen.generations.iter().zip(&generations).all(|(now, before)| now != before), "{way:?}");
        assert_eq!(calls[1], Call::Request(GuestRequest::Reset), "{way:?}");
        for offset in LEFT_OVERS {
            assert_eq!(rig.state.register(offset), 0, "{way:?}: {offset:#06x}");
        }
        assert_eq!(Seen::of(&rig.state).enabled, 0);
        assert!((0..QUEUES).all(|queue| rig.state.register(tx(queue, TAIL)) == 0));
        assert_eq!(rig.state.private.load(word::MAX_FRAME), 1518);
        assert_eq!(rig.state.private.load(word::UNICAST), 0);
        rig.set_command(0x106);
        assert_eq!(rig.read(VFMBMEM), 0);
        assert_eq!(rig.read(VFMAILBOX), 0x80, "{way:?}: reset done, no longer in reset");
        assert_eq!(rig.read(VFMAILBOX), 0, "reading clears it");
        assert_eq!(rig.message(&[0x10, 0])[0], NACK | 0x10, "{way:?}: RESET must come first");
        assert_eq!(rig.message(&[1])[0], ACK | 1);
        assert_eq!(rig.messages.take(), [0; 3], "{way:?}: no interrupt of before");
    }
}

#[test]
fn only_the_driver_s_own_reset_keeps_statistics_and_config_space() {
    for way in WAYS {
        let mut rig = busy();
        way.go(&mut rig);
        let kept = way == Way::Driver;
        assert_eq!(rig.state.register(VFGPRC), if kept { 11 } else { 0 }, "{way:?}");
        assert_eq!(rig.state.register(VFGORC_LSB), if kept { 1111 } else { 0 }, "{way:?}");
        assert_eq!(rig.state.private.load(word::COUNTERS), if kept { 11 } else { 0 }, "{way:?}");
        assert_eq!(rig.read_config(4) & 0x6, if kept { 6 } else { 0 }, "{way:?}: Command");
        assert_eq!(rig.state.private.load(word::DMA_ENABLED), u32::from(kept), "{way:?}");
        assert_eq!(rig.control.config().read(0, 4), Ok(0x1565_8086));
    }
}

#[test]
fn msix_table_is_masked_again_by_resets_of_the_function() {
    for way in WAYS {
        let mut rig = Rig::x550();
        rig.control.bar3_write(0x0c, &0_u32.to_le_bytes());
        way.go(&mut rig);
        rig.set_command(0x106);
        let mut control = [0; 4];
        rig.control.bar3_read(0x0c, &mut control);
        assert_eq!(control[0], u8::from(way != Way::Driver), "{way:?}");
    }
}

/// DPDK writes all the queues' registers between the reset and RESET; none of this may need an answer.
#[test]
fn queues_work_after_a_reset() {
    let mut rig = busy();
    rig.write(VFCTRL, 1 << 26);
    rig.enable_queue(1);
    assert!(rig.control.is_receiving());
    assert_eq!(Seen::of(&rig.state).enabled, 0x202);
}

#[test]
fn assigned_address_comes_back() {
    let mut rig = busy();
    assert_eq!(rig.message(&[2, 0xaa00_5452, 0xccbb])[0] >> 31, 1, "SET_MAC");
    rig.write(VFCTRL, 1 << 26);
    let reply = rig.message(&[1]);
    assert_eq!(reply[1..4], [0x8200_5452, 0x0159, 0], "{MAC}");
}

#[test]
fn capabilities_hide_at_connect_only_where_msix_is_deferred() {
    let listed = |rig: &Rig| rig.read_config(4) >> 20 & 1 == 1;
    for (msix, hidden) in [(MsixExposure::Native, false), (MsixExposure::Deferred, true)] {
        let mut rig = Rig::off(Profile::X550, Identity { msix, ..identity() });
        assert_eq!(listed(&rig), !hidden, "{msix:?} at the start");
        Way::FlrByPf.go(&mut rig);
        assert_eq!(listed(&rig), !hidden, "{msix:?}: not what the VMM waits for");
        Way::Device.go(&mut rig);
        assert!(listed(&rig), "{msix:?} after the device reset");
        Way::FlrByPf.go(&mut rig);
        assert!(listed(&rig), "{msix:?}: stays");
        Way::Disconnected.go(&mut rig);
        assert_eq!(listed(&rig), !hidden, "{msix:?} for the next session");
    }
}

#[test]
fn nothing_is_left_of_a_function_that_was_unplugged() {
    let mut rig = busy();
    rig.control.unplug(&mut rig.host);
    let calls = rig.host.take_calls();
    assert_eq!(calls.len(), 1);
    let Call::Quiesce(seen) = &calls[0] else { panic!("{calls:?}") };
    assert_eq!((seen.dma_enabled, seen.enabled), (false, 0));
    assert_eq!(rig.read(VFMAILBOX), u32::MAX, "which tells the driver");
    assert_eq!(rig.read_config(0), u32::MAX);
    let mut bytes = [0; 4];
    rig.control.bar3_read(0, &mut bytes);
    assert_eq!(bytes, [0xff; 4]);
    let before = Seen::of(&rig.state);
    rig.write(rx(0, CONTROL), ENABLE);
    rig.set_command(0x106);
    rig.control.bar3_write(0, &[0; 4]);
    WAYS.into_iter().for_each(|way| way.go(&mut rig));
    rig.set_command(0x106);
    let after = Seen::of(&rig.state);
    assert_eq!((after.dma_enabled, after.enabled), (before.dma_enabled, before.enabled));
    let mut rig = rig.restart(Profile::X550, identity());
    assert_eq!(rig.read(VFMAILBOX), u32::MAX, "also for the next data path");
    assert_eq!(rig.state.private.load(word::DMA_ENABLED), 0);
}
