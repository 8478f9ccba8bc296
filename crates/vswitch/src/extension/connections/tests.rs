use super::*;

fn connection(n: u32) -> Connection {
    let remote = IpAddr::from(n.to_be_bytes());
    Connection { protocol: 6, local: (IpAddr::from([10, 0, 0, 1]), 80), remote: (remote, 1234) }
}

#[test]
fn a_connection_lives_while_it_is_used() {
    let table = Connections::new(5, 100);
    assert!(!table.knows(&connection(1), 0));
    table.insert(&connection(1), 0);
    assert!(table.knows(&connection(1), 100));
    assert!(!table.knows(&connection(1), 101));
    table.refresh(&connection(1), 90);
    assert!(table.knows(&connection(1), 190));
    let swapped = Connection { local: connection(1).remote, remote: connection(1).local, protocol: 6 };
    for other in [connection(2), Connection { protocol: 17, ..connection(1) }, swapped] {
        assert!(!table.knows(&other, 0), "{other:?}");
    }
}

#[test]
fn s06_a_flood_of_connections_keeps_those_that_are_known() {
    let table = Connections::new(5, 100);
    let mine: Vec<_> = (0..100).map(connection).collect();
    mine.iter().for_each(|connection| table.insert(connection, 0));
    (1000..101_000).for_each(|n| table.insert(&connection(n), 50));
    assert!(mine.iter().all(|connection| table.knows(connection, 50)));
    assert_eq!(table.save(50).len(), MAX_CONNECTIONS);
    // What is forgotten makes room.
    table.insert(&connection(200_000), 151);
    assert!(table.knows(&connection(200_000), 151));
}

#[test]
fn what_is_saved_is_known_elsewhere_and_not_longer() {
    let table = Connections::new(5, 100);
    table.insert(&connection(1), 1000);
    table.insert(&connection(2), 1040);
    let other = Connections::new(table.key(), 100);
    for saved in table.save(1050) {
        other.restore(saved, 5000);
    }
    assert!(other.knows(&connection(1), 5050) && !other.knows(&connection(1), 5051));
    assert!(other.knows(&connection(2), 5090));
    let shorter = other.with_idle(20);
    assert!(!shorter.knows(&connection(1), 5000) && shorter.knows(&connection(2), 5010));
    // What another host claims to be of the future or long gone.
    other.restore((3, u64::MAX), 5000);
    other.restore((VACANT, 0), 5000);
    assert_eq!(other.save(5000).len(), 3);
}
