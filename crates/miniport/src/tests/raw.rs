//! Typed requests as the bytes that a caller of the public interface would pass: written from ndis.md B, by offset, without
//! the structures of the product.

use nic_switch::{BumPath, FunctionId, InterruptModeration, LinkState, VPortId, VPortState, VlanTest};

use crate::{NewVPort, OidRequest, PowerState, RawRequest, RequestType};

/// A structure under construction.
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Bytes {
    /// A header of type 0x80, and zeros.
    fn new(revision: u8, size: u16) -> Self {
        let mut bytes = vec![0; usize::from(size)];
        bytes[0] = 0x80;
        bytes[1] = revision;
        bytes[2..4].copy_from_slice(&size.to_le_bytes());
        Self(bytes)
    }

    fn put(mut self, offset: usize, value: &[u8]) -> Self {
        self.0[offset..offset + value.len()].copy_from_slice(value);
        self
    }

    fn u16(self, offset: usize, value: u16) -> Self {
        self.put(offset, &value.to_le_bytes())
    }

    fn u32(self, offset: usize, value: u32) -> Self {
        self.put(offset, &value.to_le_bytes())
    }

    fn name(mut self, offset: usize, name: &str) -> Self {
        let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let length = u16::try_from(units.len()).unwrap();
        let end = offset + 2 + units.len();
        self = self.u16(offset, length);
        self.0[offset + 2..end].copy_from_slice(&units);
        self
    }

    fn then(mut self, payload: &[u8]) -> Self {
        self.0.extend_from_slice(payload);
        self
    }
}

/// Enough for every answer of the small adapter.
const OUTPUT: u32 = 0x1_0000;

pub(crate) fn raw(request: &OidRequest) -> RawRequest {
    let (oid, request_type) = request.oid();
    let input = if request_type == RequestType::Query { Vec::new() } else { input(request).0 };
    let output_length = if request_type == RequestType::Set { 0 } else { OUTPUT };
    RawRequest { request_type, oid: oid.number(), input, output_length }
}

const fn function_id(function: FunctionId) -> u16 {
    match function {
        FunctionId::Pf => 0xFFFF,
        FunctionId::Vf(vf) => vf.0,
    }
}

const fn moderation(moderation: InterruptModeration) -> u32 {
    match moderation {
        InterruptModeration::Undefined => 0,
        InterruptModeration::Adaptive => 1,
        InterruptModeration::Off => 2,
        InterruptModeration::Low => 100,
        InterruptModeration::Medium => 200,
        InterruptModeration::High => 300,
    }
}

fn transfer(vf: u16, where_to: u32, length: u32) -> Bytes {
    Bytes::new(1, 20).u16(4, vf).u32(8, where_to).u32(12, length).u32(16, 24)
}

fn input(request: &OidRequest) -> Bytes {
    match request {
        OidRequest::CreateSwitch(parameters) => Bytes::new(2, 552)
            .u32(8, 1)
            .name(16, &parameters.name)
            .u32(532, parameters.num_vfs.into())
            .u32(548, parameters.queue_pairs_for_default_vport),
        OidRequest::SwitchParameters => Bytes::new(2, 552),
        OidRequest::SetSwitchParameters(changes) => {
            let bytes = Bytes::new(2, 552).u32(532, changes.num_vfs.into());
            match &changes.name {
                Some(name) => bytes.u32(4, 0x1_0000).name(16, name),
                None => bytes,
            }
        }
        OidRequest::DeleteSwitch => Bytes::new(1, 12),
        OidRequest::AllocateVf(parameters) => Bytes::new(1, 0x660)
            .name(0x00C, &parameters.vm_name)
            .name(0x210, &parameters.vm_friendly_name)
            .name(0x414, &parameters.nic_name)
            .u16(0x618, 6)
            .put(0x61A, &parameters.permanent_mac.0)
            .put(0x63A, &parameters.current_mac.0)
            .u16(0x65A, 0xFFFF)
            .u32(0x65C, 0xFFFF_FFFF),
        OidRequest::FreeVf(vf) => Bytes::new(1, 10).u16(8, vf.0),
        OidRequest::VfParameters(vf) => Bytes::new(1, 0x660).u16(0x65A, vf.0),
        OidRequest::EnumVfs => Bytes::new(1, 24),
        OidRequest::CreateVPort(vport) => create_vport(vport),
        OidRequest::VPortParameters(vport) => Bytes::new(1, 0x23C).u32(12, vport.0),
        OidRequest::SetVPortParameters { vport, changes } => {
            let mut flags = 0;
            let mut bytes = Bytes::new(1, 0x23C).u32(12, vport.0);
            if let Some(name) = &changes.name {
                flags |= 0x2_0000;
                bytes = bytes.name(16, name);
            }
            if let Some(value) = changes.interrupt_moderation {
                flags |= 0x4_0000;
                bytes = bytes.u32(0x21C, moderation(value));
            }
            if let Some(state) = changes.state {
                flags |= 0x8_0000;
                bytes = bytes.u32(0x220, if state == VPortState::Activated { 1 } else { 2 });
            }
            if let Some(affinity) = changes.affinity {
                flags |= 0x10_0000;
                bytes = bytes.put(0x228, &affinity.mask.to_le_bytes()).u16(0x230, affinity.group);
            }
            bytes.u32(4, flags)
        }
        OidRequest::EnumVPorts { function } => match function {
            Some(function) => Bytes::new(1, 28).u32(4, 1).u16(12, function_id(*function)),
            None => Bytes::new(1, 28),
        },
        OidRequest::DeleteVPort(vport) => Bytes::new(1, 12).u32(8, vport.0),
        OidRequest::SetFilter { vport, test } => {
            let (flag, vid) = match test.vlan {
                VlanTest::Any => (0, None),
                VlanTest::UntaggedOrZero => (1, None),
                VlanTest::Id(vid) => (0, Some(vid)),
            };
            let count = if vid.is_some() { 2 } else { 1 };
            let bytes = Bytes::new(2, 44)
                .u32(8, 1)
                .u32(20, 44)
                .u32(24, count)
                .u32(28, 56)
                .u32(40, vport.0)
                .then(&field(1, flag, &test.mac.0).0);
            match vid {
                Some(vid) => bytes.then(&field(4, 0, &vid.to_be_bytes()).0),
                None => bytes,
            }
        }
        OidRequest::ClearFilter(filter) => Bytes::new(1, 16).u32(12, filter.0),
        OidRequest::MoveFilter { filter, from, to } => {
            Bytes::new(1, 24).u32(4, filter.0).u32(12, from.0).u32(20, to.0)
        }
        OidRequest::EnumFilters(vport) => Bytes::new(2, 28).u32(20, 1).u32(24, vport.0),
        OidRequest::FilterParameters(filter) => Bytes::new(2, 44).u32(16, filter.0),
        OidRequest::ReadVfConfigSpace { vf, offset, length } => transfer(vf.0, *offset, *length),
        OidRequest::ReadVfConfigBlock { vf, block, length } => transfer(vf.0, *block, *length),
        OidRequest::WriteVfConfigSpace { vf, offset, data } => {
            transfer(vf.0, *offset, u32::try_from(data.len()).unwrap()).then(&[0; 4]).then(data)
        }
        OidRequest::WriteVfConfigBlock { vf, block, data } => {
            transfer(vf.0, *block, u32::try_from(data.len()).unwrap()).then(&[0; 4]).then(data)
        }
        OidRequest::ResetVf(vf) => Bytes::new(1, 6).u16(4, vf.0),
        OidRequest::SetVfPowerState { vf, state, wake_enable } => {
            let state = match state {
                PowerState::D0 => 1,
                PowerState::D1 => 2,
                PowerState::D2 => 3,
                PowerState::D3 => 4,
            };
            Bytes::new(1, 13).u16(4, vf.0).u32(8, state).put(12, &[u8::from(*wake_enable)])
        }
        OidRequest::VfVendorDeviceId(vf) => Bytes::new(1, 10).u16(4, vf.0),
        OidRequest::BarResources { vf, bar } => Bytes::new(1, 12).u16(4, vf.0).u16(6, *bar),
        OidRequest::PortSecurity(vport) => Bytes::new(1, 540).u32(4, vport.0),
        OidRequest::SetPortSecurity { vport, security } => {
            let flags = u32::from(security.mac_spoof_check)
                | u32::from(security.vlan_check) << 1
                | u32::from(security.trusted) << 2
                | u32::from(security.accept_bum) << 3
                | u32::from(security.sends_as.is_some()) << 4;
            let link = match security.link {
                LinkState::Auto => 0,
                LinkState::Enable => 1,
                LinkState::Disable => 2,
            };
            let mut bytes = Bytes::new(1, 540)
                .u32(4, vport.0)
                .u32(8, flags)
                .u32(12, link)
                .u32(16, u32::from(security.bum_path == BumPath::Synthetic));
            for vid in security.allowed_vlans.iter() {
                bytes.0[20 + usize::from(vid) / 8] |= 1 << (vid % 8);
            }
            if let Some(test) = security.sends_as {
                let vlan = match test.vlan {
                    VlanTest::UntaggedOrZero => 0,
                    VlanTest::Id(vlan) => vlan,
                    VlanTest::Any => 0xffff,
                };
                bytes = bytes.put(532, &test.mac.0).u16(538, vlan);
            }
            bytes
        }
        OidRequest::AllocateQueue(queue) => Bytes::new(2, 1092)
            .u32(8, 1)
            .put(24, &queue.affinity.mask.to_le_bytes())
            .u16(32, queue.affinity.group)
            .u32(40, queue.suggested_receive_buffers)
            .name(52, &queue.vm_name)
            .name(568, &queue.queue_name)
            .u32(1084, queue.port_id),
        OidRequest::FreeQueue(queue) => Bytes::new(1, 12).u32(8, queue.0),
        OidRequest::QueueParameters(queue) => Bytes::new(2, 1092).u32(12, queue.0),
        OidRequest::SetQueueParameters { queue, changes } => {
            let mut flags = 0;
            let mut bytes = Bytes::new(2, 1092).u32(12, queue.0);
            if let Some(affinity) = changes.affinity {
                flags |= 0x2_0000;
                bytes = bytes.put(24, &affinity.mask.to_le_bytes()).u16(32, affinity.group);
            }
            if let Some(buffers) = changes.suggested_receive_buffers {
                flags |= 0x4_0000;
                bytes = bytes.u32(40, buffers);
            }
            if let Some(name) = &changes.queue_name {
                flags |= 0x8_0000;
                bytes = bytes.name(568, name);
            }
            bytes.u32(4, flags)
        }
        OidRequest::CompleteQueueAllocation(queues) => {
            let count = u32::try_from(queues.len()).unwrap();
            let bytes = Bytes::new(1, 20).u32(8, 24).u32(12, count).u32(16, 16).then(&[0; 4]);
            queues.iter().fold(bytes, |bytes, queue| bytes.then(&Bytes::new(1, 16).u32(8, queue.0).0))
        }
        OidRequest::SetQueueFilter { queue, test } => {
            input(&OidRequest::SetFilter { vport: VPortId::DEFAULT, test: *test }).u32(12, queue.0)
        }
        OidRequest::ClearQueueFilter { queue, filter } => {
            input(&OidRequest::ClearFilter(*filter)).u32(8, queue.0)
        }
        OidRequest::EnumQueueFilters(queue) => Bytes::new(2, 28).u32(4, queue.0),
        OidRequest::ReceiveMode(vport) => Bytes::new(1, 1048).u32(4, vport.0),
        OidRequest::SetReceiveMode { vport, mode } => {
            let flags = u32::from(mode.broadcast)
                | u32::from(mode.all_multicast) << 1
                | u32::from(mode.promiscuous) << 2;
            let mut bytes = Bytes::new(1, 1048)
                .u32(4, vport.0)
                .u32(8, flags)
                .u32(12, 1048)
                .u32(16, u32::try_from(mode.unicast.len()).unwrap())
                .u32(20, 6);
            for hash in mode.multicast.iter() {
                bytes.0[24 + usize::from(hash) / 8] |= 1 << (hash % 8);
            }
            for vid in mode.vlans.iter() {
                bytes.0[536 + usize::from(vid) / 8] |= 1 << (vid % 8);
            }
            for mac in &mode.unicast {
                bytes = bytes.then(&mac.0);
            }
            bytes
        }
        OidRequest::SetVfSerialNumber { vf, serial_number } => {
            Bytes::new(1, 12).u16(4, vf.0).u32(8, *serial_number)
        }
        query => unreachable!("{query:?} is a query"),
    }
}

fn create_vport(vport: &NewVPort) -> Bytes {
    let bytes = Bytes::new(1, 0x23C)
        .name(16, &vport.name)
        .u16(0x214, function_id(vport.function))
        .u32(0x218, vport.queue_pairs)
        .u32(0x21C, moderation(vport.interrupt_moderation));
    match vport.affinity {
        Some(affinity) => bytes.put(0x228, &affinity.mask.to_le_bytes()).u16(0x230, affinity.group),
        None => bytes,
    }
}

/// One field test.
pub(crate) fn field(header_field: u32, flags: u32, value: &[u8]) -> Bytes {
    Bytes::new(1, 56).u32(4, flags).u32(8, 1).u32(12, 1).u32(16, header_field).put(24, value)
}
