//! The processes of containers that no cgroup counts, found in the machine's /proc: one walk for all containers.
//!
//! A process belongs to the container in whose pid namespace it is, or whose member is its parent (a pid namespace within).
//! Its processor time is summed with that of its children which it has waited for: what was used by a process that has ended
//! is then in its parent's numbers, and the sum over those that live is the whole. Children of a program that ignores SIGCHLD
//! are waited for by nobody, and lost; whoever does that is found by what it ignores.

use std::path::Path;

use rustix::fs::{Dir, Mode, OFlags, readlinkat};

use super::witness::text_of;
use crate::error::{At, Result};
use crate::paths::open_host;

/// USER_HZ of /proc/<pid>/stat: the same on all machines that we run on.
const USEC_PER_TICK: u64 = 10_000;

const SIGCHLD_BIT: u64 = 1 << (libc::SIGCHLD - 1);

/// One process at the time of the walk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Process {
    pid: u32,
    parent: u32,
    /// `pid:[4026531836]`; empty for what we may not look into.
    namespace: String,
    user_ticks: u64,
    system_ticks: u64,
    threads: u64,
}

/// All processes that we see, by their pid.
#[derive(Debug)]
pub struct Walk(Vec<Process>);

/// What the processes of one container use together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// The members' pids.
    pub pids: Vec<u32>,
    /// With children that were waited for.
    pub user_usec: u64,
    /// With children that were waited for.
    pub system_usec: u64,
    /// Of those members that are no descendants of init: what exec started.
    pub joined_usec: u64,
    /// Tasks.
    pub threads: u64,
}

impl Walk {
    /// Looks at every process: one file and one link each.
    ///
    /// # Errors
    /// `kernel` without a /proc.
    pub fn new() -> Result<Self> {
        let path = Path::new("/proc");
        let dir = open_host(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut all = Vec::new();
        for entry in Dir::read_from(&dir).at("read", path)? {
            let entry = entry.at("read", path)?;
            let name = entry.file_name().to_string_lossy();
            let Ok(pid) = name.parse::<u32>() else { continue };
            let mut buffer = [0; 1024];
            let read = rustix::fs::openat(
                &dir,
                format!("{name}/stat"),
                OFlags::RDONLY | OFlags::CLOEXEC,
                Mode::empty(),
            )
            .and_then(|file| rustix::io::read(file, &mut buffer));
            // It has ended since.
            let Ok(count) = read else { continue };
            let Some(mut process) = parse(pid, &String::from_utf8_lossy(&buffer[..count])) else {
                continue;
            };
            if let Ok(link) = readlinkat(&dir, format!("{name}/ns/pid"), Vec::new()) {
                process.namespace = link.to_string_lossy().into_owned();
            }
            all.push(process);
        }
        all.sort_unstable_by_key(|process| process.pid);
        Ok(Self(all))
    }

    /// What the container of `init` uses. `owns_namespace`: its pid namespace has no processes but its own.
    #[must_use]
    pub fn sum(&self, init: u32, owns_namespace: bool) -> Sum {
        let below = self.members(|process| process.pid == init);
        let namespace = self.find(init).map(|at| self.0[at].namespace.as_str());
        let members = match namespace {
            Some(namespace) if owns_namespace && !namespace.is_empty() => {
                self.members(|process| process.pid == init || process.namespace == namespace)
            }
            _ => below.clone(),
        };
        let mut sum = Sum::default();
        let chosen = self.0.iter().zip(members.iter().zip(&below));
        for (process, (_, is_below)) in chosen.filter(|(_, (is_member, _))| **is_member) {
            sum.pids.push(process.pid);
            sum.user_usec += process.user_ticks * USEC_PER_TICK;
            sum.system_usec += process.system_ticks * USEC_PER_TICK;
            sum.threads += process.threads;
            if !is_below {
                sum.joined_usec += (process.user_ticks + process.system_ticks) * USEC_PER_TICK;
            }
        }
        sum
    }

    fn find(&self, pid: u32) -> Option<usize> {
        self.0.binary_search_by_key(&pid, |process| process.pid).ok()
    }

    /// Those that are, and all their descendants.
    fn members(&self, is: impl Fn(&Process) -> bool) -> Vec<bool> {
        let mut members: Vec<bool> = self.0.iter().map(is).collect();
        // Parents mostly have the lower pids: one turn, and one more where the numbers have begun again.
        loop {
            let mut is_settled = true;
            for at in 0..self.0.len() {
                let parent = self.find(self.0[at].parent);
                if !members[at] && parent.is_some_and(|parent| members[parent]) {
                    members[at] = true;
                    is_settled = false;
                }
            }
            if is_settled {
                return members;
            }
        }
    }
}

/// A process from its line of proc_pid_stat(5); the name in it may hold anything, and ends with the last parenthesis.
fn parse(pid: u32, text: &str) -> Option<Process> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let is_ended = matches!(*fields.first()?, "Z" | "X");
    Some(Process {
        pid,
        parent: u32::try_from(field(4)?).ok()?,
        namespace: String::new(),
        user_ticks: field(14)? + field(16)?,
        system_ticks: field(15)? + field(17)?,
        threads: if is_ended { 0 } else { field(20)? },
    })
}

/// Whether the namespace of `init` is its own: it is the first process there.
#[must_use]
pub fn owns_namespace(init: u32) -> bool {
    let text = text_of(&format!("/proc/{init}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    let mut pids = line.split_ascii_whitespace();
    pids.next().is_some() && pids.next_back() == Some("1")
}

/// Whether a process ignores SIGCHLD, so that nobody waits for its children.
#[must_use]
pub fn ignores_children(pid: u32) -> bool {
    let text = text_of(&format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = text.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & SIGCHLD_BIT != 0)
}

/// Memory that is a process's own, and its share of what it has in common with others: (all, swapped out), in bytes.
/// Ten milliseconds for each GiB of small pages.
#[must_use]
pub fn proportional_bytes(pid: u32) -> Option<(u64, u64)> {
    let text = text_of(&format!("/proc/{pid}/smaps_rollup"))?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    Some((field("Pss:")? * 1024, field("SwapPss:").unwrap_or(0) * 1024))
}

/// Memory of a process that is backed by no file: a microsecond.
#[must_use]
pub fn anonymous_bytes(pid: u32) -> Option<u64> {
    let text = text_of(&format!("/proc/{pid}/statm"))?;
    let mut pages =
        text.split_ascii_whitespace().skip(1).map_while(|word| word.parse::<u64>().ok());
    let (resident, shared) = (pages.next()?, pages.next()?);
    Some(resident.saturating_sub(shared) * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::{Process, Walk, parse};

    fn process(pid: u32, parent: u32, namespace: &str) -> Process {
        let namespace = namespace.to_owned();
        Process { pid, parent, namespace, user_ticks: 1, system_ticks: 2, threads: 3 }
    }

    #[test]
    fn a_name_may_look_like_numbers() {
        let text = "7 (a) R 1 (b) S 5 7 7 0 -1 0 0 0 0 0 10 20 30 40 20 0 4 0 9 0 0";
        let found = parse(7, text).unwrap();
        assert_eq!((found.parent, found.user_ticks, found.system_ticks), (5, 40, 60));
        assert_eq!(found.threads, 4);
        assert_eq!(parse(7, "7 (a) R 1"), None);
    }

    #[test]
    fn members_are_of_the_namespace_or_descend_from_one() {
        let walk = Walk(vec![
            process(2, 9, "inner"), // pids have begun again: the parent's is higher
            process(5, 1, "host"),
            process(7, 5, "box"), // init
            process(8, 5, "box"), // by exec
            process(9, 7, "box"),
            process(10, 5, "other"),
        ]);
        let sum = walk.sum(7, true);
        assert_eq!(sum.pids, [2, 7, 8, 9]);
        assert_eq!((sum.user_usec, sum.system_usec), (40_000, 80_000));
        assert_eq!((sum.joined_usec, sum.threads), (30_000, 12));
        assert_eq!(walk.sum(7, false).pids, [2, 7, 9]);
        assert_eq!(walk.sum(404, true).pids, [0; 0]);
    }
}
