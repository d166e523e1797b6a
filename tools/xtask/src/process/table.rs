//! The kernel's table of processes, as `/proc` shows it.

use std::fs;

use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// What we need to know of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) started_ticks: u64,
    /// Ended, but not yet collected by its parent.
    pub(super) dead: bool,
}

impl Entry {
    pub(super) fn same(&self, other: &Self) -> bool {
        self.pid == other.pid && self.started_ticks == other.started_ticks
    }

    /// Reads a line of `/proc/PID/stat`; the name in parentheses may hold anything.
    fn parse(line: &str) -> Option<Self> {
        let (pid, _) = line.split_once(' ')?;
        let (_, rest) = line.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        Some(Self {
            pid: pid.parse().ok()?,
            dead: matches!(*fields.first()?, "Z" | "X"),
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            started_ticks: fields.get(19)?.parse().ok()?,
        })
    }
}

pub(super) fn read(pid: i32) -> Option<Entry> {
    Entry::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

pub(super) fn all() -> Vec<Entry> {
    let Ok(dir) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    dir.filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(read)
        .collect()
}

/// A process and everything it started, at any depth.
pub(super) fn family(pid: i32) -> Vec<Entry> {
    let all = all();
    let mut family: Vec<Entry> = all
        .iter()
        .filter(|entry| entry.pid == pid)
        .copied()
        .collect();
    let mut next = 0;
    while let Some(parent) = family.get(next).map(|entry| entry.pid) {
        family.extend(all.iter().filter(|entry| entry.parent == parent));
        next += 1;
    }
    family
}

/// Collects `pid` if it is a child of ours that has ended.
pub(super) fn reap(pid: i32) {
    // Usually it is the child of an earlier command, long adopted by init: nothing to collect.
    let _state = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_spaces_and_parentheses() {
        let line = "42 (a) b (c) S 1 40 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 777 1 2 3";
        let entry = Entry::parse(line).unwrap();
        assert_eq!((entry.pid, entry.parent, entry.group), (42, 1, 40));
        assert_eq!(entry.started_ticks, 777);
        assert!(!entry.dead);
    }

    #[test]
    fn we_are_in_our_own_family() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert_eq!(family(pid).first().map(|entry| entry.pid), Some(pid));
    }
}
