//! The network adapter that a VF is to its own guest, as far as NDIS answers for it: what it is and its serial number.

use nic_switch::VfId;

use super::Adapter;
use crate::oid::{Oid, RequestType};
use crate::payload::{Payload, SriovCapabilities};
use crate::refusal::Refusal;
use crate::request::{OidResponse, RawRequest, Request};
use crate::wire;

impl Adapter {
    /// Answers a request that is issued on the VF's own adapter, above the VF's driver: its SR-IOV capabilities and its
    /// serial number. Everything else is the VF driver's.
    pub fn request_on_vf(&self, vf: VfId, generation: u64, request: impl Into<Request>) -> OidResponse {
        match request.into() {
            Request::Typed(request) => {
                let (oid, request_type) = request.oid();
                match self.answer_on_vf(vf, generation, oid, request_type) {
                    Ok(payload) => OidResponse::success(payload),
                    Err(refusal) => OidResponse::refused(refusal.ndis_status(oid), refusal),
                }
            }
            Request::Raw(raw) => self.raw_on_vf(vf, generation, &raw),
        }
    }

    fn raw_on_vf(&self, vf: VfId, generation: u64, raw: &RawRequest) -> OidResponse {
        let answer = Oid::from_number(raw.oid)
            .ok_or(Refusal::UnknownOid { number: raw.oid })
            .and_then(|oid| Ok((oid, self.answer_on_vf(vf, generation, oid, raw.request_type)?)))
            .and_then(|(oid, payload)| wire::encode_payload(oid, raw, &payload));
        match answer {
            Ok(output) => {
                let bytes_written = u32::try_from(output.len()).unwrap_or(u32::MAX);
                OidResponse { bytes_written, ..OidResponse::success(Payload::Raw(output)) }
            }
            Err(refusal) => OidResponse::refused(refusal.miniport_status(), refusal),
        }
    }

    fn answer_on_vf(
        &self,
        vf: VfId,
        generation: u64,
        oid: Oid,
        request_type: RequestType,
    ) -> Result<Payload, Refusal> {
        if !self.running {
            return Err(Refusal::Halted);
        }
        if self.driver.generation(vf)? != generation {
            return Err(Refusal::UnknownVf { vf });
        }
        match (oid, request_type) {
            (Oid::SriovHardwareCapabilities | Oid::SriovCurrentCapabilities, RequestType::Query) => {
                Ok(Payload::Sriov(SriovCapabilities {
                    supported: true,
                    pf_miniport: false,
                    vf_miniport: true,
                }))
            }
            (Oid::SriovVfSerialNumber, RequestType::Query) => {
                self.driver.serial_number(vf).map(Payload::SerialNumber)
            }
            _ => Err(Refusal::NotSupported { oid }),
        }
    }
}
