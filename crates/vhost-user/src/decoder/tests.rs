use super::*;

fn header(size: u32) -> Vec<u8> {
    [1_u32, Header::VERSION, size].iter().flat_map(|word| word.to_ne_bytes()).collect()
}

#[test]
fn never_asks_for_bytes_beyond_the_message() {
    let mut decoder = Decoder::default();
    assert_eq!(decoder.space().len(), HEADER_SIZE);
    assert_eq!(decoder.push(&header(40)), HEADER_SIZE);
    assert!(decoder.message().unwrap().is_none());
    assert_eq!(decoder.space().len(), 40);
    assert_eq!(decoder.push(&[7; 100]), 40);
    assert_eq!(decoder.message().unwrap().unwrap().payload, [7; 40]);
    assert!(!decoder.is_mid_message());
    assert_eq!(decoder.space().len(), HEADER_SIZE);
}

#[test]
fn longest_payload_is_taken() {
    let mut decoder = Decoder::default();
    decoder.push(&header(4096));
    assert!(decoder.message().unwrap().is_none());
    assert_eq!(decoder.push(&[1; 5000]), 4096);
    assert_eq!(decoder.message().unwrap().unwrap().payload.len(), 4096);
    decoder.push(&header(4097));
    assert_eq!(decoder.message().unwrap_err(), BadHeader::Size { size: 4097 });
}

#[test]
fn filling_more_than_was_asked_for_does_no_harm() {
    let mut decoder = Decoder::default();
    decoder.push(&header(4096));
    decoder.advance(usize::MAX - HEADER_SIZE);
    assert_eq!(decoder.message().unwrap().unwrap().payload.len(), 4096);
}

#[test]
fn errors_name_what_came() {
    assert!(BadHeader::Version { found: 3 }.to_string().contains("version 3"));
    assert!(BadHeader::Size { size: 5000 }.to_string().contains("5000"));
}
