//! Random requests against the rules, written down a second time as plain loops over what the switch shows.

use std::collections::BTreeSet;

use ethernet::MacAddr;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use crate::testing::operation::{Operation, operation};
use crate::testing::{capabilities, create};
use crate::{
    Capabilities, FilterId, FilterTest, FunctionId, NicSwitch, ReceiveMode, VPortId, VPortState, VlanTest,
};

fn nondefault(switch: &NicSwitch) -> Vec<&crate::VPort> {
    switch.vports().filter(|vport| vport.id().0 != 0).collect()
}

fn pf_vports(switch: &NicSwitch) -> usize {
    nondefault(switch).iter().filter(|vport| vport.function() == FunctionId::Pf).count()
}

fn extra(switch: &NicSwitch) -> BTreeSet<MacAddr> {
    switch.vports().flat_map(|vport| vport.receive_mode().unicast.clone()).collect()
}

fn addresses(switch: &NicSwitch) -> BTreeSet<MacAddr> {
    switch.filters().map(|filter| filter.test().mac).chain(extra(switch)).collect()
}

fn queue_pairs(switch: &NicSwitch) -> u32 {
    switch.vports().map(crate::VPort::queue_pairs).sum()
}

/// What is true of the switch at every instant.
fn check_invariants(switch: &NicSwitch) -> TestCaseResult {
    let capabilities = switch.capabilities();
    let default = switch.vport(VPortId::DEFAULT).expect("the default VPort is always there");
    prop_assert_eq!((default.function(), default.state()), (FunctionId::Pf, VPortState::Activated));
    prop_assert!(switch.vports().count() <= capabilities.max_vports as usize);
    prop_assert!(switch.vfs().count() <= usize::from(capabilities.max_vfs));
    prop_assert!(pf_vports(switch) <= capabilities.max_nondefault_pf_vports() as usize);
    prop_assert!(queue_pairs(switch) <= capabilities.max_queue_pairs);
    prop_assert!(addresses(switch).len() <= capabilities.max_mac_addresses as usize);
    prop_assert!(extra(switch).len() <= (capabilities.max_mac_addresses - capabilities.max_vports) as usize);
    prop_assert!(switch.filters().count() <= capabilities.max_filters as usize);

    let sizes: BTreeSet<_> = nondefault(switch).iter().map(|vport| vport.queue_pairs()).collect();
    prop_assert!(capabilities.asymmetric_queue_pairs || sizes.len() <= 1);
    let tests: BTreeSet<_> = switch.filters().map(crate::Filter::test).collect();
    prop_assert_eq!(tests.len(), switch.filters().count(), "a frame matches one filter of a kind");
    let mut vfs = BTreeSet::new();
    for vport in switch.vports() {
        if let FunctionId::Vf(vf) = vport.function() {
            prop_assert!(switch.vf(vf).is_some(), "a VPort's VF is allocated");
            prop_assert!(vfs.insert(vf), "a VF has one VPort");
            prop_assert_eq!(vport.state(), VPortState::Activated);
        }
        for other in switch.vports().filter(|other| other.id() != vport.id()) {
            for mac in &vport.receive_mode().unicast {
                prop_assert!(!other.receive_mode().unicast.contains(mac), "an extra address has one owner");
                prop_assert!(switch.filters_on(other.id()).all(|filter| filter.test().mac != *mac));
            }
        }
    }
    if !capabilities.single_vport_pool {
        let lacking = switch.vfs().filter(|vf| switch.vport_of_vf(vf.id()).is_none()).count();
        prop_assert!(
            switch.vports().count() + lacking <= capabilities.max_vports as usize,
            "no VF lacks a VPort"
        );
    }
    for filter in switch.filters() {
        prop_assert!(switch.vport(filter.vport()).is_some(), "a filter stands on a VPort");
    }
    Ok(())
}

/// Whether the rules allow the request.
fn allowed(switch: &NicSwitch, operation: &Operation) -> bool {
    let capabilities = switch.capabilities();
    let exists = |vport: &VPortId| switch.vport(*vport).is_some();
    match operation {
        Operation::AllocateVf => (0..switch.num_vfs()).any(|vf| switch.vf(crate::VfId(vf)).is_none()),
        Operation::FreeVf(vf) => switch.vf(*vf).is_some() && switch.vport_of_vf(*vf).is_none(),
        Operation::SetNumVfs(num_vfs) => *num_vfs <= capabilities.max_vfs,
        Operation::CreateVPort(wanted) => {
            let function = match wanted.function {
                FunctionId::Pf => pf_vports(switch) < capabilities.max_nondefault_pf_vports() as usize,
                FunctionId::Vf(vf) => switch.vf(vf).is_some() && switch.vport_of_vf(vf).is_none(),
            };
            let symmetric = nondefault(switch).iter().all(|vport| vport.queue_pairs() == wanted.queue_pairs);
            function
                && !exists(&wanted.id)
                && (1..capabilities.max_vports).contains(&wanted.id.0)
                && (1..=capabilities.max_queue_pairs_per_nondefault_vport).contains(&wanted.queue_pairs)
                && (symmetric || capabilities.asymmetric_queue_pairs)
                && queue_pairs(switch) + wanted.queue_pairs <= capabilities.max_queue_pairs
        }
        Operation::Activate(vport) => exists(vport),
        Operation::DeleteVPort(vport) => {
            vport.0 != 0 && exists(vport) && switch.filters_on(*vport).next().is_none()
        }
        Operation::SetFilter(id, vport, test) => {
            let mut macs = addresses(switch);
            macs.insert(test.mac);
            *id != FilterId::NONE
                && switch.filter(*id).is_none()
                && exists(vport)
                && valid(*test)
                && switch.filters().all(|filter| filter.test() != *test)
                && may_hold(switch, *vport, test.mac)
                && switch.filters().count() < capabilities.max_filters as usize
                && macs.len() <= capabilities.max_mac_addresses as usize
        }
        Operation::ClearFilter(id) => switch.filter(*id).is_some(),
        Operation::MoveFilter(id, from, to) => switch.filter(*id).is_some_and(|filter| {
            filter.vport() == *from && exists(to) && (from == to || may_hold(switch, *to, filter.test().mac))
        }),
        Operation::SetPortSecurity(vport, security) => {
            vport.0 != 0 && exists(vport) && security.sends_as.is_none_or(valid)
        }
        Operation::SetReceiveMode(vport, mode) => {
            vport.0 != 0 && exists(vport) && may_have(switch, *vport, mode)
        }
    }
}

fn valid(test: FilterTest) -> bool {
    let vlan = match test.vlan {
        VlanTest::Any | VlanTest::UntaggedOrZero => true,
        VlanTest::Id(vid) => vid != 0 && vid < 4095,
    };
    vlan && test.mac.is_unicast()
}

fn may_hold(switch: &NicSwitch, vport: VPortId, mac: MacAddr) -> bool {
    vport.0 == 0 || switch.filters_on(vport).all(|filter| filter.test().mac != mac)
}

fn may_have(switch: &NicSwitch, vport: VPortId, mode: &ReceiveMode) -> bool {
    let mut others = switch.clone();
    let emptied = others.set_receive_mode(vport, ReceiveMode::default()).is_ok();
    let free = |mac: &MacAddr| {
        mac.is_unicast()
            && !extra(&others).contains(mac)
            && switch.filters().all(|filter| filter.vport() == vport || filter.test().mac != *mac)
    };
    let capabilities = switch.capabilities();
    let after: BTreeSet<_> = extra(&others).into_iter().chain(mode.unicast.clone()).collect();
    let all: BTreeSet<_> = addresses(&others).into_iter().chain(mode.unicast.clone()).collect();
    emptied
        && mode.unicast.iter().all(free)
        && after.len() <= (capabilities.max_mac_addresses - capabilities.max_vports) as usize
        && all.len() <= capabilities.max_mac_addresses as usize
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn requests_are_granted_by_the_rules_and_refused_without_effect(
        operations in prop::collection::vec(operation(), 1..60),
        single_vport_pool in any::<bool>(),
        asymmetric_queue_pairs in any::<bool>(),
    ) {
        // Budgets so small that a few requests meet them.
        let capabilities = Capabilities {
            max_vports: 7,
            max_queue_pairs: 9,
            max_mac_addresses: 9,
            max_filters: 10,
            single_vport_pool,
            asymmetric_queue_pairs,
            ..capabilities()
        };
        let mut switch = create(capabilities);
        for operation in operations {
            let (before, allowed) = (switch.clone(), allowed(&switch, &operation));
            let result = operation.clone().apply(&mut switch);
            prop_assert_eq!(result.is_ok(), allowed, "{:?}: {:?}", operation, result);
            if result.is_err() {
                prop_assert_eq!(&switch, &before);
            } else {
                let forwards_alike = matches!(
                    operation,
                    Operation::AllocateVf | Operation::FreeVf(_) | Operation::SetNumVfs(_)
                );
                let growth = u64::from(!forwards_alike);
                prop_assert_eq!(switch.generation(), before.generation() + growth, "{:?}", operation);
            }
            check_invariants(&switch)?;
        }
    }
}
