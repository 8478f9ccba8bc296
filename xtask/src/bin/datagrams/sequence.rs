//! Which numbers of a stream have come, and how.

/// Numbers from here on are not taken: a stream ends long before.
const MOST: u64 = 1 << 26;
/// Runs of missing numbers that are named.
const SHOWN: usize = 8;

/// The numbers that have come.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    /// A bit for each number, set when it has come.
    seen: Vec<u64>,
    /// One more than the greatest that has come.
    end: u64,
    received: u64,
    duplicated: u64,
    reordered: u64,
}

impl Sequence {
    /// A datagram has come.
    pub(crate) fn take(&mut self, number: u64) {
        let (Ok(word), true) = (usize::try_from(number / 64), number < MOST) else { return };
        if word >= self.seen.len() {
            self.seen.resize(word + 1, 0);
        }
        let bit = 1 << (number % 64);
        if self.seen[word] & bit != 0 {
            self.duplicated += 1;
            return;
        }
        self.seen[word] |= bit;
        self.received += 1;
        self.reordered += u64::from(number < self.end);
        self.end = self.end.max(number + 1);
    }

    /// One more than the greatest number that has come.
    pub(crate) const fn end(&self) -> u64 {
        self.end
    }

    /// The counts, if this many were sent.
    pub(crate) fn counts(&self, sent: u64) -> String {
        let missing = self.missing(sent);
        let lost: u64 = missing.iter().map(|(first, end)| end - first).sum();
        let runs: Vec<String> =
            missing.iter().take(SHOWN).map(|(first, end)| format!("{first}-{}", end - 1)).collect();
        let Self { received, duplicated, reordered, .. } = self;
        let runs = if runs.is_empty() { "none".to_owned() } else { runs.join(",") };
        format!(
            "sent {sent} received {received} lost {lost} duplicated {duplicated} reordered {reordered} missing {runs}"
        )
    }

    /// Runs of numbers below `sent` that have not come: first, and one more than the last.
    fn missing(&self, sent: u64) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for number in (0..sent.min(MOST)).filter(|number| !self.has(*number)) {
            match runs.last_mut() {
                Some((_, end)) if *end == number => *end += 1,
                _ => runs.push((number, number + 1)),
            }
        }
        runs
    }

    fn has(&self, number: u64) -> bool {
        let word = usize::try_from(number / 64).ok().and_then(|word| self.seen.get(word));
        word.is_some_and(|word| word & (1 << (number % 64)) != 0)
    }
}

#[cfg(test)]
mod tests;
