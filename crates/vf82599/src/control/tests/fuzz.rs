//! Random accesses: whatever a guest or a VMM does, ids and constants stand, nothing panics, and DMA is never allowed
//! while config space forbids it.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::registers::{REGISTER_BYTES, VFRXMEMWRAP, VFSTATUS};
use crate::rig::{Call, Rig, identity};
use crate::state::word;
use crate::{Profile, ResetKind};

#[derive(Clone, Debug)]
enum Move {
    Read(u64, usize),
    Write(u64, Vec<u8>),
    Register(u32, u32),
    Message(Vec<u32>),
    ConfigRead(u64, usize),
    ConfigWrite(u64, Vec<u8>),
    MsixRead(u64, usize),
    MsixWrite(u64, Vec<u8>),
    Link(bool),
    Mac(bool),
    Reset(ResetKind),
    Refuse(bool),
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => vec(any::<u8>(), 4), 1 => vec(any::<u8>(), 0..20)]
}

fn offset(end: u64) -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..end + 8, 1 => any::<u64>()]
}

fn moves() -> impl Strategy<Value = Move> {
    let defined: Vec<u32> = crate::register_map::REGISTERS
        .iter()
        .flat_map(|register| (0..register.count).map(|n| register.offset + n * register.stride))
        .collect();
    let message = (any::<u32>(), 0..0x14_u32, vec(any::<u32>(), 15)).prop_map(|(word, opcode, rest)| {
        let mut words = vec![word & 0x00ff_0000 | opcode];
        words.extend(rest);
        words
    });
    let kind =
        prop_oneof![Just(ResetKind::FunctionLevel), Just(ResetKind::Device), Just(ResetKind::Disconnected)];
    prop_oneof![
        2 => (offset(REGISTER_BYTES), 0..20_usize).prop_map(|(at, length)| Move::Read(at, length)),
        2 => (offset(REGISTER_BYTES), bytes()).prop_map(|(at, data)| Move::Write(at, data)),
        12 => (prop::sample::select(defined), any::<u32>()).prop_map(|(at, value)| Move::Register(at, value)),
        6 => message.prop_map(Move::Message),
        2 => (offset(4096), 0..20_usize).prop_map(|(at, length)| Move::ConfigRead(at, length)),
        4 => (offset(4096), bytes()).prop_map(|(at, data)| Move::ConfigWrite(at, data)),
        1 => (0..8_u16).prop_map(|command| Move::ConfigWrite(4, command.to_le_bytes().to_vec())),
        1 => (offset(0x4000), 0..20_usize).prop_map(|(at, length)| Move::MsixRead(at, length)),
        1 => (offset(0x40), bytes()).prop_map(|(at, data)| Move::MsixWrite(at, data)),
        1 => any::<bool>().prop_map(Move::Link),
        1 => any::<bool>().prop_map(Move::Mac),
        1 => kind.prop_map(Move::Reset),
        1 => any::<bool>().prop_map(Move::Refuse),
    ]
}

fn make(rig: &mut Rig, one: &Move) {
    let Rig { control, host, .. } = rig;
    host.now += 1000;
    match one {
        Move::Read(at, length) => control.bar0_read(*at, &mut vec![0; *length], host),
        Move::Write(at, data) => control.bar0_write(*at, data, host),
        Move::Register(at, value) => control.bar0_write((*at).into(), &value.to_le_bytes(), host),
        Move::Message(words) => {
            for (n, word) in words.iter().enumerate() {
                control.bar0_write(0x200 + 4 * n as u64, &word.to_le_bytes(), host);
            }
            control.bar0_write(0x2fc, &1_u32.to_le_bytes(), host);
        }
        Move::ConfigRead(at, length) => control.config_read(*at, &mut vec![0; *length]),
        Move::ConfigWrite(at, data) => control.config_write(*at, data, host),
        Move::MsixRead(at, length) => control.bar3_read(*at, &mut vec![0; *length]),
        Move::MsixWrite(at, data) => control.bar3_write(*at, data),
        Move::Link(up) => control.set_link(*up, host),
        Move::Mac(some) => control.set_mac(some.then_some(crate::rig::MAC), host),
        Move::Reset(kind) => control.reset(*kind, host),
        Move::Refuse(refuses) => host.refuses = *refuses,
    }
}

/// What holds after every move.
fn check(rig: &mut Rig, dma_before: bool) -> Result<(), TestCaseError> {
    prop_assert_eq!(rig.read_config(0), 0x1565_8086);
    prop_assert_eq!(rig.read_config(8), 0x0200_0001);
    let dma = rig.state.private.load(word::DMA_ENABLED) == 1;
    prop_assert_eq!(dma, rig.control.config().is_bus_master());
    let calls = rig.host.take_calls();
    if dma_before && !dma {
        prop_assert!(calls.iter().any(|call| matches!(call, Call::Quiesce(seen) if !seen.dma_enabled)));
    }
    prop_assert_eq!(rig.state.register(VFSTATUS), 0x0008_0000);
    prop_assert_eq!(rig.state.register(VFRXMEMWRAP), 0);
    let max_frame = rig.state.private.load(word::MAX_FRAME);
    prop_assert!((68..=9728).contains(&max_frame));
    prop_assert!(rig.state.private.load(word::UNICAST) <= 16);
    Ok(())
}

/// Registers that are written and read after a restart: mailbox, a ring's, enable bits, one that is only stored.
const LATER: &[u32] = &[0x200, 0x2fc, 0x1000, 0x1028, 0x2018, 0x108, 0x300];

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_accesses_breaks_the_function(sequence in vec(moves(), 1..200)) {
        let mut rig = Rig::x550();
        for one in &sequence {
            let dma_before = rig.state.private.load(word::DMA_ENABLED) == 1;
            make(&mut rig, one);
            check(&mut rig, dma_before)?;
        }
        // And a driver that comes now finds a device that works.
        rig.host.refuses = false;
        rig.control.reset(ResetKind::Device, &mut rig.host);
        rig.set_command(0x106);
        rig.control.set_mac(Some(crate::rig::MAC), &mut rig.host);
        rig.start_driver(8);
    }

    /// A restart at any point is not seen by the driver: the same accesses read the same.
    #[test]
    fn a_restart_changes_nothing_that_registers_show(
        sequence in vec(moves(), 1..100),
        later in vec((prop::sample::select(LATER), any::<u32>()), 1..20),
    ) {
        let mut rigs = [Rig::x550(), Rig::x550()];
        for rig in &mut rigs {
            sequence.iter().for_each(|one| make(rig, one));
            rig.host.refuses = false;
        }
        let [plain, other] = rigs;
        let identity = crate::Identity { mac: plain_mac(&sequence), ..identity() };
        let mut rigs = [plain, other.restart(Profile::X550, identity)];
        for (offset, value) in later {
            let [plain, restarted] = rigs.each_mut().map(|rig| {
                let before = rig.read(offset);
                rig.write(offset, value);
                (before, rig.read(offset), rig.mailbox_words())
            });
            prop_assert_eq!(plain, restarted);
        }
    }
}

/// The address assigned after `sequence`.
fn plain_mac(sequence: &[Move]) -> Option<ethernet::MacAddr> {
    let last =
        sequence.iter().rev().find_map(|one| if let Move::Mac(some) = one { Some(*some) } else { None });
    last.unwrap_or(true).then_some(crate::rig::MAC)
}
