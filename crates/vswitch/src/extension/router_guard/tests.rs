use crate::DropReason;
use crate::testing::packets::{ethernet, icmp, ipv4, ipv6};
use crate::testing::{Lab, mac};

#[test]
fn e5_a_guarded_port_is_no_router() {
    let mut lab = Lab::new();
    let guarded = lab.vm_with(1, |policy| policy.router_guard = true);
    lab.vm(2);
    let mut send = |kind, packet: &[u8]| {
        lab.send_bytes(guarded, &ethernet(mac(2), mac(1), kind, packet), None).map(|_| ())
    };
    let guard = Err(DropReason::RouterGuard);
    assert_eq!(send(0x86dd, &ipv6(1, 2, 58, &icmp(134))), guard);
    assert_eq!(send(0x86dd, &ipv6(1, 2, 58, &icmp(137))), guard);
    assert_eq!(send(0x0800, &ipv4(1, 2, 1, 0, &icmp(5))), guard);
    assert_eq!(send(0x0800, &ipv4(1, 2, 1, 0, &icmp(9))), guard);
    let behind_options = [&[58, 0, 1, 4, 0, 0, 0, 0], &*icmp(134)].concat();
    assert_eq!(send(0x86dd, &ipv6(1, 2, 60, &behind_options)), guard);
    let split = [&[60, 0, 0, 1, 0, 0, 0, 9], &[58, 9, 0, 0, 0, 0, 0, 0][..]].concat();
    assert_eq!(send(0x86dd, &ipv6(1, 2, 44, &split)), Err(DropReason::IngressUnreadable), "RFC 7113");
    for (kind, packet) in [
        (0x86dd, ipv6(1, 2, 58, &icmp(133))),
        (0x86dd, ipv6(1, 2, 58, &icmp(135))),
        (0x86dd, ipv6(1, 2, 58, &icmp(5))),
        (0x0800, ipv4(1, 2, 1, 0, &icmp(8))),
        (0x0800, ipv4(1, 2, 1, 0, &icmp(134))),
    ] {
        assert_eq!(send(kind, &packet), Ok(()));
    }
}
