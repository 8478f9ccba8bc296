//! How long a decision takes: `cargo run --release -p vswitch --example decide`.
//!
//! One VM on a switch of 64 sends; nothing is delivered.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::hint::black_box;
use std::time::Instant;

use ethernet::MacAddr;
use vswitch::{
    AclAction, AclRule, Destinations, Direction, NicParameters, Packet, PortId, PortParameters, PortPolicy,
    State, SwitchParameters, SwitchType, VSwitch,
};

const ROUNDS: u32 = 20_000;
const BURST: u32 = 512;
const PORTS: u8 = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let deny = AclRule { protocol: Some(132), ..AclRule::any(Direction::Outbound, AclAction::Deny) };
    for (name, rules, stations) in [
        ("one station, frame after frame", vec![], 1),
        ("sixteen stations in turn", vec![], 16),
        ("sixty-three stations in turn", vec![], 63),
        ("one station, an ACL of one rule", vec![deny], 1),
    ] {
        let mut policy = PortPolicy::default();
        policy.acl.rules = rules;
        let nanoseconds = measure(&switch(&policy)?, stations);
        println!("{name:34} {nanoseconds:6.1} ns");
    }
    Ok(())
}

fn mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}

fn switch(policy: &PortPolicy) -> Result<VSwitch, vswitch::SwitchError> {
    let kind = SwitchType::Private;
    let parameters =
        SwitchParameters { name: String::new(), kind, bandwidth: None, nic_enforces: Default::default() };
    let mut switch = VSwitch::create(parameters, 1_000_000_000, 1)?;
    for n in 1..=PORTS {
        let port = switch.create_port(PortParameters::default())?;
        switch.set_policy(port, policy.clone())?;
        switch.create_nic(port, NicParameters { permanent_mac: mac(n), ..NicParameters::default() })?;
        switch.connect_nic(port)?;
    }
    Ok(switch)
}

/// Nanoseconds per frame that port 1 sends to so many stations in turn.
fn measure(switch: &VSwitch, stations: u32) -> f64 {
    let path = switch.snapshot();
    let (mut state, mut out) = (State::new(1_000_000_000, 1), Destinations::new());
    let frames: Vec<[u8; 64]> = (2..=PORTS)
        .map(|n| {
            let mut frame = [0; 64];
            frame[..6].copy_from_slice(&mac(n).0);
            frame[6..12].copy_from_slice(&mac(1).0);
            frame[12..34]
                .copy_from_slice(&[8, 0, 0x45, 0, 0, 50, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            frame
        })
        .collect();
    let packets: Vec<_> = frames.iter().map(|frame| Packet::described(PortId(1), frame, None)).collect();
    let mut next = packets.iter().take(stations as usize).cycle();
    // The least of many short runs: what the machine does besides does not count.
    let mut least = f64::INFINITY;
    for now in 0..ROUNDS {
        let start = Instant::now();
        for packet in next.by_ref().take(BURST as usize) {
            let decided = path.decide(&mut state, black_box(packet), now.into(), &mut out);
            assert!(decided.is_ok() && out.len() == 1);
        }
        least = least.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(BURST));
    }
    least
}
