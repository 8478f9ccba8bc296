//! A UDP stream with sequence numbers, for the lab's guests: what was lost, came twice, or came in another order.
//!
//! | command | does |
//! |---|---|
//! | `datagrams send ADDRESS:PORT RATE STOP` | sends RATE datagrams a second until the file STOP is there |
//! | `datagrams receive PORT` | receives one such stream to its end, and prints a line of counts |
//!
//! It is linked statically and uses nothing but the standard library: a guest's disk has hardly more.

mod sequence;

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use sequence::Sequence;

/// Octets of a datagram: its number, how many were sent if it is a last one, and padding.
const LENGTH: usize = 64;
/// Between two looks at the clock while sending.
const PERIOD: Duration = Duration::from_millis(1);
/// What a sender makes up for at once that had no processor for a while. Less than a receive ring holds.
const BURST: u64 = 64;
/// The last datagram is sent so often, for it may be lost like any other.
const LAST: u32 = 50;
const BETWEEN_LAST: Duration = Duration::from_millis(20);
/// A stream that is silent for so long has ended without a last datagram.
const SILENCE: Duration = Duration::from_secs(60);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["send", to, rate, stop] => send(to, rate, Path::new(stop)),
        ["receive", port] => receive(port),
        _ => Err("usage: datagrams send ADDRESS:PORT RATE STOP | datagrams receive PORT".into()),
    };
    match done {
        Ok(line) => tell(&mut io::stdout(), &line, ExitCode::SUCCESS),
        Err(error) => tell(&mut io::stderr(), &format!("datagrams: {error}"), ExitCode::FAILURE),
    }
}

fn tell(to: &mut dyn Write, line: &str, code: ExitCode) -> ExitCode {
    writeln!(to, "{line}").map_or(ExitCode::FAILURE, |()| code)
}

/// Sends a stream; returns what is to be printed.
fn send(to: &str, rate: &str, stop: &Path) -> Result<String> {
    let rate: u64 = rate.parse().map_err(|_| format!("`{rate}` is not a number of datagrams a second"))?;
    // Not connected: that the receiver has seen the end and gone is no error.
    let to: SocketAddr = to.parse().map_err(|_| format!("`{to}` is not an address and a port"))?;
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let (mut next, mut skipped) = (0, 0);
    let began = Instant::now();
    while !stop.exists() {
        let due = u64::try_from(began.elapsed().as_micros())?.saturating_mul(rate) / 1_000_000;
        skipped += (due - skipped).saturating_sub(next + BURST);
        while next < due - skipped {
            socket.send_to(&datagram(next, 0), to)?;
            next += 1;
        }
        thread::sleep(PERIOD);
    }
    for _ in 0..LAST {
        socket.send_to(&datagram(next, next), to)?;
        thread::sleep(BETWEEN_LAST);
    }
    Ok(format!("sent {next} in {} ms", began.elapsed().as_millis()))
}

fn datagram(number: u64, sent: u64) -> [u8; LENGTH] {
    let mut octets = [0; LENGTH];
    octets[..8].copy_from_slice(&number.to_be_bytes());
    octets[8..16].copy_from_slice(&sent.to_be_bytes());
    octets
}

/// Receives a stream; returns the counts.
fn receive(port: &str) -> Result<String> {
    let number: u16 = port.parse().map_err(|_| format!("`{port}` is not a port"))?;
    let socket = UdpSocket::bind(("0.0.0.0", number))?;
    let mut sequence = Sequence::default();
    let mut silence = Duration::ZERO;
    let mut before: Option<Instant> = None;
    let mut octets = [0; LENGTH];
    loop {
        // The first one may be long in coming: the other guest has to be started.
        socket.set_read_timeout(before.map(|_| SILENCE))?;
        match socket.recv(&mut octets) {
            Ok(LENGTH) => {}
            Ok(length) => return Err(format!("a datagram of {length} octets is none of the stream's").into()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(format!("the stream fell silent: {}", sequence.counts(sequence.end())).into());
            }
            Err(error) => return Err(error.into()),
        }
        let now = Instant::now();
        silence = silence.max(before.map_or(Duration::ZERO, |before| now - before));
        before = Some(now);
        let (number, sent) = (field(&octets, 0), field(&octets, 8));
        if sent != 0 {
            let overrun = overrun(&fs::read_to_string("/proc/net/udp")?, port)?;
            let silence = silence.as_millis();
            return Ok(format!("{} overrun {overrun} silence_ms {silence}", sequence.counts(sent)));
        }
        sequence.take(number);
    }
}

fn field(octets: &[u8; LENGTH], at: usize) -> u64 {
    octets[at..at + 8].iter().fold(0, |value, octet| value << 8 | u64::from(*octet))
}

/// How many datagrams the kernel dropped because this socket's buffer was full: the last column of its line.
fn overrun(sockets: &str, port: &str) -> Result<u64> {
    let local = format!(":{:04X}", port.parse::<u16>()?);
    let line = sockets
        .lines()
        .find(|line| line.split_whitespace().nth(1).is_some_and(|address| address.ends_with(&local)))
        .ok_or("/proc/net/udp does not show the socket")?;
    Ok(line.split_whitespace().last().ok_or("a line is empty")?.parse()?)
}
