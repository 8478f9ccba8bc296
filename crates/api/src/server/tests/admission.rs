//! How many may come.

use std::net::IpAddr;

use super::LIMITS;
use crate::server::Limits;
use crate::server::admission::{Admission, Client};

const fn user(uid: u32) -> Client {
    Client::User { uid, admin: false }
}

#[test]
fn a_quarter_of_the_connections_is_kept_for_admins() {
    let admission = Admission::new(&Limits { connections: 8, connections_each: 3, ..LIMITS });
    let mut all: Vec<_> = [1, 1, 1, 2, 2].map(|uid| admission.admit(user(uid)).unwrap()).into();
    assert!(admission.admit(user(1)).is_none(), "a fourth of one user");
    all.push(admission.admit(Client::Address(IpAddr::from([10, 0, 0, 1]))).unwrap());
    assert!(admission.admit(user(2)).is_none(), "a seventh of those who are no admins");
    let admin = || admission.admit(Client::User { uid: 0, admin: true });
    all.extend([admin().unwrap(), admin().unwrap()]);
    assert!(admin().is_none(), "a ninth");
    drop(all);
    assert!(admission.admit(user(1)).is_some(), "all have gone");
}
