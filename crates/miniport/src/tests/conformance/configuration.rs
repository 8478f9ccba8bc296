//! A.4 and C.7: configuration space and blocks, BARs, ids, the VF's own adapter.

use nic_switch::VfId;

use super::Rules;
use crate::config_block::VfStatistics;
use crate::pf::PfRefusal;
use crate::tests::raw::raw;
use crate::tests::support::{Bench, function, mac};
use crate::{
    Action, NdisStatus, OidRequest, Payload, PowerState, RawRequest, Refusal, RequestType, SriovCapabilities,
};

fn read(vf: VfId, offset: u32, length: u32) -> OidRequest {
    OidRequest::ReadVfConfigSpace { vf, offset, length }
}

fn bytes(bench: &mut Bench, request: OidRequest) -> Vec<u8> {
    match bench.done(request) {
        Payload::Bytes(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

pub(super) fn rules() -> Rules {
    let mut rules = Rules::default();
    space(&mut rules);
    blocks(&mut rules);
    functions(&mut rules);
    vf_adapter(&mut rules);
    rules
}

fn space(rules: &mut Rules) {
    rules.rule("A.4 READ_VF_CONFIG_SPACE reads any range of the space", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        let whole = bytes(&mut bench, read(vf, 0, 4096));
        for (offset, length) in [(0, 4), (1, 3), (0x70, 12), (4095, 1), (0x101, 999)] {
            let range = usize::try_from(offset).unwrap()..usize::try_from(offset + length).unwrap();
            assert_eq!(bytes(&mut bench, read(vf, offset, length)), whole[range]);
        }
    });
    rules.rule("A.4 an access that is empty or leaves the space is INVALID_PARAMETER", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        for (offset, length) in [(0, 0), (0, 4097), (4096, 1), (u32::MAX, 2), (65536, 1), (1, u32::MAX)] {
            assert_eq!(
                bench.status(read(vf, offset, length)),
                NdisStatus::InvalidParameter,
                "{offset} {length}"
            );
        }
    });
    rules.rule("A.4 WRITE_VF_CONFIG_SPACE writes what is writable, at any offset and of any length", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        // Ids, revision and class are read-only; the command register is not.
        let before = bytes(&mut bench, read(vf, 0, 0x40));
        let mut data = vec![0xFF; 0x3D];
        data[4..6].copy_from_slice(&[6, 0]);
        bench.done(OidRequest::WriteVfConfigSpace { vf, offset: 0, data });
        let after = bytes(&mut bench, read(vf, 0, 0x40));
        assert_eq!(after[..4], before[..4]);
        assert_eq!(after[4] & 6, 6);
        assert_eq!(after[8..12], before[8..12]);
    });
    rules.rule("A.4 a write that changes something is reported to the data path", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        let write = OidRequest::WriteVfConfigSpace { vf, offset: 4, data: vec![4, 0] };
        bench.done(write.clone());
        assert!(matches!(bench.actions[..], [Action::VfConfigSpaceWritten { .. }]), "{:?}", bench.actions);
        bench.done(write);
        assert_eq!(bench.actions, []);
    });
    rules.rule("A.4 a function level reset asked for in configuration space resets the VF", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        let generation = bench.generation(vf);
        // Device Control of the PCI Express capability at 0xA0, bit 15.
        bench.done(OidRequest::WriteVfConfigSpace { vf, offset: 0xA8, data: vec![0, 0x80] });
        assert!(bench.actions.contains(&Action::ResetVf { vf, generation }), "{:?}", bench.actions);
    });
    rules.rule("B.8 configuration space as bytes: the answer stands at BufferOffset", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        let expected = bytes(&mut bench, read(vf, 0, 8));
        let mut request = raw(&read(vf, 0, 8));
        request.input[16] = 40;
        let Payload::Raw(answer) = bench.done(request.clone()) else { panic!() };
        assert_eq!((&answer[..20], &answer[40..]), (&request.input[..20], &expected[..]));
    });
    rules.rule("A.3 a write whose data end behind the buffer is INVALID_LENGTH with BytesNeeded", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        let mut request = raw(&OidRequest::WriteVfConfigSpace { vf, offset: 4, data: vec![0; 8] });
        request.input.pop();
        let response = bench.ask(request);
        assert_eq!((response.status, response.bytes_needed), (NdisStatus::InvalidLength, 32));
    });
}

fn blocks(rules: &mut Rules) {
    rules.rule("C.7 block 0 tells address, link and largest frame", || {
        let mut bench = Bench::new();
        let (vf, _) = bench.attached_vf();
        let block = OidRequest::ReadVfConfigBlock { vf, block: 0, length: 12 };
        let with_link = |up| {
            let mut bytes = mac(1).0.to_vec();
            bytes.extend([up, 0, 0xEE, 5, 0, 0]);
            bytes
        };
        assert_eq!(bytes(&mut bench, block.clone()), with_link(0));
        bench.adapter.set_link(true);
        assert_eq!(bytes(&mut bench, block), with_link(1));
    });
    rules.rule("C.7 block 1 tells the counters", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        let generation = bench.generation(vf);
        let statistics = VfStatistics { rx_packets: 7, ..VfStatistics::default() };
        bench.adapter.set_vf_statistics(vf, generation, statistics).unwrap();
        let block = bytes(&mut bench, OidRequest::ReadVfConfigBlock { vf, block: 1, length: 8 });
        assert_eq!(block, [7, 0, 0, 0, 0, 0, 0, 0]);
        let stale = bench.adapter.set_vf_statistics(vf, generation + 1, statistics);
        assert!(matches!(stale, Err(PfRefusal::StaleGeneration { .. })));
    });
    rules.rule("C.7 other blocks keep what was written, for as long as the VF is allocated", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        let other = bench.allocate_vf();
        bench.done(OidRequest::WriteVfConfigBlock { vf, block: 63, data: vec![1; 128] });
        let block = |vf| OidRequest::ReadVfConfigBlock { vf, block: 63, length: 128 };
        assert_eq!(bytes(&mut bench, block(vf)), [1; 128]);
        assert_eq!(bytes(&mut bench, block(other)), [0; 128]);
        bench.done(OidRequest::FreeVf(vf));
        assert_eq!(bench.allocate_vf(), vf);
        assert_eq!(bytes(&mut bench, block(vf)), [0; 128]);
    });
    rules.rule("H.15 C.7 invalidations that nobody waits for are joined and told later", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        let generation = bench.generation(vf);
        let told = |mask| vec![Action::InvalidateConfigBlocks { vf, generation, mask }];
        assert_eq!(bench.adapter.invalidate_config_blocks(vf, 1).unwrap(), []);
        assert_eq!(bench.adapter.invalidate_config_blocks(vf, 1 << 63).unwrap(), []);
        assert_eq!(bench.adapter.post_invalidate(vf, generation).unwrap(), told(1 | 1 << 63));
        assert_eq!(bench.adapter.post_invalidate(vf, generation).unwrap(), []);
        assert_eq!(bench.adapter.invalidate_config_blocks(vf, 4).unwrap(), told(4));
        assert_eq!(bench.adapter.invalidate_config_blocks(vf, 8).unwrap(), []);
    });
    rules.rule("C.7 a link that changes makes block 0 stale", || {
        let mut bench = Bench::new();
        let (vf, _) = bench.attached_vf();
        let generation = bench.generation(vf);
        bench.adapter.post_invalidate(vf, generation).unwrap();
        let actions = bench.adapter.set_link(true);
        assert_eq!(
            actions,
            [
                Action::LinkChanged { vf, generation, up: true },
                Action::InvalidateConfigBlocks { vf, generation, mask: 1 }
            ]
        );
    });
    rules.rule("C.7 a reset forgets who waited and what is stale", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        let generation = bench.generation(vf);
        bench.adapter.post_invalidate(vf, generation).unwrap();
        bench.done(OidRequest::ResetVf(vf));
        assert_eq!(bench.adapter.invalidate_config_blocks(vf, 1).unwrap(), []);
        bench.done(OidRequest::ResetVf(vf));
        assert_eq!(bench.adapter.post_invalidate(vf, generation).unwrap(), []);
    });
    rules.rule("C.7 blocks of a VF that is not allocated cannot become stale, nor be waited for", || {
        let mut bench = Bench::new();
        let vf = VfId(0);
        assert_eq!(bench.adapter.invalidate_config_blocks(vf, 1), Err(Refusal::UnknownVf { vf }));
        assert_eq!(bench.adapter.post_invalidate(vf, 1), Err(PfRefusal::UnknownVf(vf)));
        bench.allocate_vf();
        let stale = bench.adapter.post_invalidate(vf, 77);
        assert!(matches!(stale, Err(PfRefusal::StaleGeneration { found: 77, .. })));
    });
}

fn functions(rules: &mut Rules) {
    rules.rule("A.4 VF_VENDOR_DEVICE_ID: the VF's ids, not the PF's", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        let request = OidRequest::VfVendorDeviceId(vf);
        let expected = Payload::VendorDeviceId { vf, vendor: 0x8086, device: 0x1565 };
        assert_eq!(bench.done(request.clone()), expected);
        let Payload::Raw(bytes) = bench.done(raw(&request)) else { panic!() };
        assert_eq!(bytes, [0x80, 1, 10, 0, 0, 0, 0x86, 0x80, 0x65, 0x15]);
    });
    rules.rule("A.4 PROBED_BARS: two 64-bit BARs of 16 KiB, 0 where there is none", || {
        let mut bench = Bench::new();
        let Payload::ProbedBars(bars) = bench.ask_ndis(OidRequest::ProbedBars).payload else { panic!() };
        assert_eq!(bars, function().probed_vf_bars());
        assert_eq!(
            [bars[0] & !0xF, bars[1], bars[2], bars[3] & !0xF, bars[4], bars[5]],
            [0xFFFF_C000, 0xFFFF_FFFF, 0, 0xFFFF_C000, 0xFFFF_FFFF, 0]
        );
    });
    rules.rule("A.3 PROBED_BARS needs room for the structure and six values", || {
        let request = RawRequest { output_length: 31, ..raw(&OidRequest::ProbedBars) };
        let response = Bench::new().ask_ndis(request.clone());
        assert_eq!((response.status, response.bytes_needed), (NdisStatus::InvalidLength, 32));
        let response = Bench::new().ask_ndis(RawRequest { output_length: 32, ..request });
        let Payload::Raw(bytes) = response.payload else { panic!() };
        assert_eq!((&bytes[..8], bytes.len()), (&[0x80, 1, 8, 0, 8, 0, 0, 0][..], 32));
    });
    rules.rule("A.4 BAR_RESOURCES: each VF has the range after that of the VF before", || {
        let mut bench = Bench::new();
        let (first, second) = (bench.allocate_vf(), bench.allocate_vf());
        let mut range = |vf| match bench.ask_ndis(OidRequest::BarResources { vf, bar: 0 }).payload {
            Payload::BarResources { start, length, .. } => (start, length),
            other => panic!("{other:?}"),
        };
        let ((start, length), (next, _)) = (range(first), range(second));
        assert_eq!((length, next - start), (16 << 10, 16 << 10));
    });
    rules.rule("A.3 BAR_RESOURCES needs room for the structure and the descriptor", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        let request = raw(&OidRequest::BarResources { vf, bar: 3 });
        let response = bench.ask_ndis(RawRequest { output_length: 31, ..request.clone() });
        assert_eq!((response.status, response.bytes_needed), (NdisStatus::InvalidLength, 32));
        let Payload::Raw(bytes) = bench.ask_ndis(request).payload else { panic!() };
        // Offset 12; CmResourceTypeMemory, exclusive, read and write; 16 KiB.
        assert_eq!(bytes[8..16], [12, 0, 0, 0, 3, 1, 0, 0]);
        assert_eq!((&bytes[24..28], bytes.len()), (&[0, 0x40, 0, 0][..], 32));
    });
    rules.rule("A.4 BAR_RESOURCES of a BAR or VF that is not there is INVALID_PARAMETER", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        for (vf, bar) in [(vf, 1), (vf, 6), (vf, 0x100), (VfId(1), 0)] {
            let response = bench.ask_ndis(OidRequest::BarResources { vf, bar });
            assert_eq!(response.status, NdisStatus::InvalidParameter);
        }
    });
    rules.rule("C.5 an allocated VF starts from power-on, whatever its last holder wrote", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        let fresh = bytes(&mut bench, read(vf, 0, 4096));
        bench.done(OidRequest::WriteVfConfigSpace { vf, offset: 4, data: vec![7, 4] });
        bench.done(OidRequest::SetVfPowerState { vf, state: PowerState::D3, wake_enable: false });
        bench.done(OidRequest::FreeVf(vf));
        assert_eq!(bench.allocate_vf(), vf);
        assert_eq!(bytes(&mut bench, read(vf, 0, 4096)), fresh);
        let space = bench.adapter.function().virtual_function(vf.0).unwrap().config().clone();
        assert_eq!(space.power_state(), pcie::PowerState::D0);
    });
}

fn vf_adapter(rules: &mut Rules) {
    rules.rule("0.8 B.1 the adapter of a VF: SRIOV_SUPPORTED and VF_MINIPORT", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        let generation = bench.generation(vf);
        let expected = SriovCapabilities { supported: true, pf_miniport: false, vf_miniport: true };
        for request in [OidRequest::SriovHardwareCapabilities, OidRequest::SriovCurrentCapabilities] {
            let typed = bench.adapter.request_on_vf(vf, generation, request.clone());
            assert_eq!(typed.payload, Payload::Sriov(expected));
            let bytes = bench.adapter.request_on_vf(vf, generation, raw(&request));
            assert_eq!(bytes.payload, Payload::Raw(vec![0x80, 1, 12, 0, 0, 0, 0, 0, 5, 0, 0, 0]));
        }
    });
    rules.rule(
        "A.4 VF_SERIAL_NUMBER is answered on the VF's adapter, once the stack has assigned it",
        || {
            let mut bench = Bench::new();
            let vf = bench.allocate_vf();
            let generation = bench.generation(vf);
            let query = OidRequest::VfSerialNumber;
            assert_eq!(
                bench.adapter.request_on_vf(vf, generation, query.clone()).status,
                NdisStatus::Failure
            );
            bench.done(OidRequest::SetVfSerialNumber { vf, serial_number: 0x1234 });
            let response = bench.adapter.request_on_vf(vf, generation, query.clone());
            assert_eq!(response.payload, Payload::SerialNumber(0x1234));
            let response = bench.adapter.request_on_vf(vf, generation, raw(&query));
            assert_eq!(response.payload, Payload::Raw(vec![0x80, 1, 8, 0, 0x34, 0x12, 0, 0]));
            assert_eq!(bench.status(query), NdisStatus::NotSupported);
        },
    );
    rules.rule("A.3 the VF's adapter refuses by its own statuses", || {
        let mut bench = Bench::new();
        let vf = bench.allocate_vf();
        let generation = bench.generation(vf);
        let on = |bench: &Bench, vf, generation, request: RawRequest| {
            bench.adapter.request_on_vf(vf, generation, request).status
        };
        let query = raw(&OidRequest::SriovCurrentCapabilities);
        let short = RawRequest { output_length: 11, ..query.clone() };
        assert_eq!(on(&bench, vf, generation, short), NdisStatus::InvalidLength);
        let unknown = RawRequest { oid: 7, ..query.clone() };
        assert_eq!(on(&bench, vf, generation, unknown), NdisStatus::InvalidOid);
        let other = raw(&OidRequest::EnumVfs);
        assert_eq!(on(&bench, vf, generation, other), NdisStatus::NotSupported);
        let set = RawRequest { request_type: RequestType::Set, ..query.clone() };
        assert_eq!(on(&bench, vf, generation, set), NdisStatus::NotSupported);
        assert_eq!(on(&bench, vf, generation + 1, query.clone()), NdisStatus::InvalidParameter);
        bench.adapter.halt();
        assert_eq!(on(&bench, vf, generation, query), NdisStatus::NotAccepted);
    });
}
