//! Fixed sets of 12-bit numbers: VLAN ids and multicast hashes.

#[cfg(test)]
mod tests;

use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A set of VLAN ids, 0 to 4094. 0 stands for untagged and priority-tagged frames; 4095 is reserved (IEEE 802.1Q).
pub type VlanSet = BitSet<4094>;

/// The multicast table of a receiver: the hashes ([`ethernet::multicast_hash`], bits 47:36) of the groups it wants.
///
/// Groups that share a hash are accepted together; the guest's stack sorts them out.
pub type MulticastTable = BitSet<4095>;

const WORDS: usize = 4096 / 64;

/// A set of numbers from 0 to `MAX`, at most 4095, in 512 bytes; a look-up is one load.
///
/// Serialised as the list of its members.
#[derive(Clone, PartialEq, Eq)]
pub struct BitSet<const MAX: u16>([u64; WORDS]);

/// A number is too large to be a member of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{number} cannot be in the set: its members go from 0 to {max}")]
pub struct NotAMember {
    /// The number.
    pub number: u16,
    /// The largest that the set can hold.
    pub max: u16,
}

impl<const MAX: u16> BitSet<MAX> {
    /// The set without members.
    pub const EMPTY: Self = Self([0; WORDS]);

    const MAX_FITS: () = assert!(MAX < 4096, "a set holds 12-bit numbers");

    /// The set of all numbers from 0 to `MAX`.
    #[must_use]
    pub fn all() -> Self {
        let mut set = Self::EMPTY;
        (0..=MAX).for_each(|number| set.add(number));
        set
    }

    /// Builds the set of `members`; a repeated one counts once.
    ///
    /// # Errors
    /// The first number above `MAX`.
    pub fn of(members: impl IntoIterator<Item = u16>) -> Result<Self, NotAMember> {
        let mut set = Self::EMPTY;
        members.into_iter().try_for_each(|member| set.insert(member))?;
        Ok(set)
    }

    /// Adds a member; one that is there already stays.
    ///
    /// # Errors
    /// A number above `MAX`.
    pub fn insert(&mut self, number: u16) -> Result<(), NotAMember> {
        if number > MAX {
            return Err(NotAMember { number, max: MAX });
        }
        self.add(number);
        Ok(())
    }

    /// Removes a member; a number that is none is passed over.
    pub fn remove(&mut self, number: u16) {
        if let Some(word) = self.0.get_mut(usize::from(number / 64)) {
            *word &= !(1 << (number % 64));
        }
    }

    /// Whether `number` is a member.
    #[must_use]
    pub fn contains(&self, number: u16) -> bool {
        self.0.get(usize::from(number / 64)).is_some_and(|word| word >> (number % 64) & 1 != 0)
    }

    /// The members, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (0..=MAX).filter(|&number| self.contains(number))
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }

    /// The same members in a set for all 12-bit numbers.
    pub(crate) const fn widen(&self) -> BitSet<4095> {
        BitSet(self.0)
    }

    pub(crate) fn intersect(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word &= other);
    }

    pub(crate) fn unite(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word |= other);
    }

    /// Adds a number that is known to be at most `MAX`.
    pub(crate) fn add(&mut self, number: u16) {
        let () = Self::MAX_FITS;
        self.0[usize::from(number / 64)] |= 1 << (number % 64);
    }
}

impl<const MAX: u16> Default for BitSet<MAX> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const MAX: u16> fmt::Debug for BitSet<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<const MAX: u16> Serialize for BitSet<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de, const MAX: u16> Deserialize<'de> for BitSet<MAX> {
    /// Reads the members one by one: however long the list is, it takes no further memory.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<const MAX: u16>;

        impl<'de, const MAX: u16> Visitor<'de> for Members<MAX> {
            type Value = BitSet<MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of numbers from 0 to {MAX}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let mut set = BitSet::EMPTY;
                while let Some(member) = members.next_element()? {
                    set.insert(member).map_err(A::Error::custom)?;
                }
                Ok(set)
            }
        }

        deserializer.deserialize_seq(Members)
    }
}
