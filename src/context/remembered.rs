//! Answers kept in memory, each with the position it was true at.
use bytes::Bytes;

/// Answers kept; the oldest give way.
const KEPT_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Larger answers are not worth their place.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// An answer and the position it was true at.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The answer.
    pub body: Bytes,
    /// The position.
    pub position: i64,
}

/// Answers of this process, by everything they depend on but the log.
#[derive(Debug, Clone)]
pub struct Remembered(moka::sync::Cache<String, Kept>);

impl Default for Remembered {
    fn default() -> Self {
        let weigh = |key: &String, kept: &Kept| {
            u32::try_from(key.len() + kept.body.len()).unwrap_or(u32::MAX)
        };
        let cache = moka::sync::Cache::builder()
            .max_capacity(KEPT_BYTES_MAX)
            .weigher(weigh)
            .build();
        Self(cache)
    }
}

impl Remembered {
    /// The answer kept under a key.
    pub fn get(&self, key: &str) -> Option<Kept> {
        self.0.get(key)
    }

    /// Keeps an answer unless it is too large.
    pub fn keep(&self, key: String, kept: Kept) {
        if kept.body.len() <= ANSWER_BYTES_MAX {
            self.0.insert(key, kept);
        }
    }
}
