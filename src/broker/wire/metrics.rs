//! What workers and agents tell of themselves again and again. These messages are our own: of the
//! reference's there is nothing left but the name of their exchange, which every agent's user may
//! write to.
use serde::{Deserialize, Serialize};

/// Largest body that is looked at.
pub const BYTES_MAX: usize = 4 * 1_024;
/// Longest name of a source or of a host; bytes.
const NAME_BYTES_MAX: usize = 255;
/// Longest time until the next message.
pub const INTERVAL_S_MAX: u64 = 3_600;

/// Why a message is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OddMetrics {
    /// It is larger than anything that a source tells.
    #[error("it is too large")]
    TooLarge,
    /// It is no JSON, or lacks what each of them has, or a number is of another kind.
    #[error("it cannot be read")]
    Unreadable,
    /// There is a number or a name that cannot be.
    #[error("its values cannot be")]
    Impossible,
}

/// One message. Later versions may tell more; what a host does not know of itself is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Name of the agent, or of the manager whose worker it is.
    pub name: String,
    /// Name of its host.
    pub host: String,
    /// When the next message follows; seconds.
    pub interval_s: u64,
    /// What it works on.
    pub operations: Operations,
    /// For how long it has run; seconds.
    pub uptime_s: f64,
    /// Memory of its own process; bytes.
    pub resident_bytes: Option<u64>,
    /// How busy its host is.
    pub load: Option<Load>,
    /// Memory of its host.
    pub memory: Option<Memory>,
}

/// Operations of a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operations {
    /// Those that run.
    pub running: u64,
    /// Those that were taken from the queue and wait for a place.
    pub waiting: u64,
    /// Those that wait for other executions, which takes no place.
    pub following: u64,
    /// Places.
    pub limit: u64,
    /// Those in the queue that nobody has taken yet; absent when the broker does not tell.
    pub queued: Option<u64>,
}

/// How many processes of a host ran or wanted to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Over a minute.
    pub one: f64,
    /// Over 5 minutes.
    pub five: f64,
    /// Over 15 minutes.
    pub fifteen: f64,
}

/// Memory of a host; bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// What cannot be had without taking it from somebody.
    pub used_bytes: u64,
    /// What can.
    pub available_bytes: u64,
}

impl Metrics {
    /// Reads a message that anybody may have sent.
    ///
    /// # Errors
    /// What is too large, cannot be read, or cannot be.
    pub fn parse(body: &[u8]) -> Result<Self, OddMetrics> {
        if body.len() > BYTES_MAX {
            return Err(OddMetrics::TooLarge);
        }
        let metrics: Self = serde_json::from_slice(body).map_err(|_| OddMetrics::Unreadable)?;
        match metrics.is_possible() {
            true => Ok(metrics),
            false => Err(OddMetrics::Impossible),
        }
    }

    fn is_possible(&self) -> bool {
        let load = self.load.iter();
        let mut numbers = load
            .flat_map(|load| [load.one, load.five, load.fifteen])
            .chain([self.uptime_s]);
        is_name(&self.name)
            && is_name(&self.host)
            && (1..=INTERVAL_S_MAX).contains(&self.interval_s)
            && numbers.all(|number| number.is_finite() && number >= 0.0)
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::{Value, json};

    use super::*;

    fn body() -> Value {
        json!({
            "name": "a1", "host": "h1", "interval_s": 10, "uptime_s": 1.5,
            "operations": {"running": 1, "waiting": 0, "following": 0, "limit": 5},
            "load": {"one": 0.5, "five": 0.25, "fifteen": 0.0},
        })
    }

    fn parse(key: &str, value: Value) -> Result<Metrics, OddMetrics> {
        let mut body = body();
        body[key] = value;
        Metrics::parse(body.to_string().as_bytes())
    }

    #[test]
    fn what_a_host_does_not_know_is_absent() {
        let metrics = parse("later", json!("more")).unwrap();
        assert_eq!(metrics.memory, None);
        assert_eq!(metrics.operations.queued, None);
        let again = Metrics::parse(&serde_json::to_vec(&metrics).unwrap());
        assert_eq!(again, Ok(metrics));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let negative = json!({"one": -0.5, "five": 0.0, "fifteen": 0.0});
        let impossible = [
            ("name", json!("")),
            ("name", json!("a\n1")),
            ("host", json!("h".repeat(256))),
            ("interval_s", json!(0)),
            ("interval_s", json!(1_000_000)),
            ("uptime_s", json!(-1)),
            ("load", negative),
        ];
        for (key, value) in impossible {
            assert_eq!(parse(key, value), Err(OddMetrics::Impossible), "{key}");
        }
        for value in [json!(-1), json!(1.5), json!("1")] {
            let parsed = parse("resident_bytes", value);
            assert_eq!(parsed, Err(OddMetrics::Unreadable));
        }
        let infinite = body().to_string().replace("1.5", "1e999");
        assert_eq!(
            Metrics::parse(infinite.as_bytes()),
            Err(OddMetrics::Unreadable)
        );
        assert_eq!(Metrics::parse(b"[1"), Err(OddMetrics::Unreadable));
        let large = "x".repeat(BYTES_MAX);
        assert_eq!(parse("later", json!(large)), Err(OddMetrics::TooLarge));
    }
}
