//! How many connections there may be, and of whom.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Limits;

/// Whose connections are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Client {
    User { uid: u32, admin: bool },
    Address(IpAddr),
}

/// Counts connections.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    all: usize,
    others: usize,
    each: usize,
    counts: Arc<Mutex<HashMap<Client, usize>>>,
}

/// A connection that is counted, while this lives.
#[derive(Debug)]
pub(super) struct Admitted {
    client: Client,
    counts: Arc<Mutex<HashMap<Client, usize>>>,
}

impl Admission {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            all: limits.connections,
            others: limits.connections - limits.connections / 4,
            each: limits.connections_each,
            counts: Arc::default(),
        }
    }

    /// Counts a further connection of `client`, if it may have one.
    pub(super) fn admit(&self, client: Client) -> Option<Admitted> {
        let mut counts = lock(&self.counts);
        let room = if matches!(client, Client::User { admin: true, .. }) { self.all } else { self.others };
        let own = counts.get(&client).copied().unwrap_or(0);
        if own >= self.each || counts.values().sum::<usize>() >= room {
            return None;
        }
        counts.insert(client, own + 1);
        Some(Admitted { client, counts: Arc::clone(&self.counts) })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        match counts.get_mut(&self.client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                counts.remove(&self.client);
            }
        }
    }
}

fn lock(counts: &Mutex<HashMap<Client, usize>>) -> MutexGuard<'_, HashMap<Client, usize>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}
