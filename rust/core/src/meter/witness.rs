//! Who else can tell what a container used: a counter that the kernel hands from parent to child, init's own account of
//! bytes, and the cgroup that the container shares with others of its user.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::OFlags;

use super::files::keyed;
use crate::cgroup::place::{find_mount, own_cgroup};
use crate::paths::{open_host, read_host};
use crate::sys::perf;

/// Larger than any of /proc's files that are read here.
const TEXT_BYTES: usize = 1 << 16;

/// The processor time of a process and of all that it starts, whoever waits for them: perf_event_open(2)'s task clock.
///
/// It misses what a process uses between its fork and its first moment, and its last moment: up to a tenth where processes
/// live for a millisecond.
#[derive(Debug)]
pub struct Clock(OwnedFd);

impl Clock {
    /// Of the process that has the pid `pid` in the mounted procfs, from now on; none where kernel.perf_event_paranoid is
    /// above 2, or where we may not look into it.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let pid = pid_in_our_namespace(pid)?;
        perf::task_clock(pid).ok().map(Self)
    }

    /// What it counts now.
    #[must_use]
    pub fn usec(&self) -> Option<u64> {
        let mut count = [0; 8];
        let read = rustix::io::retry_on_intr(|| rustix::io::read(&self.0, &mut count));
        (read == Ok(8)).then(|| u64::from_ne_bytes(count) / 1000)
    }
}

/// The kernel looks a number up where we are, and the mounted procfs may be of a pid namespace above ours.
fn pid_in_our_namespace(pid: u32) -> Option<i32> {
    let depth = namespace_pids("self")?.split_ascii_whitespace().count();
    namespace_pids(&pid.to_string())?.split_ascii_whitespace().nth(depth - 1)?.parse().ok()
}

/// The pids of a process in the namespace of the mounted procfs and in those below.
fn namespace_pids(process: &str) -> Option<String> {
    let text = text_of(&format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    (!line.trim().is_empty()).then(|| line.to_owned())
}

pub(super) fn text_of(path: &str) -> Option<String> {
    let text = read_host(Path::new(path), TEXT_BYTES).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// The bytes that a process has moved, with those of its children that were waited for (proc_pid_io(5)).
#[derive(Debug)]
pub struct Device(OwnedFd);

impl Device {
    /// Of the process `pid`, held: what it has moved can be read until its parent has waited for it, and by then the file
    /// could not be opened any more (without its memory it is said to be the machine's root's).
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        open_host(Path::new(&format!("/proc/{pid}/io")), OFlags::RDONLY).ok().map(Self)
    }

    /// Read from devices, and dirtied for them without taking it back.
    #[must_use]
    pub fn bytes(&self) -> Option<(u64, u64)> {
        let mut buffer = [0; 512];
        let count =
            rustix::io::retry_on_intr(|| rustix::io::pread(&self.0, &mut buffer, 0)).ok()?;
        parse_io(std::str::from_utf8(&buffer[..count]).ok()?)
    }
}

fn parse_io(text: &str) -> Option<(u64, u64)> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
        line.parse::<u64>().ok()
    };
    let written = field("write_bytes")?.saturating_sub(field("cancelled_write_bytes")?);
    Some((field("read_bytes")?, written))
}

/// The cgroup that we are in, ourselves and whatever has none of its own: its cpu.stat.
#[derive(Debug)]
pub struct Session {
    file: OwnedFd,
    begun_usec: u64,
}

impl Session {
    /// From now on; none where that is the machine's root, which counts everybody.
    #[must_use]
    pub fn begin() -> Option<Self> {
        let path = own_cgroup().ok().flatten().filter(|path| path != "/")?;
        let directory = find_mount().ok().flatten()?.join(path.trim_start_matches('/'));
        let file = open_host(&directory.join("cpu.stat"), OFlags::RDONLY).ok()?;
        let begun_usec = usage(&file)?;
        Some(Self { file, begun_usec })
    }

    /// The processor time that all in it have used since.
    #[must_use]
    pub fn used_usec(&self) -> Option<u64> {
        usage(&self.file)?.checked_sub(self.begun_usec)
    }
}

fn usage(file: &OwnedFd) -> Option<u64> {
    let mut buffer = [0; 1024];
    let count = rustix::io::retry_on_intr(|| rustix::io::pread(file, &mut buffer, 0)).ok()?;
    keyed(std::str::from_utf8(&buffer[..count]).ok()?, "usage_usec")
}

#[cfg(test)]
mod tests {
    use super::parse_io;

    #[test]
    fn what_was_taken_back_is_taken_off() {
        let text = "rchar: 5\nwchar: 6\nsyscr: 1\nsyscw: 1\nread_bytes: 4096\n\
                    write_bytes: 8192\ncancelled_write_bytes: 4096\n";
        assert_eq!(parse_io(text), Some((4096, 4096)));
        assert_eq!(parse_io("rchar: 5\n"), None);
    }
}
