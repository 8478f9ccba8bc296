//! What recorded drivers did, done again: every read whose value the control half alone decides is what the driver saw
//! then.

use crate::registers::VFMBMEM;
use crate::rejection::Rejection;
use crate::rig::{CYCLES_PER_MICROSECOND, MAC, Rig, identity};
use crate::{Identity, MailboxApi, MsixExposure, Profile, ResetKind};

/// A line of a recording.
enum Line<'a> {
    Read { name: &'a str, offset: u32, value: u32 },
    Write { offset: u32, value: u32 },
    Config { offset: u64, value: u32, width: usize },
    Msix { offset: u64, value: u32 },
    Message { text: &'a str, reply: u32 },
    Reset(ResetKind),
}

fn hex(text: &str) -> u32 {
    u32::from_str_radix(text, 16).unwrap()
}

fn parse(line: &str) -> Option<Line<'_>> {
    if line.starts_with('#') || line.is_empty() {
        return None;
    }
    if let Some(text) = line.strip_prefix("MBX ") {
        // The reply to RESET was recorded in words.
        let reply = match text.rsplit_once("-> ").unwrap() {
            (_, "ACK perm_mac mc_type=0") => 0x8000_0001,
            (_, reply) => hex(reply),
        };
        return Some(Line::Message { text, reply });
    }
    let fields: Vec<_> = line.split_whitespace().collect();
    Some(match fields[..] {
        ["R", name, offset, "=", value] => Line::Read { name, offset: hex(&offset[1..5]), value: hex(value) },
        ["W", _, offset, "=", value] => Line::Write { offset: hex(&offset[1..5]), value: hex(value) },
        ["CFG", "W", place, "=", value] => {
            let (offset, width) = place.split_once('/').unwrap();
            Line::Config { offset: hex(offset).into(), value: hex(value), width: width.parse().unwrap() }
        }
        ["MSIX", "tab", "W", offset, "=", value] => {
            Line::Msix { offset: hex(offset).into(), value: hex(value) }
        }
        ["RESET", "device"] => Line::Reset(ResetKind::Device),
        ["RESET", "disconnected"] => Line::Reset(ResetKind::Disconnected),
        _ => panic!("cannot read line {line:?}"),
    })
}

/// Registers whose values frames decide.
fn is_of_the_data_half(name: &str) -> bool {
    name.starts_with("VFG") || name.starts_with("VFMPRC") || name.starts_with("VFTDH")
}

/// Replays a recording; the number of reads and replies compared.
fn replay(rig: &mut Rig, recording: &str) -> (usize, usize) {
    let (mut reads, mut replies) = (0, 0);
    for (number, line) in recording.lines().enumerate() {
        let at = number + 1;
        // Longer than any moderation interval; the worker sends what it held.
        rig.host.now += 2000 * CYCLES_PER_MICROSECOND;
        rig.control.interrupts.release(rig.host.now);
        match parse(line) {
            None => {}
            Some(Line::Read { name, offset, value }) => {
                let found = rig.read(offset);
                if !is_of_the_data_half(name) {
                    assert_eq!(found, value, "line {at}: {line}, found {found:#010x}");
                    reads += 1;
                }
            }
            Some(Line::Write { offset, value }) => rig.write(offset, value),
            Some(Line::Config { offset, value, width }) => {
                rig.write_config(offset, &value.to_le_bytes()[..width]);
            }
            Some(Line::Msix { offset, value }) => rig.control.bar3_write(offset, &value.to_le_bytes()),
            Some(Line::Message { reply, .. }) => {
                assert_eq!(rig.state.register(VFMBMEM), reply, "line {at}: {line}");
                replies += 1;
            }
            Some(Line::Reset(kind)) => rig.control.reset(kind, &mut rig.host),
        }
    }
    (reads, replies)
}

/// A VF with its link up, as the VMM finds it.
fn rig(profile: Profile, identity: Identity) -> Rig {
    let mut rig = Rig::off(profile, identity);
    rig.control.set_link(true, &mut rig.host);
    rig
}

/// No access of a well-behaved driver is rejected.
fn assert_nothing_rejected(rig: &Rig) {
    let rejected: Vec<_> = rig.control.rejections().iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(rejected, []);
}

#[test]
fn linux_on_82599_with_esx_framing() {
    let mut rig = rig(Profile::I82599, Identity { esx_framing: true, ..identity() });
    assert_eq!(replay(&mut rig, include_str!("../../../tests/data/linux_82599.txt")), (449, 23));
    assert_nothing_rejected(&rig);
}

#[test]
fn linux_on_x540_with_api_1_4() {
    let mut rig = rig(Profile::X540, Identity { newest_api: MailboxApi::V1_4, ..identity() });
    assert_eq!(replay(&mut rig, include_str!("../../../tests/data/linux_x540_api14.txt")), (184, 11));
    // 1.7, 1.6 and 1.5 were offered first.
    assert_eq!(rig.rejected(Rejection::UnsupportedApi), 3);
}

#[test]
fn linux_without_mailbox() {
    let mut rig = rig(Profile::I82599, identity());
    let recording = include_str!("../../../tests/data/linux_82599_hyperv.txt");
    assert_eq!(replay(&mut rig, recording), (20, 0));
    assert_nothing_rejected(&rig);
}

#[test]
fn dpdk_on_x550() {
    let mut rig = rig(Profile::X550, identity());
    assert_eq!(replay(&mut rig, include_str!("../../../tests/data/dpdk_x550.txt")), (153, 11));
    assert_nothing_rejected(&rig);
}

#[test]
fn deferred_msix_appears_with_the_first_device_reset_of_each_session() {
    let mut rig = rig(Profile::X550, Identity { msix: MsixExposure::Deferred, ..identity() });
    let recording = include_str!("../../../tests/data/deferred_msix.txt");
    let sessions: Vec<_> = recording.split("RESET disconnected\n").collect();
    assert_eq!(sessions.len(), 2);
    for session in sessions {
        let has_list = |rig: &Rig| rig.read_config(4) >> 20 & 1 == 1;
        assert!(!has_list(&rig), "QEMU realizes the device without capabilities");
        let (_, after_reset) = session.split_once("RESET device\n").unwrap();
        rig.control.reset(ResetKind::Device, &mut rig.host);
        assert!(has_list(&rig), "the guest finds MSI-X");
        rig.set_command(0x106);
        replay(&mut rig, after_reset);
        assert_nothing_rejected(&rig);
        rig.control.reset(ResetKind::Disconnected, &mut rig.host);
    }
}

/// Words of the request that a message was recorded as.
fn request(text: &str) -> Vec<u32> {
    let (name, arguments) = text.split_once(' ').unwrap();
    let arguments: Vec<_> = arguments.split(" -> ").next().unwrap().split_whitespace().collect();
    let number = |n: usize| arguments[n].split_once('=').map_or(arguments[n], |(_, value)| value);
    match name {
        "RESET" => vec![1],
        "API_NEGOTIATE" => vec![8, if number(0) == "1.7" { 8 } else { panic!("{text}") }],
        "FEATURES_NEGOTIATE" => vec![0x12, number(0).parse().unwrap()],
        "GET_QUEUES" => vec![9, 0, 0, 0, 0],
        "GET_LINK_STATE" => vec![0x10, 0],
        "UPDATE_XCAST_MODE" => vec![0xc, number(0).parse().unwrap()],
        "SET_LPE" => vec![5, number(0).parse().unwrap()],
        "SET_VLAN" => vec![1 << 16 | 4, number(1).parse().unwrap()],
        "SET_MACVLAN" => vec![6, 0, 0],
        "SET_MAC" => {
            let bytes = arguments[0].parse::<ethernet::MacAddr>().unwrap().0;
            let [a, b, c, d, e, f] = bytes;
            vec![2, u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, 0, 0])]
        }
        "SET_MULTICAST" => {
            let hashes: Vec<_> = arguments[1..].iter().map(|hash| hex(hash)).collect();
            let count = u32::try_from(hashes.len()).unwrap();
            let mut words = vec![count << 16 | 3];
            words.extend(hashes.chunks(2).map(|pair| pair[0] | pair.get(1).unwrap_or(&0) << 16));
            words.resize(16, 0);
            words
        }
        _ => panic!("{text}"),
    }
}

#[test]
fn linux_on_x550_messages_and_rss() {
    let mut rig = rig(Profile::X550, Identity { esx_framing: true, ..identity() });
    let (mut messages, mut written) = (0, std::collections::BTreeMap::new());
    for line in include_str!("../../../tests/data/linux_x550_messages.txt").lines() {
        match parse(line) {
            Some(Line::Message { text, reply }) => {
                let words = request(text);
                let answer = rig.message(&words);
                assert_eq!(answer[0], reply, "{line}");
                if text.starts_with("RESET") {
                    assert_eq!(answer[1..4], [0x8200_5452, 0x0159, 0], "{MAC}");
                    written.clear();
                }
                messages += 1;
            }
            Some(Line::Write { offset, value }) => {
                rig.write(offset, value);
                written.insert(offset, value);
            }
            Some(Line::Reset(kind)) => {
                rig.control.reset(kind, &mut rig.host);
                rig.set_command(0x106);
            }
            _ => {}
        }
        for (offset, value) in &written {
            assert_eq!(rig.read(*offset), *value, "RSS register {offset:#06x} reads back");
        }
    }
    assert_eq!(messages, 101);
    assert_nothing_rejected(&rig);
}
