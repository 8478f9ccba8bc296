//! Receive-filter structures (ndis.md B.6).

use ethernet::MacAddr;
use nic_switch::{FilterTest, VlanTest};
use zerocopy::FromZeros;
use zerocopy::byteorder::little_endian::U32;

use super::array::read_element;
use super::constant::field;
use super::{Structure, structure};
use crate::refusal::Refusal;

structure! {
    /// A filter; its field tests stand in an array behind it.
    FilterParameters = "NDIS_RECEIVE_FILTER_PARAMETERS", padded 44, revisions [36, 44] {
        flags: U32,
        filter_type: U32,
        queue_id: U32,
        filter_id: U32,
        field_array_offset: U32,
        field_array_num_elements: U32,
        field_array_element_size: U32,
        requested_filter_id_bit_count: U32,
        max_coalescing_delay: U32,
        vport_id: U32,
    }
}

structure! {
    /// One field test. The values are unions whose widest member is 64 bits wide, hence the padding before them; their
    /// multi-byte values are in network byte order.
    FieldParameters = "NDIS_RECEIVE_FILTER_FIELD_PARAMETERS", padded 56, revisions [56] {
        flags: U32,
        frame_header: U32,
        test: U32,
        header_field: U32,
        _pad0: [u8; 4],
        field_value: [u8; 16],
        result_value: [u8; 16],
    }
}

structure! {
    /// ndis.md B.6.
    ClearFilter = "NDIS_RECEIVE_FILTER_CLEAR_PARAMETERS", padded 16, revisions [16] {
        flags: U32,
        queue_id: U32,
        filter_id: U32,
    }
}

structure! {
    /// ndis.md B.6.
    MoveFilter = "NDIS_RECEIVE_FILTER_MOVE_FILTER_PARAMETERS", padded 24, revisions [24] {
        filter_id: U32,
        source_queue_id: U32,
        source_vport_id: U32,
        dest_queue_id: U32,
        dest_vport_id: U32,
    }
}

structure! {
    /// ndis.md B.6.
    FilterInfo = "NDIS_RECEIVE_FILTER_INFO", padded 16, revisions [16] {
        flags: U32,
        filter_type: U32,
        filter_id: U32,
    }
}

structure! {
    /// ndis.md B.6; revision 2 can name a VPort.
    FilterInfoArray = "NDIS_RECEIVE_FILTER_INFO_ARRAY", padded 28, revisions [20, 28] {
        queue_id: U32,
        first_element_offset: U32,
        num_elements: U32,
        element_size: U32,
        flags: U32,
        vport_id: U32,
    }
}

/// The most field tests of a filter that this crate looks at, and the least size of one in bytes.
pub(crate) const FIELD_BOUNDS: (u32, u32) = (8, 56);

/// Puts the field tests of a filter together: the destination MAC address and, if there is one, the VLAN id, both tested
/// for equality (ndis.md A.4, D.4).
pub(crate) fn test(fields: &mut dyn Iterator<Item = &[u8]>) -> Result<FilterTest, Refusal> {
    let (mut mac, mut vlan, mut untagged) = (None, None, false);
    for bytes in fields {
        let wire: FieldParameters = read_element(bytes)?;
        if wire.frame_header.get() != field::FRAME_HEADER_MAC {
            return Err(Refusal::member("FrameHeader", wire.frame_header.get(), "1 (MAC)"));
        }
        if wire.test.get() != field::TEST_EQUAL {
            return Err(Refusal::member("ReceiveFilterTest", wire.test.get(), "1 (equal)"));
        }
        let flags = wire.flags.get();
        let value = wire.field_value;
        let repeated = match wire.header_field.get() {
            field::MAC_DESTINATION if flags & !field::VLAN_UNTAGGED_OR_ZERO == 0 => {
                untagged = flags != 0;
                mac.replace(MacAddr([value[0], value[1], value[2], value[3], value[4], value[5]])).is_some()
            }
            field::MAC_VLAN_ID if flags == 0 => {
                vlan.replace(u16::from_be_bytes([value[0], value[1]])).is_some()
            }
            field::MAC_DESTINATION | field::MAC_VLAN_ID => {
                return Err(Refusal::member(
                    "Flags of a field",
                    flags,
                    "0, or 1 with the destination address",
                ));
            }
            other => return Err(Refusal::member("MacHeaderField", other, "1 (destination) or 4 (VLAN id)")),
        };
        if repeated {
            return Err(Refusal::member("MacHeaderField", wire.header_field.get(), "tested once"));
        }
    }
    let mac =
        mac.ok_or_else(|| Refusal::member("MacHeaderField", 0_u32, "1 (destination) in one of the fields"))?;
    let vlan = match (vlan, untagged) {
        (None, false) => VlanTest::Any,
        (None, true) => VlanTest::UntaggedOrZero,
        (Some(vid), false) => VlanTest::Id(vid),
        (Some(vid), true) => {
            return Err(Refusal::member("VlanId", vid, "absent if the frame is to be untagged"));
        }
    };
    Ok(FilterTest { mac, vlan })
}

/// The field tests that `test` is made of.
pub(crate) fn fields(test: FilterTest) -> Vec<FieldParameters> {
    let field = |header_field: u32, flags: u32, value: &[u8]| {
        let mut wire = FieldParameters::new_zeroed();
        wire.header = FieldParameters::header();
        wire.flags.set(flags);
        wire.frame_header.set(field::FRAME_HEADER_MAC);
        wire.test.set(field::TEST_EQUAL);
        wire.header_field.set(header_field);
        wire.field_value[..value.len()].copy_from_slice(value);
        wire
    };
    let untagged = u32::from(test.vlan == VlanTest::UntaggedOrZero) * field::VLAN_UNTAGGED_OR_ZERO;
    let mut fields = vec![field(field::MAC_DESTINATION, untagged, &test.mac.0)];
    if let VlanTest::Id(vid) = test.vlan {
        fields.push(field(field::MAC_VLAN_ID, 0, &vid.to_be_bytes()));
    }
    fields
}
