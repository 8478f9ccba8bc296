use guest_memory::DmaDomain;
use port::{Burst, Spec};

use super::*;
use crate::testing::frames::{Packet, TCP};
use crate::testing::{MAC, TX_BUFFERS, memory};

fn with_frame(domain: &DmaDomain, bytes: &[u8], look: impl FnOnce(&Frame<'_>)) {
    let mut burst = Burst::new();
    domain.view().write_bytes(TX_BUFFERS, bytes).unwrap();
    burst.begin(domain.view());
    burst.gather(TX_BUFFERS, bytes.len()).unwrap();
    burst.commit(&Spec::default()).unwrap();
    look(&burst.frame(0));
}

/// The verification suite's key and first vector: 66.9.149.187:2794 to 161.142.100.80:1766.
#[test]
fn the_drivers_table_decides() {
    let key = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0,
        0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42,
        0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ];
    let state = AdapterState::create("adapter", 4, MAC, 1500).unwrap();
    let mut table = [0; TABLE_ENTRIES as usize];
    // The hash is 0x51ccc178.
    table[0x78] = 3;
    let config = RssConfig { types: RssTypes::TCP4, mask: 127, default: 2, key, table };
    state.set_rss(Some(&config));
    assert_eq!(state.rss().as_ref(), Some(&config));
    let mut steering = Steering::new();
    steering.sync(&state);
    let mut bytes = TCP.build();
    bytes[26..30].copy_from_slice(&[66, 9, 149, 187]);
    bytes[30..34].copy_from_slice(&[161, 142, 100, 80]);
    bytes[34..36].copy_from_slice(&2794_u16.to_be_bytes());
    bytes[36..38].copy_from_slice(&1766_u16.to_be_bytes());
    let domain = memory();
    with_frame(&domain, &bytes, |frame| assert_eq!(steering.receive(frame, 4), 3));
    let udp = Packet { tcp: false, ..TCP }.build();
    with_frame(&domain, &udp, |frame| {
        // What the guest sent does not matter with a table.
        steering.sent(frame, 1);
        assert_eq!(steering.receive(frame, 4), 2);
        assert_eq!(steering.receive(frame, 2), 0, "never a queue that is not in use");
    });
    state.set_rss(None);
    steering.sync(&state);
    with_frame(&domain, &udp, |frame| {
        steering.sent(frame, 1);
        assert_eq!(steering.receive(frame, 4), 1);
    });
}

#[test]
fn what_is_no_ip_goes_to_the_first_queue() {
    let domain = memory();
    let mut steering = Steering::new();
    with_frame(&domain, &crate::testing::frames::plain(1, 64), |frame| {
        steering.sent(frame, 3);
        assert_eq!(steering.receive(frame, 4), 0);
    });
}

#[test]
fn flows_spread_over_the_queues() {
    let domain = memory();
    let steering = Steering::new();
    for v6 in [false, true] {
        let mut hit = [0; 4];
        for port in 0..64_u16 {
            let packet = Packet { v6, payload: 40, ..TCP };
            let mut bytes = packet.build();
            let l4 = packet.l4();
            bytes[l4..l4 + 2].copy_from_slice(&(40_000 + port).to_be_bytes());
            with_frame(&domain, &bytes, |frame| hit[steering.receive(frame, 4)] += 1);
        }
        assert!(hit.iter().all(|count| *count > 4), "{hit:?}");
    }
}
