//! Builds whole frames from their fields, slowly and without the code under test, as reference for the tests.

use proptest::prelude::*;

/// An IP header to build.
#[derive(Debug, Clone)]
pub(crate) enum Ip {
    V4 { source: [u8; 4], destination: [u8; 4], id: u16, options: Vec<u8> },
    V6 { source: [u8; 16], destination: [u8; 16], extensions: Vec<(u8, Vec<u8>)> },
}

/// An L4 header to build.
#[derive(Debug, Clone)]
pub(crate) enum Transport {
    Tcp { ports: [u8; 4], sequence: u32, flags: u8, options: Vec<u8> },
    Udp { ports: [u8; 4] },
}

/// A frame to build.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// All in front of the IP header.
    pub(crate) front: Vec<u8>,
    pub(crate) ip: Ip,
    pub(crate) transport: Transport,
    pub(crate) payload: Vec<u8>,
}

/// The Internet checksum as its definition reads: add the words, fold the carries.
pub(crate) fn slow_sum(bytes: &[u8]) -> u16 {
    let mut sum: u64 = 0;
    for pair in bytes.chunks(2) {
        sum += u64::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u64::from);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}

/// An Ethernet header with the tags (TPID, TCI) given.
pub(crate) fn ethernet(tags: &[(u16, u16)], ethertype: u16) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for (tpid, tci) in tags {
        bytes.extend(tpid.to_be_bytes());
        bytes.extend(tci.to_be_bytes());
    }
    bytes.extend(ethertype.to_be_bytes());
    bytes
}

impl Ip {
    pub(crate) fn v4() -> Self {
        Self::V4 { source: [10, 0, 0, 1], destination: [10, 0, 0, 2], id: 7, options: vec![] }
    }

    pub(crate) fn v6(extensions: Vec<(u8, Vec<u8>)>) -> Self {
        let address = |last| [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
        Self::V6 { source: address(1), destination: address(2), extensions }
    }

    /// The header over `len` bytes of protocol `protocol`, and the pseudo header.
    fn build(&self, protocol: u8, len: usize) -> (Vec<u8>, Vec<u8>) {
        let mut bytes = vec![];
        match self {
            Self::V4 { source, destination, id, options } => {
                let header_len = 20 + options.len();
                bytes.extend([0x40 | u8::try_from(header_len / 4).unwrap(), 0]);
                bytes.extend(u16::try_from(header_len + len).unwrap().to_be_bytes());
                bytes.extend(id.to_be_bytes());
                bytes.extend([0x40, 0, 64, protocol, 0, 0]);
                bytes.extend([source, destination].into_iter().flatten());
                bytes.extend(options);
                let check = !slow_sum(&bytes);
                bytes[10..12].copy_from_slice(&check.to_be_bytes());
                let mut pseudo = [*source, *destination].concat();
                pseudo.extend([0, protocol]);
                pseudo.extend(u16::try_from(len).unwrap().to_be_bytes());
                (bytes, pseudo)
            }
            Self::V6 { source, destination, extensions } => {
                let extensions_len: usize = extensions.iter().map(|(_, body)| 1 + body.len()).sum();
                bytes.extend([0x60, 0x12, 0x34, 0x56]);
                bytes.extend(u16::try_from(extensions_len + len).unwrap().to_be_bytes());
                let mut kinds: Vec<u8> = extensions.iter().map(|(kind, _)| *kind).collect();
                kinds.push(protocol);
                bytes.extend([kinds[0], 64]);
                bytes.extend([source, destination].into_iter().flatten());
                for ((_, body), next) in extensions.iter().zip(&kinds[1..]) {
                    bytes.push(*next);
                    bytes.extend(body);
                }
                let mut pseudo = [*source, *destination].concat();
                pseudo.extend(u32::try_from(len).unwrap().to_be_bytes());
                pseudo.extend([0, 0, 0, protocol]);
                (bytes, pseudo)
            }
        }
    }
}

impl Transport {
    pub(crate) fn tcp() -> Self {
        Self::Tcp { ports: [0x30, 0x39, 0, 80], sequence: 1000, flags: 0x18, options: vec![] }
    }

    pub(crate) fn udp() -> Self {
        Self::Udp { ports: [0x30, 0x39, 0, 53] }
    }

    /// Protocol number, header without checksum, and place of the checksum.
    fn build(&self, payload_len: usize) -> (u8, Vec<u8>, usize) {
        match self {
            Self::Tcp { ports, sequence, flags, options } => {
                let mut bytes = ports.to_vec();
                bytes.extend(sequence.to_be_bytes());
                bytes.extend([0, 0, 0, 9]);
                bytes.extend([u8::try_from((20 + options.len()) / 4).unwrap() << 4, *flags]);
                bytes.extend([1, 0, 0, 0, 0, 0]);
                bytes.extend(options);
                (6, bytes, 16)
            }
            Self::Udp { ports } => {
                let mut bytes = ports.to_vec();
                bytes.extend(u16::try_from(8 + payload_len).unwrap().to_be_bytes());
                bytes.extend([0, 0]);
                (17, bytes, 6)
            }
        }
    }
}

impl Frame {
    pub(crate) fn new(ip: Ip, transport: Transport, payload: Vec<u8>) -> Self {
        let ethertype = if matches!(ip, Ip::V4 { .. }) { 0x0800 } else { 0x86dd };
        Self { front: ethernet(&[], ethertype), ip, transport, payload }
    }

    /// The frame with right lengths and checksums.
    pub(crate) fn build(&self) -> Vec<u8> {
        let (protocol, mut l4, check_at) = self.transport.build(self.payload.len());
        l4.extend(&self.payload);
        let (ip, pseudo) = self.ip.build(protocol, l4.len());
        let check = match !slow_sum(&[pseudo, l4.clone()].concat()) {
            0 => 0xffff,
            check => check,
        };
        l4[check_at..check_at + 2].copy_from_slice(&check.to_be_bytes());
        [self.front.clone(), ip, l4].concat()
    }

    pub(crate) fn l3_offset(&self) -> u16 {
        u16::try_from(self.front.len()).unwrap()
    }

    pub(crate) fn l4_offset(&self) -> u16 {
        self.l3_offset() + u16::try_from(self.ip.build(0, 0).0.len()).unwrap()
    }

    pub(crate) fn header_len(&self) -> u16 {
        self.l4_offset() + u16::try_from(self.transport.build(0).1.len()).unwrap()
    }
}

/// An extension header that every packet may have: options or a routing header that is done with, padding
/// inside.
fn extension() -> impl Strategy<Value = (u8, Vec<u8>)> {
    (prop::sample::select(vec![0, 43, 60]), 0..3u8).prop_map(|(kind, len)| {
        let mut body = vec![0; usize::from(len) * 8 + 7];
        body[0] = len;
        (kind, body)
    })
}

pub(crate) fn any_ip() -> impl Strategy<Value = Ip> {
    let v4 = (any::<[u8; 4]>(), any::<[u8; 4]>(), any::<u16>(), 0..=10usize).prop_map(
        |(source, destination, id, options)| Ip::V4 {
            source,
            destination,
            id,
            options: vec![1; options * 4],
        },
    );
    let v6 = (any::<[u8; 16]>(), any::<[u8; 16]>(), prop::collection::vec(extension(), 0..4))
        .prop_map(|(source, destination, extensions)| Ip::V6 { source, destination, extensions });
    prop_oneof![v4, v6]
}

pub(crate) fn any_transport() -> impl Strategy<Value = Transport> {
    let tcp = (any::<[u8; 4]>(), any::<u32>(), any::<u8>(), 0..=10usize).prop_map(
        |(ports, sequence, flags, options)| Transport::Tcp {
            ports,
            sequence,
            flags,
            options: vec![1; options * 4],
        },
    );
    prop_oneof![tcp, any::<[u8; 4]>().prop_map(|ports| Transport::Udp { ports })]
}
