//! Ids of instances: `<name>_` and six letters or digits.

use std::collections::HashSet;

use rand::Rng;

const SUFFIX_LENGTH: usize = 6;
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// Where the suffixes of new ids come from; tests give predictable ones.
pub trait IdSource {
    /// A candidate: six characters of a-z and 0-9. It is asked again when the id is taken.
    fn suffix(&mut self) -> String;
}

/// Suffixes drawn at random.
#[derive(Debug)]
pub struct RandomIds<R>(pub R);

impl<R: Rng> IdSource for RandomIds<R> {
    fn suffix(&mut self) -> String {
        (0..SUFFIX_LENGTH)
            .map(|_| {
                let index = self.0.random_range(0..ALPHABET.len());
                ALPHABET.get(index).map_or('a', |byte| char::from(*byte))
            })
            .collect()
    }
}

/// Suffixes that count up in base 36: planning twice gives the same ids.
#[derive(Debug, Default)]
pub struct CountedIds(u64);

impl IdSource for CountedIds {
    fn suffix(&mut self) -> String {
        let mut rest = self.0;
        self.0 += 1;
        let mut digits = ['0'; SUFFIX_LENGTH];
        for digit in digits.iter_mut().rev() {
            *digit = char::from_digit((rest % 36) as u32, 36).unwrap_or('0');
            rest /= 36;
        }
        digits.iter().collect()
    }
}

/// Hands out ids that are not taken.
pub(super) struct Ids<'s> {
    source: &'s mut dyn IdSource,
    taken: HashSet<String>,
}

impl<'s> Ids<'s> {
    pub(super) fn new(
        source: &'s mut dyn IdSource,
        taken: impl IntoIterator<Item = String>,
    ) -> Self {
        Self {
            source,
            taken: taken.into_iter().collect(),
        }
    }

    pub(super) fn next(&mut self, name: &str) -> String {
        loop {
            let id = format!("{name}_{}", self.source.suffix());
            if self.taken.insert(id.clone()) {
                return id;
            }
        }
    }
}
