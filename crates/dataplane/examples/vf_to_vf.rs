//! What it costs the worker to move a frame from one VF to another.
//!
//! ```text
//!   cargo run --release -p dataplane --example vf_to_vf
//! ```
//!
//! One thread, on the first CPU, is the driver of both VMs: it writes each frame (so that the sender's cache lines are
//! dirty, as with a real sender), posts it, takes what has arrived and refills. The worker runs on the second CPU. The
//! driver is often the slower of the two, so that the figure to compare is the worker's busy cycles per frame. The
//! plain copy is measured in the same run, on the worker's CPU, between the same buffers, freshly written by the other
//! CPU likewise.
//!
//! Cycles are those of the time stamp counter. The time to hand a cache line over says how near the two CPUs are to
//! each other; compare only runs in which it is alike.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot start has nothing better to do than to end")]

#[expect(dead_code, unreachable_pub, reason = "the tests use more of it")]
#[path = "../../vf82599/src/queue/tests/driver.rs"]
mod driver;
#[expect(unreachable_pub, reason = "the tests use it too")]
#[path = "../src/tests/guest.rs"]
mod guest;
#[expect(unreachable_pub, reason = "the tests use it too")]
#[path = "../src/tests/switch.rs"]
mod switch;

use std::hint::spin_loop;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dataplane::{
    Attachment, Config, Dataplane, Doorbell, Extent, Handle, Kick, Place, PollMode, PortCounters, Snapshot,
};
use guest_memory::{Access, MemoryView};
use nic_switch::VPortId;
use rustix::thread::{CpuSet, sched_setaffinity};
use sys::clock;
use vf82599::registers::{HEAD, TAIL, rx, tx};

use self::driver::{Context, EOP, MEMORY, RS, RxRing, TSE, TXSM, TxRing};
use self::guest::Guest;

const DRIVER_CPU: usize = 0;
const WORKER_CPU: usize = 1;
const RING: u32 = 1024;
/// Frames that the driver posts and takes at a time.
const BATCH: u32 = 32;
/// Bytes between the buffers of two frames.
const STRIDE: u64 = 0x2_0000;
const BUFFERS: u64 = MEMORY + 0x20_0000;
/// Buffers that are used in turn.
const SLOTS: u32 = 256;
const WINDOW: Duration = Duration::from_millis(700);

/// One row of the table.
struct Case {
    name: &'static str,
    bytes: usize,
    /// Segment size, for TSO.
    mss: Option<u32>,
}

const CASES: [Case; 5] = [
    Case { name: "64", bytes: 64, mss: None },
    Case { name: "256", bytes: 256, mss: None },
    Case { name: "1518", bytes: 1514, mss: None },
    Case { name: "9000", bytes: 9014, mss: None },
    Case { name: "64K TSO", bytes: 65_226, mss: Some(1448) },
];

fn main() -> io::Result<()> {
    pin(DRIVER_CPU);
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:>8} {:>9} {:>8} {:>8} {:>12} {:>11} {:>8} {:>7}",
        "frame", "hand-over", "Mpps", "Gbit/s", "busy cyc/frm", "copy cycles", "copy/frm", "burst"
    )?;
    let only = std::env::args().nth(1);
    for case in CASES.iter().filter(|case| only.as_ref().is_none_or(|name| name == case.name)) {
        let near = hand_over();
        let run = forward(case);
        let copy = plain_copy(case.bytes);
        let bits = run.frames_per_second * 8.0 * case.bytes as f64 / 1e9;
        writeln!(
            out,
            "{:>8} {:>6.0} ns {:>8.3} {:>8.2} {:>12.0} {:>11.0} {:>7.0}% {:>7.1}",
            case.name,
            near,
            run.frames_per_second / 1e6,
            bits,
            run.busy_cycles,
            copy,
            100.0 * copy / run.busy_cycles,
            run.burst,
        )?;
    }
    Ok(())
}

struct Run {
    frames_per_second: f64,
    busy_cycles: f64,
    burst: f64,
}

/// A VM with one queue pair.
struct Vm {
    guest: Guest,
    kick: Kick,
    tx: TxRing,
    rx: RxRing,
    /// Transmit descriptors that the driver knows to be done.
    done: u32,
    slot: u32,
}

impl Vm {
    fn new(handle: &Handle, vport: usize) -> Self {
        let mut guest = Guest::plug(handle, vport, 0x400_0000);
        let tx = TxRing::enable(&mut guest, 0, MEMORY, RING);
        let mut rx = RxRing::enable(&mut guest, 0, MEMORY + 0x300_0000, RING, 2, 0);
        rx.fill(&guest.domain.view(), &mut guest);
        Self {
            guest,
            kick: handle.kick(Place::VPort(VPortId(u32::try_from(vport).unwrap()))),
            tx,
            rx,
            done: 0,
            slot: 0,
        }
    }

    /// Posts up to a batch of frames; the doorbell is the register in memory that a guest may have mapped.
    fn send(&mut self, view: &MemoryView, case: &Case, template: &[u8]) {
        let per_frame = if case.mss.is_some() { 2 } else { 1 };
        let mut free = (self.done + RING - 1 - self.tx.tail) % RING;
        if free < BATCH * per_frame {
            self.done = self.guest.state.register(tx(0, HEAD));
            free = (self.done + RING - 1 - self.tx.tail) % RING;
        }
        let count = (free / per_frame).min(BATCH);
        for n in 0..count {
            let address = BUFFERS + u64::from(self.slot) * STRIDE;
            self.slot = (self.slot + 1) % SLOTS;
            view.slice(address, template.len(), Access::Write).unwrap().write(0, template).unwrap();
            let report = if n + 1 == count { RS } else { 0 };
            match case.mss {
                None => self.tx.post(view, driver::data(address, template.len(), EOP | report, 0)),
                Some(mss) => {
                    let context = Context {
                        mac_len: 14,
                        ip_len: 20,
                        ipv4: true,
                        l4: 1,
                        l4_len: 20,
                        mss,
                        slot: 0,
                        vlan: 0,
                    };
                    self.tx.post(view, context.words());
                    self.tx.post(view, driver::data(address, template.len(), EOP | report | TSE, TXSM));
                }
            }
        }
        if count > 0 {
            self.guest.state.set_register(tx(0, TAIL), self.tx.tail);
            self.kick.kick();
        }
    }

    /// Takes what has arrived, and gives the buffers back.
    fn receive(&mut self, view: &MemoryView) {
        let mut taken = 0;
        while taken < 4 * BATCH && self.rx.done(view).is_some() {
            self.rx.next = (self.rx.next + 1) % RING;
            taken += 1;
        }
        if taken > 0 {
            self.rx.refill(view, taken);
            self.guest.state.set_register(rx(0, TAIL), self.rx.tail);
            self.kick.kick();
        }
    }
}

fn forward(case: &Case) -> Run {
    let config = Config { cpu: Some(WORKER_CPU), poll: PollMode::Busy, ..Config::default() };
    let dataplane = Dataplane::start(&config, &switch::capabilities(), switch::snapshot(2)).unwrap();
    let handle = dataplane.handle();
    let (mut one, mut two) = (Vm::new(&handle, 1), Vm::new(&handle, 2));
    let (from, to) = (one.guest.domain.view(), two.guest.domain.view());
    let template = frame(case.bytes);
    let mut work = |window: Duration| {
        let (began, first) = (Instant::now(), handle.statistics());
        while began.elapsed() < window {
            for _ in 0..16 {
                one.send(&from, case, &template);
                two.receive(&to);
            }
        }
        let (elapsed, last) = (began.elapsed(), handle.statistics());
        let frames = (last.frames - first.frames) as f64;
        Run {
            frames_per_second: frames / elapsed.as_secs_f64(),
            busy_cycles: (last.busy_cycles - first.busy_cycles) as f64 / frames,
            burst: frames / (last.bursts - first.bursts) as f64,
        }
    };
    work(WINDOW / 4);
    work(WINDOW)
}

/// A UDP or, if it is long, TCP packet from VPort 1 to VPort 2.
fn frame(bytes: usize) -> Vec<u8> {
    let mut frame = [switch::mac(2).0, switch::mac(1).0].concat();
    let protocol = if bytes > 10_000 { 6 } else { 17 };
    let total = u16::try_from(bytes - 14).unwrap().to_be_bytes();
    frame.extend([
        8, 0, 0x45, 0, total[0], total[1], 0, 9, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ]);
    frame.extend([0x30, 0x39, 0, 80, 0, 0, 0, 0, 0, 0, 0, 9, 0x50, 0x18, 1, 0, 0, 0, 0, 0]);
    frame.resize(bytes, 0x5a);
    frame
}

/// Cycles that one copy of `bytes` takes on the worker's CPU, when this CPU has just written the source and read the
/// destination.
fn plain_copy(bytes: usize) -> f64 {
    let domains = [driver::memory(0x400_0000), driver::memory(0x400_0000)];
    let template = vec![0x5a; bytes];
    let (turn, cycles) = (AtomicU64::new(0), AtomicU64::new(0));
    let stride = |n: u32, step: u64| BUFFERS + u64::from(n % SLOTS) * step;
    // In the receive ring buffers lie close together.
    let step = (bytes as u64).next_multiple_of(2048);
    let rounds = 2000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(WORKER_CPU);
            let (from, to) = (domains[0].view(), domains[1].view());
            for round in 0..rounds {
                while turn.load(Ordering::Acquire) != 2 * u64::from(round) + 1 {
                    spin_loop();
                }
                let began = clock::tsc();
                for n in round * BATCH..(round + 1) * BATCH {
                    let source = from.slice(stride(n, STRIDE), bytes, Access::Read).unwrap();
                    let destination = to.slice(stride(n, step), bytes, Access::Write).unwrap();
                    guest_memory::copy(source, destination).unwrap();
                }
                cycles.fetch_add(clock::tsc() - began, Ordering::Relaxed);
                turn.store(2 * u64::from(round) + 2, Ordering::Release);
            }
        });
        let (from, to) = (domains[0].view(), domains[1].view());
        for round in 0..rounds {
            for n in round * BATCH..(round + 1) * BATCH {
                from.slice(stride(n, STRIDE), bytes, Access::Write).unwrap().write(0, &template).unwrap();
            }
            turn.store(2 * u64::from(round) + 1, Ordering::Release);
            while turn.load(Ordering::Acquire) != 2 * u64::from(round) + 2 {
                spin_loop();
            }
            for n in round * BATCH..(round + 1) * BATCH {
                to.slice(stride(n, step), 8, Access::Read).unwrap().load_u64(0).unwrap();
            }
        }
    });
    cycles.into_inner() as f64 / f64::from(rounds * BATCH)
}

/// Nanoseconds to hand a cache line from one CPU to the other.
fn hand_over() -> f64 {
    const ROUNDS: u64 = 100_000;
    let line = AtomicU64::new(0);
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(WORKER_CPU);
            for n in 0..ROUNDS {
                while line.load(Ordering::Acquire) != 2 * n + 1 {
                    spin_loop();
                }
                line.store(2 * n + 2, Ordering::Release);
            }
        });
        for n in 0..ROUNDS {
            line.store(2 * n + 1, Ordering::Release);
            while line.load(Ordering::Acquire) != 2 * n + 2 {
                spin_loop();
            }
        }
    });
    began.elapsed().as_nanos() as f64 / (2 * ROUNDS) as f64
}

fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).unwrap();
}
