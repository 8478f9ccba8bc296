//! Commands about frames: `capture` and `trace`.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{bail, ensure};
use api::types::{CaptureDirection, CapturePoint, CaptureRequest, FrameContent, FrameRequest, Stage};
use clap::Args;

/// Bytes of a frame that are captured: an IP packet of 64 KiB with its Ethernet header and a tag.
const SNAPLEN: usize = 65_553;

/// `capture`.
#[derive(Debug, Args)]
pub(crate) struct CaptureArgs {
    /// VM/ADAPTER, an adapter of the host, `uplink`, `vport N`, `queue N`, or `switch NAME`. With --drops it may be left
    /// out: frames are lost everywhere.
    #[arg(value_name = "POINT", num_args = 0..=2)]
    point: Vec<String>,
    /// The file, in pcapng; `-` is the standard output, which is also the default if that is a pipe or a file.
    #[arg(short, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,
    /// Only frames that are lost, with the reason as comment.
    #[arg(long)]
    drops: bool,
    /// Bytes of each frame that are kept.
    #[arg(short, long, default_value_t = SNAPLEN)]
    snaplen: usize,
    /// Ends after so many frames.
    #[arg(short, long)]
    count: Option<u64>,
    /// Frames that the point receives, sends, or both.
    #[arg(short = 'Q', long, value_name = "in|out|both", default_value = "both")]
    direction: CaptureDirection,
    /// Of a switch: what comes in before its policies, or what leaves it behind them.
    #[arg(long, value_name = "ingress|egress", default_value = "ingress")]
    stage: Stage,
}

impl CaptureArgs {
    pub(crate) fn request(&self) -> anyhow::Result<CaptureRequest> {
        Ok(CaptureRequest {
            point: self.point()?,
            direction: self.direction,
            drops: self.drops,
            snaplen: self.snaplen,
            count: self.count,
        })
    }

    fn point(&self) -> anyhow::Result<CapturePoint> {
        let number = |text: &str| {
            text.parse().map_err(|_| anyhow::anyhow!("{text:?} is no number of a VPort or queue"))
        };
        let words: Vec<&str> = self.point.iter().map(String::as_str).collect();
        Ok(match words[..] {
            [] if self.drops => CapturePoint::Everywhere,
            [] => bail!(
                "name a point to capture at: VM/ADAPTER, an adapter of the host, uplink, vport N, queue N, or switch NAME"
            ),
            ["uplink"] => CapturePoint::Uplink,
            ["vport", n] => CapturePoint::VPort(number(n)?),
            ["queue", n] => CapturePoint::Queue(number(n)?),
            ["switch", name] => CapturePoint::Switch { name: name.to_owned(), stage: self.stage },
            [kind @ ("vport" | "queue" | "switch")] => {
                bail!("{kind} of what? as in `capture vport 1` or `capture switch NAME`")
            }
            [name] => CapturePoint::Adapter(name.to_owned()),
            _ => bail!(
                "{:?} is no point to capture at: vport N, queue N and switch NAME have two words",
                self.point.join(" ")
            ),
        })
    }
}

/// `trace`.
#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    /// Who sends it: VM/ADAPTER, an adapter of the host, or `uplink`.
    #[arg(long)]
    from: String,
    /// Destination: an address, or the adapter that has it.
    #[arg(long)]
    dst: Option<String>,
    /// Source; the sender's own address if absent.
    #[arg(long)]
    src: Option<String>,
    /// VLAN tag with which it is sent.
    #[arg(long)]
    vlan: Option<u16>,
    /// Sent by the synthetic adapter, even if there is a VF.
    #[arg(long)]
    synthetic: bool,
    /// IP addresses, as in 10.0.0.1,10.0.0.2 or "10.0.0.1->10.0.0.2"; ICMP if nothing else is said.
    #[arg(long, value_name = "FROM,TO", value_parser = pair::<IpAddr>)]
    ip: Option<(IpAddr, IpAddr)>,
    #[command(flatten)]
    kind: KindArgs,
}

/// What is in the frame.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct KindArgs {
    /// TCP ports, as in 1000,80.
    #[arg(long, value_name = "FROM,TO", value_parser = pair::<u16>)]
    tcp: Option<(u16, u16)>,
    /// UDP ports, as in 1000,53.
    #[arg(long, value_name = "FROM,TO", value_parser = pair::<u16>)]
    udp: Option<(u16, u16)>,
    /// An ARP request, between the addresses of --ip.
    #[arg(long)]
    arp: bool,
    /// A neighbor solicitation of IPv6, likewise.
    #[arg(long)]
    nd: bool,
    /// A router advertisement.
    #[arg(long)]
    ra: bool,
    /// An offer of a DHCP server.
    #[arg(long)]
    dhcp_offer: bool,
    /// The whole frame, in hexadecimal.
    #[arg(long, value_parser = bytes)]
    hex: Option<Bytes>,
}

/// Bytes, which the parser must not take for a list of values.
#[derive(Clone, Debug)]
struct Bytes(Vec<u8>);

impl TraceArgs {
    pub(crate) fn request(self) -> anyhow::Result<FrameRequest> {
        let content = self.kind.content(self.ip)?;
        Ok(FrameRequest {
            from: self.from,
            synthetic: self.synthetic,
            destination: self.dst,
            source: self.src,
            vlan: self.vlan,
            content,
        })
    }
}

impl KindArgs {
    fn content(self, ip: Option<(IpAddr, IpAddr)>) -> anyhow::Result<FrameContent> {
        // Addresses for documentation (RFC 5737, RFC 3849).
        let v4 = || (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let v6 = || {
            let host = |last| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]);
            (host(1), host(2))
        };
        let packet = |protocol, ports| {
            let (source, destination) = ip.unwrap_or_else(v4);
            FrameContent::Ip { source, destination, protocol, ports }
        };
        ensure!(
            ip.is_none() || !(self.ra || self.dhcp_offer || self.hex.is_some()),
            "--ip goes with --tcp, --udp, --arp and --nd only: other frames have addresses of their own"
        );
        Ok(if let Some(Bytes(bytes)) = self.hex {
            FrameContent::Bytes { bytes }
        } else if let Some(ports) = self.tcp {
            packet(6, Some(ports))
        } else if let Some(ports) = self.udp {
            packet(17, Some(ports))
        } else if self.arp {
            let (source, destination) = ip.unwrap_or_else(v4);
            FrameContent::Arp { source, destination }
        } else if self.nd {
            let (source, destination) = ip.unwrap_or_else(v6);
            FrameContent::NeighborSolicitation { source, destination }
        } else if self.ra {
            FrameContent::RouterAdvertisement
        } else if self.dhcp_offer {
            FrameContent::DhcpOffer
        } else if ip.is_some() {
            packet(1, None)
        } else {
            FrameContent::Plain
        })
    }
}

/// Two values, with a comma or an arrow between them.
fn pair<T: std::str::FromStr + Clone + Send + Sync + 'static>(text: &str) -> Result<(T, T), String> {
    let (from, to) =
        text.split_once("->").or_else(|| text.split_once(',')).ok_or("two values, as in FROM,TO")?;
    match (from.trim().parse(), to.trim().parse()) {
        (Ok(from), Ok(to)) => Ok((from, to)),
        (Err(_), _) => Err(format!("{from:?} is not possible here")),
        (_, Err(_)) => Err(format!("{to:?} is not possible here")),
    }
}

/// Hexadecimal digits; blanks and colons may stand between them.
fn bytes(text: &str) -> Result<Bytes, String> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace() && *c != ':')
        .map(|c| {
            c.to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
                .ok_or_else(|| format!("{c:?} is no hexadecimal digit"))
        })
        .collect::<Result<_, _>>()?;
    if !digits.len().is_multiple_of(2) {
        return Err(format!("{} digits are not whole bytes", digits.len()));
    }
    Ok(Bytes(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()))
}
