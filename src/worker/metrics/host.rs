//! What the kernel tells of a host and of this process. Without `/proc` nothing is known.
use crate::broker::wire::{Load, Memory};

/// How a host is.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) load: Option<Load>,
    pub(super) memory: Option<Memory>,
    /// Of this process; bytes.
    pub(super) resident_bytes: Option<u64>,
}

pub(super) async fn look() -> Host {
    let name = nix::unistd::gethostname().ok();
    let name = name.map(|name| name.to_string_lossy().into_owned());
    Host {
        name: name
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "localhost".to_owned()),
        load: load(&told("/proc/loadavg").await),
        memory: memory(&told("/proc/meminfo").await),
        resident_bytes: amount(&told("/proc/self/status").await, "VmRSS"),
    }
}

/// Empty where there is no such file.
async fn told(path: &str) -> String {
    tokio::fs::read_to_string(path).await.unwrap_or_default()
}

fn load(text: &str) -> Option<Load> {
    let mut numbers = text.split_whitespace().map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some(Load {
        one: next()?,
        five: next()?,
        fifteen: next()?,
    })
}

fn memory(text: &str) -> Option<Memory> {
    let available_bytes = amount(text, "MemAvailable")?;
    Some(Memory {
        used_bytes: amount(text, "MemTotal")?.saturating_sub(available_bytes),
        available_bytes,
    })
}

/// An amount of memory as `/proc` shows it, in bytes.
fn amount(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes = line.strip_prefix(':')?.trim().strip_suffix(" kB")?;
    kibibytes.parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_kernels_words_are_understood() {
        let load = load("0.52 0.58 0.59 2/1023 12345\n").unwrap();
        assert_eq!((load.one, load.five, load.fifteen), (0.52, 0.58, 0.59));
        let text = "MemTotal:       16 kB\nMemFree:         1 kB\nMemAvailable:    6 kB\n";
        let memory = memory(text).unwrap();
        assert_eq!(memory.used_bytes, 10 * 1_024);
        assert_eq!(memory.available_bytes, 6 * 1_024);
    }

    #[test]
    fn what_is_not_told_is_not_known() {
        assert!(load("").is_none());
        assert!(memory("MemTotal: 16 kB\n").is_none());
        assert_eq!(amount("VmRSSx: 1 kB", "VmRSS"), None);
        assert_eq!(amount("VmRSS: many kB", "VmRSS"), None);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn this_host_tells_everything() {
        let host = look().await;
        assert!(host.load.is_some() && host.memory.is_some());
        assert!(host.resident_bytes.unwrap() > 0);
    }
}
