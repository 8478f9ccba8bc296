use virt_stack::{AdapterId, Generation};

use super::{device_id, parse_device_id};

#[test]
fn a_device_is_known_by_its_id_again() {
    let (adapter, generation) = (AdapterId(17), Generation(u64::MAX));
    assert_eq!(parse_device_id(&device_id(adapter, generation)), Some((adapter, generation)));
    for foreign in ["vf0", "softiov-1", "softiov-x-1", "softiov-1-", "softiov--1-2", "softiov-1-2-3"] {
        assert_eq!(parse_device_id(foreign), None, "{foreign}");
    }
}
