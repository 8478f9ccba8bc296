use virt_stack::Generation;
use virt_stack::desired::Name;

use super::DeviceId;

#[test]
fn a_device_is_known_by_its_id_again() {
    for name in ["net0", "0", "_lan-2.0", "a-1"] {
        let device = DeviceId { adapter: Name::new(name).unwrap(), generation: Generation(u64::MAX) };
        assert_eq!(DeviceId::parse(&device.to_string()), Some(device));
    }
    for foreign in ["vf0", "softiov-1", "softiov-net0-x", "softiov-net0-", "softiov--1", "softiov-a b-1"] {
        assert_eq!(DeviceId::parse(foreign), None, "{foreign}");
    }
}
