//! What changes under traffic: VFs come and go, the data path is rebuilt.

use anyhow::{Context, Result, ensure};

use super::super::config::Config;
use super::super::daemon::Footprint;
use super::super::net;
use super::super::scene::Lab;
use super::super::shell::Shell;

/// Alpha's first adapter carries traffic to beta; its second comes and goes beside it.
pub(super) fn hotplug_100_cycles(lab: &Lab) -> Result<()> {
    const CYCLES: u32 = 100;
    let scene = lab.scene_without(&Config::plain(2, 2), &[(0, 1)])?;
    let guests @ [alpha, beta] = scene.guests::<2>()?;
    let links = net::up_all(guests)?;
    let there = net::up(beta, 1)?;
    net::ping(alpha, &links[1].v4)?;
    net::start_pinging(alpha, &links[1].v4, "0.02")?;

    let mut steady = None;
    for cycle in 1..=CYCLES {
        let turn = || -> Result<()> {
            alpha.plug(1)?;
            net::up(alpha, 1)?;
            alpha.sh(&format!("ping -n -q -c 1 -w 20 {}", there.v4))?;
            alpha.unplug(1)
        };
        turn().with_context(|| format!("in cycle {cycle}"))?;
        // The first turns may warm something up; from then on nothing may grow.
        if cycle == 3 {
            steady = Some(scene.daemon.footprint()?);
        }
    }
    let steady = steady.context("there are more than three cycles")?;
    scene.daemon.await_footprint(steady)?;
    let (sent, lost) = net::stop_pinging(alpha)?;
    ensure!(sent > 100 && lost == 0, "{lost} of {sent} pings beside the hot-plugged VF are lost");
    scene.finish()
}

pub(super) fn datapath_rebuild_20x(lab: &Lab) -> Result<()> {
    const REBUILDS: u32 = 20;
    const STREAM: &str = "-t 15";
    // A data path that is built anew maps the state pages and the ring registers of each VF by itself; whoever looked at
    // them before (config space) keeps its own mapping. So the first rebuild adds these, and no other may add anything.
    const STATE_PAGES: Footprint = Footprint { fds: 4, memory_maps: 4 };
    let mut scene = lab.scene(&Config::pair())?;
    let links = net::up_all(scene.guests::<2>()?)?;
    let most = scene.daemon.footprint()? + STATE_PAGES;
    scene.daemon.may_keep(STATE_PAGES);
    let guests @ [alpha, beta] = scene.guests::<2>()?;
    net::serve_iperf(beta)?;

    net::start_iperf(alpha, &links[1].v4, STREAM)?;
    net::start_pinging(beta, &links[0].v4, "0.05")?;
    for rebuild in 1..=REBUILDS {
        scene.daemon.call(&["datapath", "rebuild"]).with_context(|| format!("rebuild {rebuild}"))?;
        // Frames pass between two rebuilds.
        beta.sh(&format!("ping -n -q -c 1 -w 10 {}", links[0].v4))?;
    }
    alpha.sh("pidof iperf3").context("the stream ended before the rebuilds did")?;
    net::finish_iperf(alpha, STREAM)?;
    let (sent, lost) = net::stop_pinging(beta)?;
    ensure!(lost * 20 <= sent, "{lost} of {sent} pings were lost during {REBUILDS} rebuilds");
    scene.daemon.await_footprint(most)?;
    for (guest, link) in guests.iter().zip(&links) {
        let errors = net::checksum_errors(guest, &link.dev)?;
        ensure!(errors == 0, "{} has counted {errors} checksum errors", guest.name());
    }
    scene.finish()
}
