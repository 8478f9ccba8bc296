use super::pcapng::{Direction, Packet, interface, packet, section, statistics};

/// The blocks of a file: type and body. Fails unless each has its length at both ends.
fn blocks(mut file: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap());
    let mut all = Vec::new();
    while !file.is_empty() {
        let length = word(&file[4..]) as usize;
        assert_eq!(length % 4, 0);
        assert_eq!(word(&file[length - 4..]) as usize, length);
        all.push((word(file), file[8..length - 4].to_vec()));
        file = &file[length..];
    }
    all
}

#[test]
fn a_file_has_the_blocks_of_the_format() {
    let mut file = Vec::new();
    section(&mut file, "softiov");
    interface(&mut file, "alpha/net0", 1000);
    let time = 0x0102_0304_0506_0708;
    let one = Packet {
        interface: 0,
        time,
        direction: Direction::Outbound,
        length: 60,
        bytes: &[1, 2, 3, 4, 5],
        comment: Some("egress:acl"),
    };
    packet(&mut file, one);
    statistics(&mut file, 0, time, 7, 2);
    let blocks = blocks(&file);
    assert_eq!(blocks.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [0x0a0d_0d0a, 1, 6, 5]);
    assert_eq!(blocks[0].1[..8], [0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0]);
    let name = [&[2, 0, 10, 0][..], b"alpha/net0", &[0, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]].concat();
    assert_eq!(blocks[1].1, [&[1, 0, 0, 0, 0xe8, 3, 0, 0][..], &name].concat());
    let expected = [
        &[0, 0, 0, 0, 4, 3, 2, 1, 8, 7, 6, 5, 5, 0, 0, 0, 60, 0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0][..],
        &[2, 0, 4, 0, 2, 0, 0, 0, 1, 0, 10, 0],
        b"egress:acl",
        &[0, 0, 0, 0, 0, 0],
    ];
    assert_eq!(blocks[2].1, expected.concat());
    let counts = [4, 0, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0, 5, 0, 8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(blocks[3].1[12..], counts);
}
