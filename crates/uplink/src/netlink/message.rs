//! rtnetlink messages about interfaces: written and read, without a socket.
//!
//! A message is a header (`nlmsghdr`, 16 bytes), for interfaces an `ifinfomsg` (16 bytes), and attributes (length, type,
//! value), each padded to 4 bytes. All numbers are in the order of the machine.

use ethernet::MacAddr;

const HEADER: usize = 16;
const IFINFO: usize = 16;
const ATTRIBUTE: usize = 4;

const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;

const F_REQUEST: u16 = 1;
const F_ACK: u16 = 4;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
/// Flags that say of the kind of an attribute's value, not what it is.
const ATTRIBUTE_TYPE: u16 = 0x3fff;

const IFF_UP: u32 = 1;
const IFF_LOWER_UP: u32 = 1 << 16;

/// An interface as the kernel describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// Zero if it has no Ethernet address.
    pub(crate) address: MacAddr,
    pub(crate) mtu: u32,
    /// Switched on.
    pub(crate) up: bool,
    /// Has carrier.
    pub(crate) carrier: bool,
    /// What kind of virtual interface it is (`tun`, `veth`); empty for hardware.
    pub(crate) kind: String,
}

/// A change to an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Now(Interface),
    Removed,
}

/// Answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Interface(Interface),
    Done,
    /// The `errno`.
    Refused(i32),
}

/// A request that is ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Request(Vec<u8>);

impl Request {
    /// Each is answered before the next is sent, so that one number does for all.
    pub(crate) const SEQUENCE: u32 = 1;

    pub(crate) fn by_name(name: &str) -> Self {
        Self::new(RTM_GETLINK, 0, 0, 0, 0).attribute(IFLA_IFNAME, &[name.as_bytes(), &[0]].concat())
    }

    pub(crate) fn by_index(index: u32) -> Self {
        Self::new(RTM_GETLINK, 0, index, 0, 0)
    }

    pub(crate) fn set_address(index: u32, address: MacAddr) -> Self {
        Self::new(RTM_NEWLINK, F_ACK, index, 0, 0).attribute(IFLA_ADDRESS, &address.0)
    }

    pub(crate) fn set_mtu(index: u32, mtu: u32) -> Self {
        Self::new(RTM_NEWLINK, F_ACK, index, 0, 0).attribute(IFLA_MTU, &mtu.to_ne_bytes())
    }

    pub(crate) fn set_up(index: u32) -> Self {
        Self::new(RTM_NEWLINK, F_ACK, index, IFF_UP, IFF_UP)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn new(kind: u16, flags: u16, index: u32, interface_flags: u32, change: u32) -> Self {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((F_REQUEST | flags).to_ne_bytes());
        bytes.extend(Self::SEQUENCE.to_ne_bytes());
        bytes.extend(0_u32.to_ne_bytes());
        // Any family, any type.
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend(index.to_ne_bytes());
        bytes.extend(interface_flags.to_ne_bytes());
        bytes.extend(change.to_ne_bytes());
        Self(bytes).with_length()
    }

    fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(ATTRIBUTE + value.len()).unwrap_or(0);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self.with_length()
    }

    fn with_length(mut self) -> Self {
        let length = u32::try_from(self.0.len()).unwrap_or(0);
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self
    }
}

/// The answer to the request with number `sequence`, if one is in the datagram.
pub(crate) fn answer(datagram: &[u8], sequence: u32) -> Option<Answer> {
    messages(datagram).filter(|message| message.sequence == sequence).find_map(|message| match message.kind {
        NLMSG_ERROR => match i32::from_ne_bytes(*message.body.first_chunk()?) {
            0 => Some(Answer::Done),
            code => Some(Answer::Refused(code.saturating_neg())),
        },
        RTM_NEWLINK => interface(message.body).map(Answer::Interface),
        _ => None,
    })
}

/// The last change to interface `index` that the datagram tells of.
pub(crate) fn change(datagram: &[u8], index: u32) -> Option<Change> {
    let changes = messages(datagram).filter_map(|message| {
        let interface = interface(message.body)?;
        let change = match message.kind {
            RTM_NEWLINK => Change::Now(interface.clone()),
            RTM_DELLINK => Change::Removed,
            _ => return None,
        };
        (interface.index == index).then_some(change)
    });
    changes.last()
}

struct Message<'a> {
    kind: u16,
    sequence: u32,
    body: &'a [u8],
}

fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(datagram, 0)?).ok()?;
        let body = datagram.get(HEADER..length)?;
        let message = Message { kind: u16_at(datagram, 4)?, sequence: u32_at(datagram, 8)?, body };
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

fn interface(body: &[u8]) -> Option<Interface> {
    let flags = u32_at(body, 8)?;
    let mut found = Interface {
        index: u32_at(body, 4)?,
        up: flags & IFF_UP != 0,
        carrier: flags & IFF_LOWER_UP != 0,
        ..Interface::default()
    };
    for (kind, value) in attributes(body.get(IFINFO..)?) {
        match kind {
            IFLA_IFNAME => found.name = text(value),
            IFLA_MTU => found.mtu = u32_at(value, 0)?,
            IFLA_ADDRESS if value.len() == 6 => found.address = MacAddr(*value.first_chunk()?),
            IFLA_LINKINFO => {
                let kind = attributes(value).find(|(kind, _)| *kind == IFLA_INFO_KIND);
                found.kind = kind.map(|(_, value)| text(value)).unwrap_or_default();
            }
            _ => {}
        }
    }
    Some(found)
}

fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & ATTRIBUTE_TYPE;
        let value = bytes.get(ATTRIBUTE..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// A string that a zero ends.
fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}
