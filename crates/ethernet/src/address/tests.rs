use proptest::prelude::*;

use super::*;

fn mac(text: &str) -> MacAddr {
    text.parse().unwrap()
}

proptest! {
    #[test]
    fn text_and_json_round_trip(bytes: [u8; 6]) {
        let mac = MacAddr(bytes);
        prop_assert_eq!(mac.to_string().parse(), Ok(mac));
        prop_assert_eq!(mac.to_string().replace(':', "-").to_uppercase().parse(), Ok(mac));
        let json = serde_json::to_string(&mac).unwrap();
        prop_assert_eq!(&json, &format!("\"{mac}\""));
        prop_assert_eq!(serde_json::from_str::<MacAddr>(&json).unwrap(), mac);
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC{0,24}|[0-9a-fA-F:-]{17}") {
        if let Ok(mac) = text.parse::<MacAddr>() {
            prop_assert_eq!(mac.to_string(), text.replace('-', ":").to_lowercase());
        }
    }

    /// Section 3 of the VF specification numbers the bits of the address from byte 0 upwards.
    #[test]
    fn multicast_hash_takes_the_bits_that_its_type_names(bytes: [u8; 6]) {
        let [a, b, c, d, e, f] = bytes;
        let number = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
        for (filter, low_bit) in [
            (McFilterType::Bits47To36, 36),
            (McFilterType::Bits46To35, 35),
            (McFilterType::Bits45To34, 34),
            (McFilterType::Bits43To32, 32),
        ] {
            prop_assert_eq!(u64::from(multicast_hash(MacAddr(bytes), filter)), number >> low_bit & 0xfff);
        }
    }

    #[test]
    fn to_u64_keeps_the_order_of_the_wire(a: [u8; 6], b: [u8; 6]) {
        prop_assert_eq!(MacAddr(a).cmp(&MacAddr(b)), MacAddr(a).to_u64().cmp(&MacAddr(b).to_u64()));
    }
}

#[test]
fn multicast_hash_of_the_mdns_group() {
    assert_eq!(multicast_hash(mac("01:00:5e:00:00:fb"), McFilterType::default()), 0xfb0);
    assert_eq!(multicast_hash(mac("33:33:ff:12:34:56"), McFilterType::Bits43To32), 0x634);
}

#[test]
fn discriminants_are_those_of_the_reset_reply() {
    let types = [
        McFilterType::Bits47To36,
        McFilterType::Bits46To35,
        McFilterType::Bits45To34,
        McFilterType::Bits43To32,
    ];
    assert_eq!(types.map(|filter| filter as u8), [0, 1, 2, 3]);
}

#[test]
fn other_texts_are_refused_with_an_example() {
    let long = "0".repeat(10_000);
    for text in [
        "",
        "02:00:00:00:00",
        "02:00:00:00:00:1",
        "02:00:00:00:00:001",
        "020000000001",
        "02:00:00:00:00:0g",
        "02:00-00:00:00:01",
        "02.00.00.00.00.01",
        "02:00:00:00:00:01 ",
        "+2:00:00:00:00:01",
        "é2:00:00:00:00:1",
        &long,
    ] {
        let message = text.parse::<MacAddr>().unwrap_err().to_string();
        assert!(message.contains("as in 02:00:00:00:00:01"), "{message}");
        assert!(message.len() < 200, "{message}");
    }
    assert!(
        serde_json::from_str::<MacAddr>("\"02:00\"").unwrap_err().to_string().contains("\"02:00\" is not")
    );
    assert!(serde_json::from_str::<MacAddr>("17").is_err());
}

#[test]
fn classes_of_addresses() {
    for (text, multicast, broadcast, zero, unicast, control) in [
        ("02:00:00:00:00:01", false, false, false, true, false),
        ("fe:ff:ff:ff:ff:ff", false, false, false, true, false),
        ("00:00:00:00:00:00", false, false, true, false, false),
        ("ff:ff:ff:ff:ff:ff", true, true, false, false, false),
        ("01:00:5e:00:00:01", true, false, false, false, false),
        ("01:80:c2:00:00:00", true, false, false, false, true),
        ("01:80:c2:00:00:0e", true, false, false, false, true),
        ("01:80:c2:00:00:10", true, false, false, false, false),
        ("01:80:c2:00:01:00", true, false, false, false, false),
    ] {
        let mac = mac(text);
        assert_eq!(
            (
                mac.is_multicast(),
                mac.is_broadcast(),
                mac.is_zero(),
                mac.is_unicast(),
                mac.is_link_local_control()
            ),
            (multicast, broadcast, zero, unicast, control),
            "{text}"
        );
    }
}

/// S03: PAUSE and priority flow control are sent to this address.
#[test]
fn s03_pause_address_is_link_local_control() {
    assert!(mac("01:80:c2:00:00:01").is_link_local_control());
}

/// S04: the destinations of STP, LACP and LLDP.
#[test]
fn s04_stp_lacp_lldp_addresses_are_link_local_control() {
    for last in [0x00, 0x02, 0x03, 0x0e, 0x0f] {
        assert!(MacAddr([0x01, 0x80, 0xc2, 0, 0, last]).is_link_local_control());
    }
}
