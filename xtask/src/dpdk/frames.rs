//! The frames that a scene sends, and what must be true of those that arrive.

use anyhow::{Result, bail, ensure};

/// Lengths without frame check sequence: the shortest, the longest common one with a tag's room, a jumbo frame.
const LENGTHS: [usize; 3] = [64, 1518, 9000];
/// UDP flows, by their source ports.
pub(super) const FLOWS: u32 = 8;
const FIRST_PORT: u16 = 1000;
/// Bytes of the Ethernet, IPv4 and UDP headers; the number of the frame follows them.
const HEADERS: usize = 42;
const NUMBER: usize = HEADERS + 4;
const SOURCE_PORT: usize = 34;

/// The last byte of the address that sends, and of the one that receives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    pub(super) from: u8,
    pub(super) to: u8,
}

/// The flow that frame `number` belongs to: every flow has frames of all lengths.
pub(super) fn flow(number: u32) -> u32 {
    number / 3 % FLOWS
}

/// Frame `number`, of any of the lengths.
pub(super) fn make(number: u32, route: Route) -> Vec<u8> {
    make_of(LENGTHS[number as usize % LENGTHS.len()], number, route)
}

/// Frame `number`, of the shortest length.
pub(super) fn make_short(number: u32, route: Route) -> Vec<u8> {
    make_of(LENGTHS[0], number, route)
}

fn make_of(length: usize, number: u32, route: Route) -> Vec<u8> {
    let field = |value: usize| u16::try_from(value).expect("frames are short").to_be_bytes();
    let mut frame = Vec::with_capacity(length);
    frame.extend([2, 0, 0, 0, 0, route.to, 2, 0, 0, 0, 0, route.from, 8, 0]);
    frame.extend([0x45, 0]);
    frame.extend(field(length - 14));
    // No checksums: nobody on this way looks at them, and nobody may change the frame.
    frame.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, route.from, 10, 0, 0, route.to]);
    frame.extend(field(usize::from(FIRST_PORT) + flow(number) as usize));
    frame.extend([0, 9]);
    frame.extend(field(length - 34));
    frame.extend([0, 0]);
    frame.extend(number.to_be_bytes());
    let seed = number.wrapping_mul(0x9e37_79b1).to_le_bytes();
    frame.extend((NUMBER..length).map(|at| seed[at % 4] ^ at.to_le_bytes()[0].wrapping_mul(13)));
    frame
}

/// Checks that what arrived in each of the receiver's queues is what was sent, and in order: within a flow, and if there
/// is one queue only, altogether.
pub(super) fn check(sent: &[Vec<u8>], arrived: &[Vec<Vec<u8>>]) -> Result<()> {
    if let [queue] = arrived {
        return compare("the receiver", &sent.iter().collect::<Vec<_>>(), &queue.iter().collect::<Vec<_>>());
    }
    let all: Vec<&Vec<u8>> = arrived.iter().flatten().collect();
    ensure!(all.len() == sent.len(), "{} frames were sent, {} arrived", sent.len(), all.len());
    for port in (0..FLOWS).map(|flow| (usize::from(FIRST_PORT) + flow as usize).to_be_bytes()) {
        let of_flow = |frame: &&Vec<u8>| frame.get(SOURCE_PORT..SOURCE_PORT + 2) == Some(&port[6..]);
        let sent: Vec<&Vec<u8>> = sent.iter().filter(of_flow).collect();
        let arrived: Vec<&Vec<u8>> = all.iter().copied().filter(|frame| of_flow(frame)).collect();
        compare(&format!("the flow from port {}", u16::from_be_bytes([port[6], port[7]])), &sent, &arrived)?;
    }
    for (queue, frames) in arrived.iter().enumerate() {
        ensure!(!frames.is_empty(), "no flow of {FLOWS} came by receive queue {queue}");
    }
    Ok(())
}

fn compare(who: &str, sent: &[&Vec<u8>], arrived: &[&Vec<u8>]) -> Result<()> {
    let named = |frame: &[u8]| match frame.get(HEADERS..NUMBER).and_then(|number| number.try_into().ok()) {
        Some(number) => format!("number {} of {} bytes", u32::from_be_bytes(number), frame.len()),
        None => format!("of {} bytes", frame.len()),
    };
    for (place, (one, other)) in sent.iter().zip(arrived).enumerate() {
        if one != other {
            let differs = one.iter().zip(other.iter()).position(|(a, b)| a != b);
            let (one, other) = (named(one), named(other));
            bail!("frame {place} to {who} should be {one} and is {other}, first other byte {differs:?}");
        }
    }
    ensure!(
        sent.len() == arrived.len(),
        "{} frames to {who} were sent, {} arrived",
        sent.len(),
        arrived.len()
    );
    Ok(())
}

#[cfg(test)]
mod tests;
