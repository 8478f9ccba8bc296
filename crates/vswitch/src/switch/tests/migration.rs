//! Save and restore of a NIC (`spec/ndis.md` C.8, E.6).

use std::sync::{Arc, Mutex};

use crate::testing::packets::{ethernet, ipv4, tcp};
use crate::testing::{Lab, SECOND, mac};
use crate::{
    AclAction, AclRule, Direction, DropReason, ErrorKind, Extension, ExtensionKind, Guid, MAX_CONNECTIONS,
    MAX_SAVE_DATA, PortId, SavedNic, SavedRecord, SwitchError,
};

/// Saves these records, and remembers what it is given back.
#[derive(Debug)]
struct Keeper {
    id: Guid,
    records: Vec<Vec<u8>>,
    restored: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Extension for Keeper {
    fn id(&self) -> Guid {
        self.id
    }

    fn name(&self) -> &str {
        "keeper"
    }

    fn kind(&self) -> ExtensionKind {
        ExtensionKind::Filtering
    }

    fn save(&mut self, _port: PortId, index: usize) -> Option<Vec<u8>> {
        self.records.get(index).cloned()
    }

    fn restore(&mut self, _port: PortId, data: &[u8]) {
        self.restored.lock().unwrap().push(data.to_vec());
    }
}

fn keeper(lab: &mut Lab, id: u128, records: &[&[u8]]) -> Arc<Mutex<Vec<Vec<u8>>>> {
    let restored = Arc::default();
    let records = records.iter().map(|record| record.to_vec()).collect();
    let keeper = Keeper { id: Guid(id), records, restored: Arc::clone(&restored) };
    lab.switch.add_extension(Box::new(keeper)).unwrap();
    restored
}

fn data(record: Result<Option<SavedRecord>, SwitchError>) -> Option<Vec<u8>> {
    record.unwrap().map(|record| record.data)
}

#[test]
fn c8_records_come_one_by_one_until_there_are_none() {
    let mut lab = Lab::new();
    let (one, two) = (lab.vm(1), lab.vm(2));
    keeper(&mut lab, 1, &[&[1, 2, 3], &[4]]);
    keeper(&mut lab, 2, &[]);
    keeper(&mut lab, 3, &[&[5; 100]]);
    let too_short = |needed, given| Err(SwitchError::BufferTooShort { needed, given });
    assert_eq!(lab.switch.save_nic(one, 2, 0), too_short(3, 2));
    assert_eq!(data(lab.switch.save_nic(one, 3, 0)), Some(vec![1, 2, 3]), "asked again with more room");
    assert_eq!(data(lab.switch.save_nic(two, 3, 0)), Some(vec![1, 2, 3]), "NICs may interleave");
    assert_eq!(data(lab.switch.save_nic(one, 99, 0)), Some(vec![4]));
    assert_eq!(lab.switch.save_nic(one, 99, 0), too_short(100, 99));
    assert_eq!(data(lab.switch.save_nic(one, 100, 0)), Some(vec![5; 100]));
    assert_eq!(data(lab.switch.save_nic(one, 100, 0)), None);
    assert_eq!(data(lab.switch.save_nic(one, 100, 0)), None);
    lab.switch.complete_nic_save(one).unwrap();
    assert_eq!(data(lab.switch.save_nic(one, 3, 0)), Some(vec![1, 2, 3]), "anew");
}

#[test]
fn c8_an_extension_that_saves_without_end_or_measure_is_cut_off() {
    let mut lab = Lab::new();
    let port = lab.vm(1);
    let endless: Vec<&[u8]> = vec![&[7]; 5000];
    keeper(&mut lab, 1, &endless);
    assert_eq!(lab.switch.save_whole_nic(port, 0).unwrap().records.len(), 1024);
    let mut lab = Lab::new();
    let port = lab.vm(1);
    keeper(&mut lab, 1, &[&[0; MAX_SAVE_DATA + 1]]);
    let refused = lab.switch.save_whole_nic(port, 0).unwrap_err();
    assert_eq!(refused, SwitchError::RecordTooLong { id: Guid(1), length: MAX_SAVE_DATA + 1 });
}

/// Lets port 1 open a TCP connection to station 2 behind port 2.
fn stateful(lab: &mut Lab) {
    let open =
        AclRule { protocol: Some(6), stateful: true, ..AclRule::any(Direction::Outbound, AclAction::Allow) };
    let rules = vec![open, AclRule::any(Direction::Inbound, AclAction::Deny)];
    lab.vm_with(1, |policy| policy.acl.rules = rules);
    lab.vm(2);
}

/// Puts the NIC on another host, on a port of another number.
fn migrate(saved: &SavedNic) -> (Lab, PortId) {
    let mut target = Lab::new();
    target.vm(2);
    let port = target.switch.create_port(saved.port.clone()).unwrap();
    target.switch.set_policy(port, saved.policy.clone()).unwrap();
    target.switch.create_nic(port, saved.nic.clone()).unwrap();
    target.switch.connect_nic(port).unwrap();
    (target, port)
}

#[test]
fn c8_a_nic_migrates_with_its_policy_and_its_connections() {
    let mut source = Lab::new();
    stateful(&mut source);
    keeper(&mut source, 1, &[&[1]]);
    let syn = ethernet(mac(2), mac(1), 0x0800, &ipv4(1, 2, 6, 0, &tcp(1000, 80)));
    let answer = ethernet(mac(1), mac(2), 0x0800, &ipv4(2, 1, 6, 0, &tcp(80, 1000)));
    source.send_bytes(PortId(1), &syn, None).unwrap();
    source.now += 100 * SECOND;
    let saved = source.switch.save_whole_nic(PortId(1), source.now).unwrap();
    let json = serde_json::to_string(&saved).unwrap();
    let saved: SavedNic = serde_json::from_str(&json).unwrap();

    let (mut target, port) = migrate(&saved);
    assert_ne!(port, PortId(1));
    let restored = keeper(&mut target, 1, &[]);
    assert_eq!(target.send_bytes(PortId(1), &answer, None), Err(DropReason::EgressAcl));
    for record in &saved.records {
        target.switch.restore_nic(port, record, target.now).unwrap();
        assert!(target.switch.port(port).unwrap().restoring());
    }
    target.switch.complete_nic_restore(port).unwrap();
    assert!(!target.switch.port(port).unwrap().restoring());
    assert_eq!(*restored.lock().unwrap(), [[1]]);
    // It was idle for 100 of 300 seconds on the source.
    target.now += 200 * SECOND;
    assert!(target.send_bytes(PortId(1), &answer, None).is_ok());
    target.now += 300 * SECOND + 1;
    assert_eq!(target.send_bytes(PortId(1), &answer, None), Err(DropReason::EgressAcl));
}

#[test]
fn l05_hostile_records_are_refused_or_passed_over() {
    let mut lab = Lab::new();
    stateful(&mut lab);
    let port = PortId(1);
    let own = lab.switch.save_whole_nic(port, lab.now).unwrap().records.remove(0);
    let mut restore = |data: Vec<u8>| {
        let record = SavedRecord { data, ..own.clone() };
        lab.switch.restore_nic(port, &record, 0).map_err(|error| error.kind())
    };
    let refused = Err(ErrorKind::InvalidParameter);
    for length in [0, 7, 9, 16, 23, 8 + 16 * (MAX_CONNECTIONS + 1), MAX_SAVE_DATA + 1] {
        assert_eq!(restore(vec![0xff; length]), refused, "{length}");
    }
    assert_eq!(restore(vec![0xff; 8 + 16 * MAX_CONNECTIONS]), Ok(()));
    let unknown = SavedRecord { extension: Guid(77), ..own };
    assert_eq!(lab.switch.restore_nic(port, &unknown, 0), Ok(()));
    assert_eq!(
        lab.switch.restore_nic(PortId(9), &unknown, 0).map_err(|e| e.kind()),
        Err(ErrorKind::NotFound)
    );
}
