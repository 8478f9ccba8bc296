use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::fixture::{domain, memfd, request};
use crate::{Access, DmaError, MapRequest, PAGE_SIZE};

/// Page number -> region it belongs to, its access, and its first byte.
#[derive(Default)]
struct Model(BTreeMap<u64, (u64, Access, u8)>);

impl Model {
    /// What `first_slice` should say: the length of the slice.
    fn first(&self, addr: u64, len: usize, access: Access) -> Result<usize, DmaError> {
        if len == 0 {
            return Ok(0);
        }
        let page = addr / PAGE_SIZE;
        let (region, granted, _) = *self.0.get(&page).ok_or(DmaError::Unmapped { addr })?;
        if !granted.allows(access) {
            return Err(DmaError::Denied { addr, access });
        }
        let pages = (page..)
            .take_while(|page| self.0.get(page).is_some_and(|entry| entry.0 == region))
            .count() as u64;
        Ok(len.min(usize::try_from((page + pages) * PAGE_SIZE - addr).unwrap()))
    }

    /// What `read_bytes` should say.
    fn read(&self, addr: u64, len: usize) -> Result<Vec<u8>, DmaError> {
        (addr..addr + len as u64)
            .map(|addr| {
                self.first(addr, 1, Access::Read)?;
                let first_byte = self.0[&(addr / PAGE_SIZE)].2;
                Ok(if addr % PAGE_SIZE == 0 { first_byte } else { 0 })
            })
            .collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Map { page: u64, pages: u64, access: Access },
    Unmap { page: u64, pages: u64 },
}

fn access() -> impl Strategy<Value = Access> {
    prop_oneof![Just(Access::Read), Just(Access::Write), Just(Access::ReadWrite)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u64..24, 1u64..4, access()).prop_map(|(page, pages, access)| Step::Map { page, pages, access }),
        1 => (0u64..24, 1u64..8).prop_map(|(page, pages)| Step::Unmap { page, pages }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn translation_agrees_with_a_map_of_pages(
        steps in proptest::collection::vec(step(), 1..24),
        looks in proptest::collection::vec((0u64..26 * PAGE_SIZE, 0usize..20_000, access()), 32),
    ) {
        let (domain, mut model) = (domain(), Model::default());
        for (id, step) in (1u8..).zip(steps) {
            match step {
                Step::Map { page, pages, access } => {
                    let fd = memfd("view-model", pages);
                    for page in 0..pages {
                        rustix::io::pwrite(&fd, &[id ^ page.to_le_bytes()[0]], page * PAGE_SIZE).unwrap();
                    }
                    let (readable, writable) = (access.allows(Access::Read), access.allows(Access::Write));
                    let mapped = domain.map(MapRequest { readable, writable, ..request(&fd, page, pages) });
                    let free = model.0.range(page..page + pages).next().is_none();
                    prop_assert_eq!(mapped.is_ok(), free);
                    for i in (0..pages).filter(|_| free) {
                        model.0.insert(page + i, (u64::from(id), access, id ^ i.to_le_bytes()[0]));
                    }
                }
                Step::Unmap { page, pages } => {
                    let unmapped = domain.unmap(page * PAGE_SIZE, pages * PAGE_SIZE);
                    let region = |page: u64| model.0.get(&page).map(|entry| entry.0);
                    let cut = |edge: u64| edge > 0 && region(edge).is_some() && region(edge - 1) == region(edge);
                    let some = model.0.range(page..page + pages).next().is_some();
                    let expected = some && !cut(page) && !cut(page + pages);
                    prop_assert_eq!(unmapped.is_ok(), expected);
                    if expected {
                        model.0.retain(|at, _| !(page..page + pages).contains(at));
                    }
                }
            }
        }
        let view = domain.view();
        for (addr, len, access) in looks {
            let first = model.first(addr, len, access);
            prop_assert_eq!(view.first_slice(addr, len, access).map(|slice| slice.len()), first);
            let whole = first.and_then(|mapped| {
                if mapped == len { Ok(len) } else { Err(DmaError::Straddles { addr, len, mapped: mapped as u64 }) }
            });
            prop_assert_eq!(view.slice(addr, len, access).map(|slice| slice.len()), whole);
            let mut bytes = vec![0; len];
            prop_assert_eq!(view.read_bytes(addr, &mut bytes).map(|()| bytes), model.read(addr, len));
        }
    }
}

#[test]
fn lengths_that_wrap_are_no_way_in() {
    let domain = crate::fixture::domain_with("view-wrap", 1, 1);
    let view = domain.view();
    let straddles = DmaError::Straddles { addr: PAGE_SIZE, len: usize::MAX, mapped: PAGE_SIZE };
    assert_eq!(view.slice(PAGE_SIZE, usize::MAX, Access::Read).err(), Some(straddles));
    assert_eq!(view.slice(u64::MAX, 2, Access::Read).err(), Some(DmaError::Unmapped { addr: u64::MAX }));
    assert_eq!(view.first_slice(PAGE_SIZE + 1, usize::MAX, Access::Read).unwrap().len(), 4095);
}

#[test]
fn r09_writes_cross_adjacent_regions_and_stop_at_a_hole() {
    let domain = domain();
    for page in [1, 2] {
        crate::fixture::map(&domain, &memfd("view-cross", 1), page, 1).unwrap();
    }
    let view = domain.view();
    view.write_bytes(2 * PAGE_SIZE - 2, b"abcd").unwrap();
    assert_eq!(view.read_obj::<[u8; 2]>(2 * PAGE_SIZE), Ok(*b"cd"));
    let straddles = DmaError::Straddles { addr: 2 * PAGE_SIZE - 2, len: 4, mapped: 2 };
    assert_eq!(view.read_obj::<[u8; 4]>(2 * PAGE_SIZE - 2), Err(straddles));
    assert_eq!(view.write_bytes(3 * PAGE_SIZE - 2, b"abcd"), Err(DmaError::Unmapped { addr: 3 * PAGE_SIZE }));
    assert_eq!(view.read_obj::<[u8; 2]>(3 * PAGE_SIZE - 2), Ok(*b"ab"));
}

#[test]
fn r07_no_bytes_are_allowed_anywhere() {
    let domain = domain();
    let view = domain.view();
    let slice = view.slice(0xdead_0000, 0, Access::ReadWrite).unwrap();
    assert!(slice.is_empty() && slice.read(0, &mut []).is_ok() && slice.write(0, &[]).is_ok());
    assert_eq!(crate::copy_sum(slice, slice), Ok(0));
    assert_eq!(crate::copy(slice, slice), Ok(()));
}
