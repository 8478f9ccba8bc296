//! Config space against a plain model: arrays of bytes, filled by hand from the VF's register list.

use super::*;

struct Model {
    value: Vec<u8>,
    reset: Vec<u8>,
    writable: Vec<u8>,
    write_one_to_clear: Vec<u8>,
    sticky: Vec<u8>,
}

/// Config space that is 0 but for these bytes at these offsets.
fn filled(parts: &[(usize, &[u8])]) -> Vec<u8> {
    let mut all = vec![0; CONFIG_SPACE_SIZE];
    for (offset, bytes) in parts {
        all[*offset..offset + bytes.len()].copy_from_slice(bytes);
    }
    all
}

impl Model {
    fn vf() -> Self {
        let reset = filled(&[
            (0x00, &[0x86, 0x80, 0x65, 0x15, 0x00, 0x00, 0x10, 0x00, 0x01, 0x00, 0x00, 0x02]),
            (0x10, &[0x04]),
            (0x1c, &[0x04]),
            (0x2c, &[0x86, 0x80]),
            (0x34, &[0x70]),
            (0x70, &[0x11, 0xa0, 0x02, 0x00, 0x03, 0x00, 0x00, 0x00, 0x03, 0x20, 0x00, 0x00]),
            (0xa0, &[0x10, 0x00, 0x02, 0x00, 0xc2, 0x8c, 0x00, 0x10, 0x10, 0x28]),
            (0xac, &[0x82, 0x74, 0x02, 0x00, 0x00, 0x00, 0x81, 0x10]),
            (0xc4, &[0x1f]),
            (0xcc, &[0x06]),
            (0x100, &[0x01, 0x00, 0x02, 0x15]),
            (0x10c, &[0x10, 0x20, 0x06, 0x00]),
            (0x115, &[0x20]),
            (0x150, &[0x0e, 0x00, 0x01, 0x00]),
        ]);
        let writable = filled(&[
            (0x04, &[0x46, 0x05]),
            (0x0c, &[0xff]),
            (0x11, &[0xc0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            (0x1d, &[0xc0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            (0x3c, &[0xff]),
            (0x73, &[0xc0]),
            (0xa8, &[0xff, 0x78]),
            (0xb0, &[0xcb]),
            (0xc8, &[0x1f]),
            (0x108, &[0x10, 0xf0, 0x1f, 0x00]),
            (0x10c, &[0x10, 0xf0, 0x1f, 0x00]),
            (0x114, &[0xc1, 0x31]),
        ]);
        let write_one_to_clear =
            filled(&[(0x07, &[0xf9]), (0xaa, &[0x0f]), (0x104, &[0x10, 0xf0, 0x1f]), (0x110, &[0xc1, 0x31])]);
        let sticky = filled(&[(0xa8, &[0xe0]), (0xb0, &[0xcb]), (0x104, &[0xff; 0x14])]);
        Self { value: reset.clone(), reset, writable, write_one_to_clear, sticky }
    }

    fn write(&mut self, offset: usize, data: &[u8]) {
        for (at, byte) in (offset..).zip(data) {
            let stored = (self.value[at] & !self.writable[at]) | (byte & self.writable[at]);
            self.value[at] = stored & !(byte & self.write_one_to_clear[at]);
        }
        if (offset..offset + data.len()).contains(&0xa9) && data[0xa9 - offset] & 0x80 != 0 {
            self.function_level_reset();
        }
    }

    fn function_level_reset(&mut self) {
        for at in 0..CONFIG_SPACE_SIZE {
            self.value[at] = (self.value[at] & self.sticky[at]) | (self.reset[at] & !self.sticky[at]);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write { offset: u16, data: Vec<u8> },
    LogErrors(u32),
    MasterAbort,
    Reset,
}

/// Offsets, most of them where registers are.
fn offset() -> impl Strategy<Value = u16> {
    prop_oneof![
        4 => 0_u16..0x40,
        2 => 0x6c_u16..0x80,
        3 => 0x9c_u16..0xdc,
        3 => 0xfc_u16..0x160,
        1 => 0_u16..4096,
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let data = prop_oneof![
        any::<u8>().prop_map(|b| vec![b]),
        any::<[u8; 2]>().prop_map(Vec::from),
        any::<[u8; 4]>().prop_map(Vec::from),
        Just(vec![0xff; 4]),
    ];
    prop_oneof![
        20 => (offset(), data).prop_map(|(offset, data)| Step::Write { offset, data }),
        2 => any::<u32>().prop_map(Step::LogErrors),
        1 => Just(Step::MasterAbort),
        1 => Just(Step::Reset),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn behaves_as_bytes_with_masks(steps in prop::collection::vec(step(), 1..60)) {
        let (space, mut model) = (vf(), Model::vf());
        prop_assert_eq!(&bytes(&space), &model.value);
        for step in steps {
            match step {
                Step::Write { offset, data } => match space.write(offset, &data) {
                    Ok(_) => model.write(usize::from(offset), &data),
                    Err(error) => {
                        prop_assert_eq!(error, AccessError::Range { offset, length: data.len() });
                        prop_assert!(usize::from(offset) + data.len() > CONFIG_SPACE_SIZE);
                    }
                },
                Step::LogErrors(bits) => {
                    let bits = bits & 0x001f_f010;
                    space.words.fetch_or(0x104 / 4, bits);
                    for (byte, bits) in model.value[0x104..0x108].iter_mut().zip(bits.to_le_bytes()) {
                        *byte |= bits;
                    }
                }
                Step::MasterAbort => {
                    space.record_master_abort();
                    model.value[0x07] |= 0x20;
                }
                Step::Reset => {
                    space.reset(ResetKind::FunctionLevel);
                    model.function_level_reset();
                }
            }
            prop_assert_eq!(&bytes(&space), &model.value);
        }
    }

    #[test]
    fn reads_agree_with_the_bytes(offset in 0_u16..4100, width in 0_usize..9) {
        let space = pf();
        let all = bytes(&space);
        let range = usize::from(offset)..usize::from(offset) + width;
        let expected = all.get(range).filter(|_| [1, 2, 4].contains(&width));
        let read = space.read(offset, width);
        prop_assert_eq!(read.is_ok(), expected.is_some());
        if let (Ok(value), Some(expected)) = (read, expected) {
            prop_assert_eq!(&value.to_le_bytes()[..width], expected);
        }
    }
}
