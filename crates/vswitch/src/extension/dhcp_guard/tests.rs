use crate::DropReason;
use crate::testing::packets::{ethernet, ipv4, ipv6, tcp, udp};
use crate::testing::{Lab, mac};

#[test]
fn e5_a_guarded_port_is_no_dhcp_server() {
    let mut lab = Lab::new();
    let guarded = lab.vm_with(1, |policy| policy.dhcp_guard = true);
    let client = lab.vm(2);
    let mut send = |from, kind, packet: Vec<u8>| {
        let source = if from == guarded { mac(1) } else { mac(2) };
        let other = if from == guarded { mac(2) } else { mac(1) };
        lab.send_bytes(from, &ethernet(other, source, kind, &packet), None).map(|_| ())
    };
    let guard = Err(DropReason::DhcpGuard);
    assert_eq!(send(guarded, 0x0800, ipv4(1, 2, 17, 0, &udp(67, 68))), guard);
    assert_eq!(send(guarded, 0x0800, ipv4(1, 2, 17, 0x2000, &udp(67, 9999))), guard, "a first fragment");
    assert_eq!(send(guarded, 0x86dd, ipv6(1, 2, 17, &udp(547, 546))), guard);
    let unreadable = Err(DropReason::IngressUnreadable);
    assert_eq!(send(guarded, 0x0800, ipv4(1, 2, 17, 0, &udp(67, 68)[..4])), unreadable);
    // It may ask, and whatever else.
    for (kind, packet) in [
        (0x0800, ipv4(1, 2, 17, 0, &udp(68, 67))),
        (0x86dd, ipv6(1, 2, 17, &udp(546, 547))),
        (0x0800, ipv4(1, 2, 6, 0, &tcp(67, 68))),
        (0x0800, ipv4(1, 2, 17, 0, &udp(547, 68))),
        (0x0800, ipv4(1, 2, 17, 64, &udp(67, 68))),
        (0x0806, vec![0; 28]),
    ] {
        assert_eq!(send(guarded, kind, packet), Ok(()));
    }
    assert_eq!(send(client, 0x0800, ipv4(2, 1, 17, 0, &udp(67, 68))), Ok(()), "without guard");
}
