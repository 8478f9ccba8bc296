use ethernet::MacAddr;
use port::{GuestRequest, Reception};
use proptest::prelude::*;

use super::MailboxApi;
use super::message::{decode_mac, encode_mac, multicast_hashes};
use crate::registers::{VFMAILBOX, VFMBMEM};
use crate::rig::{ACK, CTS, MAC, NACK, Rig, identity};
use crate::state::word;
use crate::{Identity, Profile, Rejection};

/// A message and the first API version in which it is served; `None` for never.
struct Row {
    name: &'static str,
    words: &'static [u32],
    since: Option<MailboxApi>,
    request: Option<GuestRequest>,
}

const fn row(name: &'static str, words: &'static [u32], since: Option<MailboxApi>) -> Row {
    Row { name, words, since, request: None }
}

impl Row {
    fn asking(self, request: GuestRequest) -> Self {
        Self { request: Some(request), ..self }
    }
}

/// Every message on an X550 VF with two queue pairs. RESET and API_NEGOTIATE have tests of their own.
fn messages() -> Vec<Row> {
    use MailboxApi::{V1_0, V1_1, V1_2, V1_3, V1_6, V1_7};
    vec![
        row("SET_MAC_ADDR", &[2, 0xaa00_5452, 0xccbb], Some(V1_0))
            .asking(GuestRequest::SetMac(MacAddr([0x52, 0x54, 0x00, 0xaa, 0xbb, 0xcc]))),
        row("SET_MULTICAST", &[3 << 16 | 3, 0x0020_0010, 0xf015], Some(V1_0))
            .asking(GuestRequest::SetMulticast(vec![0x010, 0x020, 0x015])),
        row("SET_VLAN add", &[1 << 16 | 4, 4094], Some(V1_0)).asking(GuestRequest::AddVlan(4094)),
        row("SET_VLAN delete", &[4, 5], Some(V1_0)).asking(GuestRequest::RemoveVlan(5)),
        row("SET_VLAN add 0", &[1 << 16 | 4, 0], Some(V1_0)),
        row("SET_VLAN delete 0", &[4, 0], Some(V1_0)),
        row("SET_LPE shortest", &[5, 68], Some(V1_0)).asking(GuestRequest::SetMaxFrame(68)),
        row("SET_LPE longest", &[5, 9728], Some(V1_0)).asking(GuestRequest::SetMaxFrame(9728)),
        row("SET_MACVLAN clear", &[6], Some(V1_0)).asking(GuestRequest::SetUnicast(vec![])),
        row("SET_MACVLAN first", &[1 << 16 | 6, 0x0000_0002, 0x0100], Some(V1_0))
            .asking(GuestRequest::SetUnicast(vec![MacAddr([2, 0, 0, 0, 0, 1])])),
        row("GET_QUEUES", &[9, 0, 0, 0, 0], Some(V1_1)),
        row("GET_RETA", &[0xa], None),
        row("GET_RSS_KEY", &[0xb], None),
        row("XCAST none", &[0xc, 0], Some(V1_2)).asking(GuestRequest::SetReception(Reception::Unicast)),
        row("XCAST multi", &[0xc, 1], Some(V1_2)).asking(GuestRequest::SetReception(Reception::Multicast)),
        row("XCAST allmulti", &[0xc, 2], Some(V1_2))
            .asking(GuestRequest::SetReception(Reception::AllMulticast)),
        row("XCAST promisc", &[0xc, 3], Some(V1_3))
            .asking(GuestRequest::SetReception(Reception::Promiscuous)),
        row("IPSEC_ADD", &[0xd, 1, 2], None),
        row("IPSEC_DEL", &[0xe, 1], None),
        row("GET_LINK_STATE", &[0x10, 0], Some(V1_0)),
        row("GET_PF_LINK_STATE", &[0x11], Some(V1_6)),
        row("FEATURES_NEGOTIATE", &[0x12, 3], Some(V1_7)),
        row("opcode 0", &[0], None),
        row("opcode 7, which never was", &[7, 1], None),
        row("opcode 15, which never was", &[0xf], None),
        row("opcode 19, after the last", &[0x13], None),
        row("opcode 256, the PF's own", &[0x100], None),
    ]
}

fn requests(row: &Row) -> Vec<GuestRequest> {
    row.request.iter().cloned().collect()
}

#[test]
fn every_message_in_every_api_version() {
    for api in MailboxApi::ALL {
        let mut rig = Rig::x550();
        rig.start_driver(api.code());
        for row in messages() {
            let served = row.since.is_some_and(|since| since <= api);
            let reply = rig.message(row.words);
            let verdict = if served { ACK } else { NACK };
            assert_eq!(reply[0], row.words[0] | CTS | verdict, "{} in {api:?}", row.name);
            let asked = rig.host.take_requests();
            assert_eq!(asked, if served { requests(&row) } else { vec![] }, "{} in {api:?}", row.name);
        }
    }
}

#[test]
fn before_reset_every_message_is_nacked_without_cts() {
    let mut rig = Rig::x550();
    for row in messages() {
        assert_eq!(rig.message(row.words)[0], row.words[0] | NACK, "{}", row.name);
    }
    assert_eq!(rig.message(&[8, 8])[0], 8 | NACK, "API_NEGOTIATE");
    assert_eq!(rig.host.take_requests(), []);
    assert_eq!(rig.rejected(Rejection::BeforeReset), messages().len() as u64 + 1);
}

#[test]
fn what_the_pf_refuses_is_nacked_with_cts_and_changes_nothing() {
    let mut rig = Rig::x550();
    rig.start_driver(8);
    rig.host.refuses = true;
    for row in messages().into_iter().filter(|row| row.request.is_some()) {
        assert_eq!(rig.message(row.words)[0], row.words[0] | NACK | CTS, "{}", row.name);
        assert_eq!(rig.host.take_requests(), requests(&row));
    }
    assert_eq!(rig.state.private.load(word::MAX_FRAME), 1518);
    assert_eq!(rig.state.private.load(word::UNICAST), 0);
    // Whether VLAN 0 is heard is not the PF's to decide.
    assert_eq!(rig.message(&[1 << 16 | 4, 0])[0], 1 << 16 | 4 | ACK | CTS);
}

#[test]
fn versions_are_accepted_up_to_the_newest() {
    for newest in MailboxApi::ALL {
        let mut rig = Rig::new(Profile::X550, Identity { newest_api: newest, ..identity() });
        rig.start_driver(0);
        for code in 0..12 {
            let known = MailboxApi::from_code(code);
            assert_eq!(known.map(MailboxApi::code), known.map(|_| code));
            let before = rig.state.private.load(word::API);
            let accepted = known.is_some_and(|api| api <= newest);
            let reply = rig.message(&[8, code]);
            assert_eq!(
                reply[0],
                8 | CTS | if accepted { ACK } else { NACK },
                "code {code}, newest {newest:?}"
            );
            assert_eq!(rig.state.private.load(word::API), if accepted { code } else { before });
        }
    }
    assert_eq!(MailboxApi::from_code(1), None, "2.0");
    assert_eq!(MailboxApi::from_code(6), None, "1.5");
}

#[test]
fn a_reply_repeats_the_request() {
    let mut rig = Rig::x550();
    rig.start_driver(8);
    let mut request = [0; 16];
    request.iter_mut().zip(0x0bad_0000..).for_each(|(word, value)| *word = value);
    request[0] = 2 << 16 | 3;
    let reply = rig.message(&request);
    assert_eq!(reply[0], request[0] | ACK | CTS);
    assert_eq!(reply[1..], request[1..]);
}

#[test]
fn answers_carry_what_was_asked_for() {
    let mut rig = Rig::new(Profile::X550, Identity { queue_pairs: 5, ..identity() });
    rig.start_driver(8);
    assert_eq!(rig.message(&[9, 7, 7, 7, 7])[1..5], [5, 5, 0, 0]);
    assert_eq!(rig.message(&[0x10, 0])[1], 1);
    assert_eq!(rig.message(&[0x11, 0, 0])[1..3], [0x80, 1]);
    rig.control.set_link(false, &mut rig.host);
    rig.write(VFMAILBOX, 2);
    assert_eq!(rig.message(&[0x10, 0])[1], 1, "the link may come back");
    assert_eq!(rig.message(&[0x11, 0, 0])[1..3], [0x80, 0]);
}

#[test]
fn queue_pairs_stay_within_the_register_file() {
    for (queue_pairs, told) in [(0, 1), (1, 1), (8, 8), (9, 8), (u32::MAX, 8)] {
        let mut rig = Rig::new(Profile::X550, Identity { queue_pairs, ..identity() });
        rig.start_driver(8);
        assert_eq!(rig.message(&[9])[1], told);
    }
}

#[test]
fn features_are_granted_as_configured_and_never_ipsec() {
    for (esx_framing, grants) in [(false, [0, 0, 0, 0]), (true, [0, 0, 2, 2])] {
        let mut rig = Rig::new(Profile::X550, Identity { esx_framing, ..identity() });
        rig.start_driver(8);
        for (offered, granted) in (0..).zip(grants) {
            assert_eq!(rig.message(&[0x12, offered])[..2], [0x12 | ACK | CTS, granted]);
        }
        assert_eq!(rig.message(&[0x12, u32::MAX])[1], grants[3]);
    }
}

#[test]
fn older_parts_tell_the_pf_s_rss() {
    for profile in [Profile::X540, Profile::I82599] {
        let mut rig = Rig::new(profile, Identity { queue_pairs: 4, ..identity() });
        rig.start_driver(3);
        let reply = rig.message(&[0xa]);
        assert_eq!(reply[0], 0xa | ACK | CTS);
        assert_eq!(reply[1..9], [0xe4e4_e4e4; 8], "0, 1, 2, 3 in two bits each, 128 entries");
        let reply = rig.message(&[0xb]);
        assert_eq!(reply[0], 0xb | ACK | CTS);
        let key: Vec<u8> = reply[1..11].iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(key, identity().rss_key);
    }
}

#[test]
fn the_granted_receive_mode_may_be_less() {
    let mut rig = Rig::x550();
    rig.start_driver(8);
    rig.host.most = Reception::AllMulticast;
    for (asked, granted) in [(0, 0), (1, 1), (2, 2), (3, 2)] {
        assert_eq!(rig.message(&[0xc, asked])[..2], [0xc | ACK | CTS, granted]);
    }
}

#[test]
fn reset_forgets_and_tells_address_and_filter_type() {
    let mut rig = Rig::x550();
    rig.start_driver(8);
    rig.message(&[5, 9018]);
    rig.message(&[1 << 16 | 6, 2, 0]);
    rig.host.calls.clear();
    let reply = rig.message(&[1, 7, 7, 7, 7]);
    assert_eq!(reply[..4], [ACK | 1, 0x8200_5452, 0x0159, 0], "{MAC}, type 0, no CTS");
    assert_eq!(rig.host.take_requests(), [GuestRequest::Reset]);
    assert_eq!(rig.state.private.load(word::MAX_FRAME), 1518);
    assert_eq!(rig.state.private.load(word::UNICAST), 0);
    assert_eq!(rig.message(&[9])[0], 9 | NACK | CTS, "API 1.0 again");
}

#[test]
fn unicast_list_begins_grows_and_clears() {
    let mut rig = Rig::x550();
    rig.start_driver(8);
    let mac = |n: u8| MacAddr([2, 0, 0, 0, 0, n]);
    let mut send = |index: u32, n: u8| {
        let [low, high] = encode_mac(mac(n));
        let verdict = rig.message(&[index << 16 | 6, low, high])[0] >> 30;
        (verdict == 0b10, rig.host.take_requests())
    };
    let list = |ns: &[u8]| vec![GuestRequest::SetUnicast(ns.iter().map(|n| mac(*n)).collect())];
    assert_eq!(send(1, 1), (true, list(&[1])));
    assert_eq!(send(2, 2), (true, list(&[1, 2])));
    assert_eq!(send(2, 3), (true, list(&[1, 2, 3])), "DPDK adds each under index 2");
    assert_eq!(send(4, 2), (true, list(&[1, 2, 3])), "twice is once");
    assert_eq!(send(1, 9), (true, list(&[9])), "a new list");
    assert_eq!(send(0, 0), (true, list(&[])));
    assert_eq!(send(255, 5), (true, list(&[5])));
}

#[test]
fn unicast_list_is_bounded() {
    let mut rig = Rig::x550();
    rig.start_driver(8);
    for n in 0..100_u32 {
        let verdict = rig.message(&[n.max(1) << 16 | 6, 0x0000_0002 | n << 24, 0])[0] >> 30;
        // The first two both begin a list.
        assert_eq!(verdict == 0b10, n <= 16, "address {n}");
    }
    assert_eq!(rig.state.private.load(word::UNICAST), 16);
    assert_eq!(rig.rejected(Rejection::TooManyAddresses), 83);
}

#[test]
fn addresses_that_no_station_can_have_are_refused() {
    let mut rig = Rig::x550();
    rig.start_driver(8);
    for [low, high] in [[0, 0], [u32::MAX, u32::MAX], [1, 0], [0x0000_0001, 0xffff]] {
        assert_eq!(rig.message(&[2, low, high])[0], 2 | NACK | CTS);
        assert_eq!(rig.message(&[1 << 16 | 6, low, high])[0], 1 << 16 | 6 | NACK | CTS);
    }
    assert_eq!(rig.rejected(Rejection::BadAddress), 8);
    assert_eq!(rig.host.take_requests(), []);
}

#[test]
fn a_stale_request_is_read_and_not_answered() {
    let mut rig = Rig::x550();
    rig.start_driver(8);
    for bits in [ACK, NACK, ACK | NACK] {
        rig.write(VFMBMEM, bits | 1);
        rig.write(VFMAILBOX, 1);
        assert_eq!(rig.read(VFMAILBOX), 0x20, "PFACK alone");
        assert_eq!(rig.read(VFMBMEM), bits | 1);
    }
    assert_eq!(rig.rejected(Rejection::StaleRequest), 3);
    assert_eq!(rig.host.take_requests(), []);
}

/// CTS in a request means nothing: it must not come back unless it is due.
#[test]
fn cts_cannot_be_claimed() {
    let mut rig = Rig::x550();
    assert_eq!(rig.message(&[CTS | 0x10])[0], NACK | 0x10);
    assert_eq!(rig.message(&[CTS | 1])[0], ACK | 1);
}

#[test]
fn lock_and_event_bits() {
    let mut rig = Rig::x550();
    assert_eq!(rig.read(VFMAILBOX), 0x80);
    // Drivers write back what they have read: events cannot be made that way.
    rig.write(VFMAILBOX, 0xffff_fff8);
    assert_eq!(rig.read(VFMAILBOX), 0);
    rig.write(VFMAILBOX, 0xfc);
    assert_eq!(rig.read(VFMAILBOX), 4, "the lock stays until it is given back");
    assert_eq!(rig.read(VFMAILBOX), 4);
    rig.write(VFMAILBOX, 0x10);
    assert_eq!(rig.read(VFMAILBOX), 0);
    // Legacy: REQ gives the lock back. ESX: it keeps it.
    for (lock, left) in [(0, 0), (4, 4)] {
        rig.write(VFMAILBOX, 4);
        rig.write(VFMBMEM, 1);
        rig.write(VFMAILBOX, lock | 1);
        assert_eq!(rig.read(VFMAILBOX), 0x30 | left);
        assert_eq!(rig.read(VFMAILBOX), left);
        rig.write(VFMAILBOX, 2);
        assert_eq!(rig.read(VFMAILBOX), 0);
    }
}

#[test]
fn a_request_and_its_acknowledgement_in_one_write_are_served() {
    let mut rig = Rig::x550();
    rig.write(VFMBMEM, 1);
    rig.write(VFMAILBOX, 3);
    assert_eq!(rig.read(VFMBMEM), ACK | 1);
    rig.start_driver(8);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn addresses_survive_their_encoding(bytes in any::<[u8; 6]>()) {
        let mac = MacAddr(bytes);
        prop_assert_eq!(decode_mac(encode_mac(mac)), mac);
    }

    #[test]
    fn multicast_hashes_are_packed_two_in_a_word(hashes in prop::collection::vec(0..0x1000_u16, 30)) {
        let words: Vec<_> =
            hashes.chunks(2).map(|pair| u32::from(pair[0]) | u32::from(pair[1]) << 16).collect();
        prop_assert_eq!(multicast_hashes(&words).collect::<Vec<_>>(), hashes);
    }
}
