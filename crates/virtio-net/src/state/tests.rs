use std::os::fd::AsFd;

use super::*;
use crate::testing::MAC;

fn state() -> AdapterState {
    AdapterState::create("adapter", 2, MAC, 1500).unwrap()
}

const CONFIG: RingConfig = RingConfig { size: 256, descriptors: 0x1000, driver: 0x2002, device: 0x3004 };
const START: Position = Position { available: 0, used: 0 };

#[test]
fn v13_ring_sizes() {
    for (packed, size, possible) in [
        (false, 0, false),
        (false, 1, true),
        (false, 3, false),
        (false, 32_768, true),
        (false, 32_769, false),
        (true, 0, false),
        (true, 3, true),
        (true, 32_768, true),
        (true, 65_535, false),
    ] {
        let state = state();
        let features = if packed { Features::RING_PACKED | Features::VERSION_1 } else { Features::empty() };
        state.set_features(features);
        let config = RingConfig { size, driver: 0x2000, ..CONFIG };
        let result = state.start_ring(0, config, START);
        let expected = if possible { Ok(()) } else { Err(RingSetupError::Size { size }) };
        assert_eq!(result, expected, "packed {packed}");
    }
}

#[test]
fn v11_v14_ring_numbers_and_alignment() {
    let state = state();
    assert_eq!(state.start_ring(4, CONFIG, START), Ok(()), "the control queue's");
    for ring in [5, 0x1_0000, usize::MAX] {
        assert_eq!(state.start_ring(ring, CONFIG, START), Err(RingSetupError::NoSuchRing { ring, count: 5 }));
        state.stop_ring(ring);
        state.enable_ring(ring, true);
        assert_eq!((state.position(ring), state.broken(ring)), (None, None));
    }
    for (config, address, align) in [
        (RingConfig { descriptors: 0x1008, ..CONFIG }, 0x1008, 16),
        (RingConfig { driver: 0x2001, ..CONFIG }, 0x2001, 2),
        (RingConfig { device: 0x3002, ..CONFIG }, 0x3002, 4),
    ] {
        assert_eq!(state.start_ring(0, config, START), Err(RingSetupError::Misaligned { address, align }));
    }
}

#[test]
fn a_packed_position_lies_in_the_ring() {
    let state = state();
    state.set_features(Features::RING_PACKED | Features::VERSION_1);
    let config = RingConfig { size: 5, driver: 0x2004, ..CONFIG };
    let at = |available| Position { available, used: available };
    assert_eq!(state.start_ring(0, config, at(0x8004)), Ok(()));
    let position = at(0x8005);
    let error = RingSetupError::Position { position: position.bits(), size: 5 };
    assert_eq!(state.start_ring(0, config, position), Err(error));
    assert_eq!(Position::from_bits(position.bits()), position);
    assert_eq!(Position::initial(state.features()).bits(), 0x8000_8000);
}

#[test]
fn state_is_found_again_and_nothing_else_is() {
    let state = state();
    state.set_pairs(2);
    state.set_features(Features::all());
    let fd = state.as_fd().try_clone_to_owned().unwrap();
    let again = AdapterState::open(fd).unwrap();
    assert_eq!((again.mac(), again.mtu(), again.pairs()), (MAC, 1500, 2));
    assert_eq!(again.features(), Features::all());
    state.device.store(word::MAX_PAIRS, 17);
    let open = || AdapterState::open(state.as_fd().try_clone_to_owned().unwrap());
    assert!(matches!(open(), Err(StateError::Pairs { found: 17 })));
    state.device.store(word::VERSION, 9);
    assert!(matches!(open(), Err(StateError::Version { found: 9 })));
    state.device.store(word::MAGIC, 7);
    assert!(matches!(open(), Err(StateError::NotAnAdapter { found: 7 })));
}

#[test]
fn offloads_are_a_part_of_what_was_agreed_on() {
    let state = state();
    state.set_features(Features::GUEST_CSUM | Features::GUEST_TSO4 | Features::VERSION_1);
    assert_eq!(state.guest_offloads(), Features::GUEST_CSUM | Features::GUEST_TSO4);
    state.set_guest_offloads(Features::all().difference(Features::GUEST_TSO4));
    assert_eq!(state.guest_offloads(), Features::GUEST_CSUM);
    state.set_guest_offloads(Features::GUEST_TSO4);
    assert_eq!(state.guest_offloads(), Features::empty(), "TSO needs checksums");
}

#[test]
fn a_reset_forgets_what_the_driver_asked_for() {
    let state = state();
    state.set_features(Features::all());
    state.set_pairs(2);
    state.set_reception((true, false));
    state.start_ring(0, RingConfig { driver: 0x2000, ..CONFIG }, Position::initial(Features::all())).unwrap();
    state.enable_ring(0, true);
    assert!(RingView::new(&state, 0).is_running());
    state.reset();
    assert!(!RingView::new(&state, 0).is_running());
    assert_eq!((state.features(), state.pairs(), state.reception()), (Features::empty(), 1, (false, false)));
    assert_eq!((state.mac(), state.mtu()), (MAC, 1500), "what is the host's stays");
}
