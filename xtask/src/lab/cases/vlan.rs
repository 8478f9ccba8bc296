//! VLANs: tagged by the guest on a trunk adapter, or by the adapter for the guest.

use anyhow::Result;

use super::super::config::{Adapter, Config, Vlans};
use super::super::net::{self, Link};
use super::super::scene::Lab;
use super::super::shell::Shell;
use super::super::vm::Vm;

/// Adds a VLAN device on top of a guest's first adapter, in subnet `vlan`.
fn tagged(guest: &Vm, link: &Link, vlan: u16) -> Result<Link> {
    let dev = format!("vlan{vlan}");
    guest.sh(&format!("ip link add link {} name {dev} type vlan id {vlan}", link.dev))?;
    net::up_device(guest, &dev, usize::from(vlan))
}

pub(super) fn vlan_in_guest(lab: &Lab) -> Result<()> {
    let config = Config::plain(3, 1)
        .with(0, 0, Adapter::trunk_of_all)
        .with(1, 0, |adapter| adapter.trunk(vec![Vlans::One(10), Vlans::Range("100-200")]))
        .with(2, 0, |adapter| adapter.access(10));
    let scene = lab.scene(&config)?;
    let guests @ [alpha, beta, gamma] = scene.guests::<3>()?;
    let [alpha_link, beta_link, _] = net::up_all(guests)?;
    net::serve_iperf(beta)?;

    for vlan in [10, 100, 200] {
        tagged(alpha, &alpha_link, vlan)?;
        let to = tagged(beta, &beta_link, vlan)?;
        net::ping(alpha, &to.v4)?;
        net::ping(alpha, &to.v6)?;
        net::iperf(alpha, &to.v4, "-t 1")?;
    }
    // Gamma's guest knows nothing of VLANs; its adapter is an access port of VLAN 10.
    let dev = gamma.netdev(0)?;
    let access = net::up_device(gamma, &dev, 10)?;
    net::ping(alpha, &access.v4)?;
    net::ping(beta, &access.v6)?;

    // Beta's trunk does not carry VLAN 30: its guest may be refused the VLAN, and reaches nobody in any case.
    let outside = tagged(alpha, &alpha_link, 30)?;
    beta.try_sh(&format!("ip link add link {} name vlan30 type vlan id 30", beta_link.dev))?;
    beta.try_sh("ip addr add 10.0.30.2/24 dev vlan30 && ip link set vlan30 up")?;
    net::unreachable(alpha, &outside, "10.0.30.2")?;
    scene.finish()
}

pub(super) fn eight_vfs_all_pairs(lab: &Lab) -> Result<()> {
    const VLANS: [u16; 2] = [10, 20];
    let mut config = Config::plain(4, 2);
    for guest in 0..4 {
        for (adapter, vlan) in VLANS.into_iter().enumerate() {
            config = config.with(guest, adapter, |plain| plain.access(vlan));
        }
    }
    let scene = lab.scene(&config)?;
    let guests = scene.guests::<4>()?;
    let mut links = Vec::new();
    for guest in guests {
        links.push([net::up(guest, 0)?, net::up(guest, 1)?]);
    }
    for (from, guest) in guests.iter().enumerate() {
        for (to, there) in links.iter().enumerate().filter(|(to, _)| *to != from) {
            for net in [0, 1] {
                net::ping(guest, &there[net].v4)?;
                net::ping(guest, &there[net].v6)?;
            }
            // The other VLAN's address of the same guest does not answer in this VLAN.
            if to == (from + 1) % 4 {
                net::unreachable(guest, &links[from][0], &there[1].v4)?;
                net::unreachable(guest, &links[from][1], &there[0].v4)?;
            }
        }
    }
    scene.finish()
}
