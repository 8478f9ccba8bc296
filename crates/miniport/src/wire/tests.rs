use super::string::CountedString;
use super::*;

#[test]
fn a_payload_lies_behind_the_structure_and_within_the_buffer() {
    let buffer: Vec<u8> = (0..32).collect();
    assert_eq!(payload(&buffer, 20, 20, 12).unwrap(), &buffer[20..]);
    assert_eq!(payload(&buffer, 20, 32, 0).unwrap(), &[] as &[u8]);
    let offset = |offset, length| Err(Refusal::PayloadOffset { offset, length });
    assert_eq!(payload(&buffer, 20, 19, 1), offset(19, 1));
    assert_eq!(payload(&buffer, 20, MAX_OFFSET + 1, 0), offset(MAX_OFFSET + 1, 0));
    assert_eq!(payload(&buffer, 20, u32::MAX, u32::MAX), offset(u32::MAX, u32::MAX));
    assert_eq!(payload(&buffer, 20, 24, 9), Err(Refusal::BufferTooShort { needed: 33, given: 32 }));
}

#[test]
fn names_go_to_the_wire_and_back() {
    for name in ["", "a", "Default Switch", "Köln 🚆", &"x".repeat(256)] {
        assert_eq!(CountedString::new(name).get().unwrap(), name);
    }
}

#[test]
fn a_name_that_is_too_long_is_cut_where_the_array_ends() {
    assert_eq!(CountedString::new(&"x".repeat(300)).get().unwrap(), "x".repeat(256));
}
