//! Sets of ports: those that want to be looked at, set by whoever knows, and those that the worker keeps for itself.

use std::sync::atomic::{AtomicU64, Ordering};

/// A set of port numbers that all threads add to and the worker takes from.
#[derive(Debug)]
pub(crate) struct ReadySet(Box<[AtomicU64]>);

impl ReadySet {
    pub(crate) fn new(ports: usize) -> Self {
        Self((0..ports.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Adds `port`. Sequentially consistent: a worker that is about to sleep sees either this or is seen asleep.
    #[inline]
    pub(crate) fn set(&self, port: usize) {
        if let Some(word) = self.0.get(port / 64) {
            word.fetch_or(1 << (port % 64), Ordering::SeqCst);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| word.load(Ordering::SeqCst) == 0)
    }

    /// Takes all ports out and adds them to `into`. Acquires what those who added them did before.
    #[inline]
    pub(crate) fn drain(&self, into: &mut PortSet) {
        for (word, into) in self.0.iter().zip(&mut into.0) {
            if word.load(Ordering::Relaxed) != 0 {
                *into |= word.swap(0, Ordering::SeqCst);
            }
        }
    }
}

/// A set of port numbers of the worker's own.
#[derive(Debug)]
pub(crate) struct PortSet(Box<[u64]>);

impl PortSet {
    pub(crate) fn new(ports: usize) -> Self {
        Self(vec![0; ports.div_ceil(64)].into())
    }

    #[inline]
    pub(crate) fn insert(&mut self, port: usize) {
        if let Some(word) = self.0.get_mut(port / 64) {
            *word |= 1 << (port % 64);
        }
    }

    #[inline]
    pub(crate) fn insert_all(&mut self, others: &Self) {
        self.0.iter_mut().zip(&others.0).for_each(|(word, others)| *word |= others);
    }

    #[inline]
    pub(crate) fn contains(&self, port: usize) -> bool {
        self.0.get(port / 64).is_some_and(|word| word >> (port % 64) & 1 == 1)
    }

    /// Takes `port` out; true if it was in.
    #[inline]
    pub(crate) fn remove(&mut self, port: usize) -> bool {
        let was_in = self.contains(port);
        if let Some(word) = self.0.get_mut(port / 64) {
            *word &= !(1 << (port % 64));
        }
        was_in
    }

    /// The ports, lowest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(index, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(index * 64 + bit)
            })
        })
    }

    /// Takes the lowest port out.
    #[inline]
    pub(crate) fn take_first(&mut self) -> Option<usize> {
        let (index, word) = self.0.iter_mut().enumerate().find(|(_, word)| **word != 0)?;
        let bit = word.trailing_zeros() as usize;
        *word &= *word - 1;
        Some(index * 64 + bit)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}
