//! What it costs a worker to move a frame from one synthetic adapter to another, the switch's decision not counted.
//!
//! ```text
//!   cargo run --release -p virtio-net --example virtio_to_virtio
//! ```
//!
//! One thread, on the first CPU, is the driver of both VMs: it writes each frame (so that the sender's cache lines are
//! dirty, as with a real sender), posts it, takes what has arrived and refills. The worker runs on the second CPU. The
//! driver is often the slower of the two, so that the figure to compare is the worker's busy cycles per frame, of rounds
//! that moved any; the median of the rounds, since other programs may be running. "Hot" is
//! the same with the driver on the worker's CPU between its rounds, so that no cache line changes hands: what is left
//! is instructions. Cycles are those of the time stamp counter. The time to hand a cache line over says how near the two
//! CPUs are to each other; compare only runs in which it is alike.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot start has nothing better to do than to end")]

use std::hint::spin_loop;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::time::{Duration, Instant};

use ethernet::MacAddr;
use guest_memory::{Access, DmaDomain, GuestSlice, Limits, MapRequest, MemoryView};
use port::{Burst, Consumed, Port, Put};
use rustix::fs::MemfdFlags;
use rustix::thread::{CpuSet, sched_setaffinity};
use sys::clock;
use virtio_net::{AdapterState, DirtyLogSlot, Features, Notify, Position, Profile, Queues, RingConfig};

const DRIVER_CPU: usize = 0;
const WORKER_CPU: usize = 1;
const RING: u16 = 1024;
/// Frames that the driver posts and takes at a time.
const BATCH: u16 = 32;
const BASE: u64 = 0x10_0000;
const BUFFERS: u64 = BASE + 0x10_0000;
/// The header stands before a cache line and the frame starts on one, as with drivers that leave headroom.
const HEADROOM: u64 = 52;
/// Buffers lie so many bytes apart, or a multiple of it.
const STRIDE: u64 = 2048;
const HEADER: usize = 12;
const MEMORY: u64 = 0x10_0000 + RING as u64 * 5 * STRIDE;
const WINDOW: Duration = Duration::from_millis(300);
const WINDOWS: usize = 5;

fn main() -> io::Result<()> {
    pin(DRIVER_CPU);
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:>7} {:>9} {:>6} {:>9} {:>8} {:>8} {:>18} {:>6} {:>5}",
        "ring", "in order", "frame", "hand-over", "Mpps", "Gbit/s", "busy cyc/frm (min)", "burst", "hot"
    )?;
    let only = std::env::args().nth(1);
    for (packed, in_order) in [(false, false), (false, true), (true, false), (true, true)] {
        let sizes = [64, 1518, 9000].into_iter();
        for bytes in sizes.filter(|bytes| only.as_ref().is_none_or(|only| *only == bytes.to_string())) {
            let mut features = Features::VERSION_1 | Features::MRG_RXBUF;
            features.set(Features::RING_PACKED, packed);
            features.set(Features::IN_ORDER, in_order);
            let near = hand_over();
            let mut runs = forward(features, bytes);
            runs.sort_by_key(|run| run.busy_cycles);
            let run = &runs[runs.len() / 2];
            writeln!(
                out,
                "{:>7} {:>9} {:>6} {:>6.0} ns {:>8.3} {:>8.2} {:>10} ({:>5}) {:>6.1} {:>5}",
                if packed { "packed" } else { "split" },
                if in_order { "yes" } else { "no" },
                bytes,
                near,
                run.frames_per_second / 1e6,
                run.frames_per_second * 8.0 * bytes as f64 / 1e9,
                run.busy_cycles,
                runs[0].busy_cycles,
                run.burst,
                hot(features, bytes),
            )?;
        }
    }
    Ok(())
}

struct Run {
    frames_per_second: f64,
    busy_cycles: usize,
    burst: f64,
}

/// The driver polls.
#[derive(Debug)]
struct Polled;

impl Notify for Polled {
    fn call(&self, _ring: usize) {}

    fn error(&self, ring: usize) {
        panic!("ring {ring} is broken");
    }
}

struct Vm {
    domain: Arc<DmaDomain>,
    state: AdapterState,
}

impl Vm {
    fn new(features: Features) -> Self {
        let domain = DmaDomain::new(Limits::default());
        let fd = rustix::fs::memfd_create("guest", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&fd, MEMORY).unwrap();
        let (writable, readable, offset) = (true, true, 0);
        let request = MapRequest { iova: BASE, size: MEMORY, offset, writable, readable, fd: fd.as_fd() };
        domain.map(request).unwrap();
        let state = AdapterState::create("adapter", 1, MacAddr([2, 0, 0, 0, 0, 1]), 9000).unwrap();
        state.set_link_up(true);
        state.set_features(features);
        Self { domain: Arc::new(domain), state }
    }

    fn queues(&self) -> Queues {
        let profile = Profile { call_interval: 0 };
        let (state, domain) = (self.state.clone(), Arc::clone(&self.domain));
        Queues::new(state, domain, Arc::new(Polled), DirtyLogSlot::default(), profile)
    }
}

type Cycles = port::Cycles;

/// A ring whose buffers are posted and come back in order, one descriptor each.
struct Ring<'v> {
    packed: bool,
    descriptors: GuestSlice<'v>,
    driver: GuestSlice<'v>,
    device: GuestSlice<'v>,
    buffers: GuestSlice<'v>,
    length: u64,
    stride: u64,
    writes: bool,
    posted: u64,
    taken: u64,
}

impl<'v> Ring<'v> {
    /// Starts ring number `ring`, in the memory of `view`.
    fn start(vm: &Vm, view: &'v MemoryView, ring: usize, bytes: usize) -> Self {
        let packed = vm.state.features().contains(Features::RING_PACKED);
        let base = BASE + ring as u64 * 0x1_0000;
        let config =
            RingConfig { size: RING, descriptors: base, driver: base + 0x4000, device: base + 0x8000 };
        vm.state.start_ring(ring, config, Position::initial(vm.state.features())).unwrap();
        vm.state.enable_ring(ring, true);
        let slice = |address, length| view.slice(address, length, Access::ReadWrite).unwrap();
        let driver = slice(config.driver, 0x4000);
        // No interrupts.
        let off: u32 = if packed { 1 << 16 } else { 1 };
        driver.write(0, &off.to_le_bytes()).unwrap();
        Self {
            packed,
            descriptors: slice(base, 0x4000),
            driver,
            device: slice(config.device, 0x4000),
            buffers: slice(BUFFERS, usize::try_from(u64::from(RING) * 5 * STRIDE).unwrap()),
            length: (HEADER + bytes) as u64,
            stride: (HEADROOM + (HEADER + bytes) as u64).next_multiple_of(STRIDE),
            writes: ring == 0,
            posted: 0,
            taken: 0,
        }
    }

    fn room(&self) -> u64 {
        u64::from(RING) - (self.posted - self.taken)
    }

    fn offset(&self, number: u64) -> usize {
        usize::try_from(number % u64::from(RING) * self.stride + HEADROOM).unwrap()
    }

    /// Posts the next `count` buffers, with `frame` in them if they are to be read.
    fn post(&mut self, count: u64, frame: &[u8]) {
        let first = self.posted;
        for number in first..first + count {
            let (slot, offset) = (number % u64::from(RING), self.offset(number));
            if !self.writes {
                self.buffers.write(offset, frame).unwrap();
            }
            let at = usize::try_from(slot * 16).unwrap();
            let flags = if self.writes { 2 } else { 0 };
            let address = BUFFERS + offset as u64;
            self.descriptors.write(at, &address.to_le_bytes()).unwrap();
            if self.packed {
                let lap = (number / u64::from(RING)).is_multiple_of(2);
                let word = self.length | slot << 32 | (flags | if lap { 1 << 7 } else { 1 << 15 }) << 48;
                self.descriptors.store_u64_release(at + 8, word).unwrap();
            } else {
                self.descriptors.write(at + 8, &(self.length | flags << 32).to_le_bytes()).unwrap();
                let head = u16::try_from(slot).unwrap().to_le_bytes();
                self.driver.write(4 + 2 * usize::from(u16::from_le_bytes(head)), &head).unwrap();
            }
        }
        self.posted += count;
        if !self.packed {
            fence(Ordering::Release);
            self.driver.write(2, &low(self.posted).to_le_bytes()).unwrap();
        }
    }

    /// Takes what came back, at most `most` buffers.
    fn take(&mut self, most: u64, in_order: bool) -> u64 {
        let came = if self.packed {
            self.take_packed(most, in_order)
        } else {
            let index: u16 = self.device.read_obj(2).unwrap();
            fence(Ordering::Acquire);
            u64::from(index.wrapping_sub(low(self.taken))).min(most)
        };
        self.taken += came;
        came
    }

    fn take_packed(&self, most: u64, in_order: bool) -> u64 {
        let mut came = 0;
        while came < most && self.taken + came < self.posted {
            let number = self.taken + came;
            let slot = number % u64::from(RING);
            let word = self.descriptors.load_u64_acquire(usize::try_from(slot * 16 + 8).unwrap()).unwrap();
            let lap = (number / u64::from(RING)).is_multiple_of(2);
            if (word >> 55 & 1 == 1) != lap || (word >> 63 == 1) != lap {
                break;
            }
            // In order, an entry stands for all up to its id.
            let id = word >> 32 & 0xffff;
            came += if in_order { (id + u64::from(RING) - slot) % u64::from(RING) + 1 } else { 1 };
        }
        came
    }
}

fn low(number: u64) -> u16 {
    let [a, b, ..] = number.to_le_bytes();
    u16::from_le_bytes([a, b])
}

#[derive(Default)]
struct Work {
    stop: AtomicBool,
    frames: AtomicU64,
    bursts: AtomicU64,
    /// Rounds by their cycles per frame.
    rounds: Histogram,
}

/// Counts of rounds. The median is not moved by rounds in which the worker was off its CPU.
struct Histogram(Box<[AtomicU64]>);

impl Default for Histogram {
    fn default() -> Self {
        Self((0..20_000).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Histogram {
    fn add(&self, cycles: u64) {
        let at = usize::try_from(cycles).unwrap().min(self.0.len() - 1);
        self.0[at].fetch_add(1, Ordering::Relaxed);
    }

    /// The median since the last call.
    fn median(&self) -> usize {
        let counts: Vec<u64> = self.0.iter().map(|count| count.swap(0, Ordering::Relaxed)).collect();
        let half = counts.iter().sum::<u64>() / 2;
        let mut sum = 0;
        let mut reached = |count: &u64| {
            sum += count;
            sum > half
        };
        counts.iter().position(&mut reached).unwrap_or(0)
    }
}

fn forward(features: Features, bytes: usize) -> Vec<Run> {
    let in_order = features.contains(Features::IN_ORDER);
    let (one, two) = (Vm::new(features), Vm::new(features));
    let (from, to) = (one.domain.view(), two.domain.view());
    let mut tx = Ring::start(&one, &from, 1, bytes);
    let mut rx = Ring::start(&two, &to, 0, bytes);
    let frame = frame(bytes);
    rx.post(rx.room(), &[]);
    let work = Work::default();
    std::thread::scope(|scope| {
        let queues = (one.queues(), two.queues());
        let work = &work;
        let thread = std::thread::Builder::new().name("worker".into());
        thread.spawn_scoped(scope, move || worker(queues, work)).unwrap();
        let mut window = || {
            let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let (began, first) = (Instant::now(), [&work.frames, &work.bursts].map(read));
            work.rounds.median();
            while began.elapsed() < WINDOW {
                for _ in 0..16 {
                    tx.take(u64::MAX, in_order);
                    let count = tx.room().min(u64::from(BATCH));
                    tx.post(count, &frame);
                    let came = rx.take(4 * u64::from(BATCH), false);
                    rx.post(came, &[]);
                }
            }
            let elapsed = began.elapsed();
            let last = [&work.frames, &work.bursts].map(read);
            let [frames, bursts] = std::array::from_fn(|n| (last[n] - first[n]) as f64);
            Run {
                frames_per_second: frames / elapsed.as_secs_f64(),
                busy_cycles: work.rounds.median(),
                burst: frames / bursts,
            }
        };
        window();
        let runs = (0..WINDOWS).map(|_| window()).collect();
        work.stop.store(true, Ordering::Relaxed);
        runs
    })
}

/// Moves frames until told to stop.
fn worker((mut from, mut to): (Queues, Queues), work: &Work) {
    pin(WORKER_CPU);
    let mut burst = Burst::new();
    from.ask_for_doorbells(false);
    to.ask_for_doorbells(false);
    while !work.stop.load(Ordering::Relaxed) {
        let began = clock::tsc();
        let frames = round(&mut from, &mut to, &mut burst, began);
        if frames > 0 {
            work.frames.fetch_add(frames, Ordering::Relaxed);
            work.bursts.fetch_add(1, Ordering::Relaxed);
            work.rounds.add((clock::tsc() - began) / frames);
        }
    }
}

/// Moves one burst; the number of its frames.
fn round(from: &mut Queues, to: &mut Queues, burst: &mut Burst, now: Cycles) -> u64 {
    from.fetch(burst, now);
    let mut consumed = Consumed { frames: burst.len(), pieces: 0 };
    for index in 0..burst.len() {
        if let Put::Full { next } = to.put(&burst.frame(index), None, 0) {
            consumed = Consumed { frames: index, pieces: next };
            break;
        }
    }
    if !burst.is_empty() {
        from.complete(burst, consumed, now);
    }
    burst.clear();
    from.flush(now);
    to.flush(now);
    consumed.frames as u64
}

/// Median cycles per frame of a worker that runs on the driver's CPU: no cache line changes hands.
fn hot(features: Features, bytes: usize) -> usize {
    let (one, two) = (Vm::new(features), Vm::new(features));
    let (from, to) = (one.domain.view(), two.domain.view());
    let mut tx = Ring::start(&one, &from, 1, bytes);
    let mut rx = Ring::start(&two, &to, 0, bytes);
    let (frame, mut burst) = (frame(bytes), Burst::new());
    let (mut source, mut sink) = (one.queues(), two.queues());
    rx.post(rx.room(), &[]);
    let rounds = Histogram::default();
    for _ in 0..20_000 {
        tx.take(u64::MAX, features.contains(Features::IN_ORDER));
        tx.post(u64::from(BATCH), &frame);
        let began = clock::tsc();
        let frames = round(&mut source, &mut sink, &mut burst, began);
        rounds.add((clock::tsc() - began) / frames);
        let came = rx.take(u64::MAX, false);
        rx.post(came, &[]);
    }
    rounds.median()
}

/// A UDP packet behind its `virtio_net_hdr`.
fn frame(bytes: usize) -> Vec<u8> {
    let mut frame = vec![0; HEADER];
    frame.extend([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 46, 0, 9, 0x40, 0, 64, 17]);
    frame.resize(HEADER + bytes, 0x5a);
    frame
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
