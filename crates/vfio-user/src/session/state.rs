//! What was agreed with the client, and the dispatch of its requests.

use super::dma::DmaMaps;
use super::{info, irqs, region};
use crate::device::{Device, DmaUnmap};
use crate::output::Encoder;
use crate::protocol::{self, VERSION_MAJOR};
use crate::reason::{Reason, Rejection};
use crate::request::Request;
use crate::version::{self, Negotiated};

/// The memory of a session.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) negotiated: Option<Negotiated>,
    pub(crate) maps: DmaMaps,
}

impl State {
    /// Carries out a request and writes the payload of its reply.
    pub(super) fn execute(
        &mut self,
        request: Request<'_>,
        device: &mut dyn Device,
        reply: &mut Encoder<'_>,
    ) -> Result<(), Rejection> {
        let Some(negotiated) = self.negotiated else {
            return match request {
                Request::Version { major, minor, data } => Ok(self.version(major, minor, data, reply)?),
                _ => Err(Reason::NotNegotiated.into()),
            };
        };
        match request {
            Request::Version { .. } => Err(Reason::VersionTwice.into()),
            Request::DmaMap(map) => {
                self.maps.check(map.range)?;
                let range = map.range;
                device.dma_map(map).map_err(Rejection::device)?;
                self.maps.insert(range);
                Ok(())
            }
            Request::DmaUnmap { unmap, echo } => {
                if let DmaUnmap::Range(range) = unmap
                    && !self.maps.contains(range)
                {
                    return Err(Reason::DmaNotMapped.into());
                }
                device.dma_unmap(unmap).map_err(Rejection::device)?;
                self.maps.remove(unmap);
                reply.push(&echo);
                Ok(())
            }
            Request::DeviceInfo => {
                info::device(device, reply);
                Ok(())
            }
            Request::RegionInfo { index, argsz } => {
                Ok(info::region(device, index, argsz, negotiated.client_fds, reply)?)
            }
            Request::IrqInfo { index } => Ok(info::irq(device, index, reply)?),
            Request::SetIrqs(set) => irqs::set(device, set),
            Request::RegionRead(access) => region::read(device, access, reply),
            Request::RegionWrite(access, data) => region::write(device, access, data, reply),
            Request::RegionWriteMulti(writes) => region::write_multi(device, writes, reply),
            Request::DeviceReset => {
                device.reset();
                Ok(())
            }
        }
    }

    fn version(
        &mut self,
        major: u16,
        minor: u16,
        data: &[u8],
        reply: &mut Encoder<'_>,
    ) -> Result<(), Reason> {
        let negotiated = version::negotiate(major, minor, data)?;
        reply.push(&protocol::Version { major: VERSION_MAJOR.into(), minor: negotiated.minor.into() });
        reply.push(version::offer(self.maps.limit()).as_slice());
        self.negotiated = Some(negotiated);
        Ok(())
    }
}
