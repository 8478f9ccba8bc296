use super::*;

fn capabilities(json: &str) -> Result<Negotiated, Reason> {
    negotiate(0, 1, format!("{{\"capabilities\": {{{json}}}}}\0").as_bytes())
}

#[test]
fn what_the_client_leaves_out_has_the_default_of_the_protocol() {
    let defaults = Negotiated { minor: 1, client_fds: 1, client_xfer_size: 1 << 20 };
    for data in [&b""[..], b"{}\0", b"{\"capabilities\": {}}\0", b"{\"other\": [1, {}]}\0"] {
        assert_eq!(negotiate(0, 1, data), Ok(defaults), "{}", String::from_utf8_lossy(data));
    }
    assert_eq!(capabilities(r#""max_dma_maps": 65535, "twin_socket": {"supported": true}"#), Ok(defaults));
}

#[test]
fn transfers_keep_to_the_lower_bound_of_both_sides() {
    for (client, agreed) in
        [("1", 1), ("65536", 65536), ("1048577", 1 << 20), ("18446744073709551615", 1 << 20)]
    {
        let negotiated = capabilities(&format!("\"max_data_xfer_size\": {client}")).unwrap();
        assert_eq!(negotiated.client_xfer_size, agreed);
    }
}

#[test]
fn possible_values_are_accepted() {
    for json in [
        r#""max_msg_fds": 0"#,
        r#""max_msg_fds": 1024"#,
        r#""pgsizes": 4096"#,
        r#""pgsizes": 2101248"#,
        r#""pgsizes": 65536"#,
        r#""migration": {}"#,
        r#""migration": {"pgsize": 4096, "max_bitmap_size": 268435456}"#,
    ] {
        assert!(capabilities(json).is_ok(), "{json}");
    }
}

#[test]
fn impossible_values_are_refused() {
    for json in [
        r#""max_msg_fds": 1025"#,
        r#""max_msg_fds": 2147483648"#,
        r#""max_data_xfer_size": 0"#,
        r#""pgsizes": 0"#,
        r#""pgsizes": 3"#,
        r#""pgsizes": 4097"#,
        r#""migration": {"pgsize": 0}"#,
        r#""migration": {"pgsize": 4095}"#,
    ] {
        assert_eq!(capabilities(json), Err(Reason::VersionCapability), "{json}");
    }
}
