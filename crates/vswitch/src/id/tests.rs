use super::*;

#[test]
fn a_guid_reads_back_as_it_is_shown() {
    let guid = Guid(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    assert_eq!(guid.to_string(), "01234567-89ab-cdef-0123-456789abcdef");
    assert_eq!(guid.to_string().parse(), Ok(guid));
    let json = serde_json::to_string(&guid).unwrap();
    assert_eq!(serde_json::from_str::<Guid>(&json).unwrap(), guid);
}

#[test]
fn what_is_no_guid_is_refused() {
    for text in ["", "1", "0123456789abcdef0123456789abcdef", "+1234567-89ab-cdef-0123-456789abcdef"] {
        assert!(text.parse::<Guid>().is_err(), "{text}");
    }
}
