//! The files of one cgroup (version 2), each opened once and read again from its start: seven times cheaper than opening
//! it each time (the path walk and the seq_file are what costs).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Resource;

use crate::error::{At, Result};
use crate::paths::open_host;

/// The file that a number is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum File {
    /// Flat-keyed; there without the controller, too, then without what it throttles.
    CpuStat,
    /// A number.
    MemoryCurrent,
    /// A number.
    PidsCurrent,
    /// A number (since Linux 5.19).
    MemoryPeak,
    /// A number.
    MemorySwapCurrent,
    /// A number (since Linux 6.5).
    MemorySwapPeak,
    /// Flat-keyed, with that of all below it.
    MemoryEvents,
    /// Flat-keyed, of this cgroup's own limits.
    MemoryEventsLocal,
    /// Flat-keyed, long: some thousand instructions a line.
    MemoryStat,
    /// Nested-keyed, a line per device.
    IoStat,
    /// A number.
    PidsPeak,
    /// Flat-keyed.
    PidsEvents,
    /// `some` and `full` (accounting/psi.rst).
    CpuPressure,
    /// `some` and `full`.
    MemoryPressure,
    /// `some` and `full`.
    IoPressure,
}

/// By [`File`].
const NAMES: [&str; COUNT] = [
    "cpu.stat",
    "memory.current",
    "pids.current",
    "memory.peak",
    "memory.swap.current",
    "memory.swap.peak",
    "memory.events",
    "memory.events.local",
    "memory.stat",
    "io.stat",
    "pids.peak",
    "pids.events",
    "cpu.pressure",
    "memory.pressure",
    "io.pressure",
];

const COUNT: usize = 15;

/// More than the longest of them, memory.stat, has; io.stat of a machine with very many devices is cut.
const BUFFER_BYTES: usize = 16 << 10;

/// One descriptor.
#[derive(Debug, Default)]
enum Slot {
    #[default]
    Unopened,
    Absent,
    Open(OwnedFd),
}

/// Where the files are opened.
#[derive(Debug)]
enum Place {
    /// A directory that is held.
    Held(OwnedFd),
    /// The path of a directory that had this inode number, which no other cgroup ever gets.
    Named(PathBuf, u64),
}

/// The files of one cgroup; each is opened when it is first asked for, and kept.
#[derive(Debug)]
pub struct Files {
    place: Place,
    slots: [Slot; COUNT],
    /// Descriptors of a lower number are kept. The kernel gives the lowest free one: a high one says that the process has
    /// few left, and those are not ours to take.
    keeps_below: i32,
}

impl Files {
    /// Of the cgroup that is the directory `dir`.
    #[must_use]
    pub fn of(dir: OwnedFd) -> Self {
        Self { place: Place::Held(dir), slots: Default::default(), keeps_below: i32::MAX }
    }

    /// Of the cgroup at `path`, without a descriptor for its directory: who samples a thousand of them has three for each
    /// and not four. Of the process's limit of descriptors a fifth is left free; what does not fit is opened each time.
    ///
    /// # Errors
    /// `not_found`.
    pub fn at(path: &Path) -> Result<Self> {
        let dir = open_host(path, OFlags::PATH | OFlags::DIRECTORY)?;
        let id = rustix::fs::fstat(&dir).at("stat", path)?.st_ino;
        let most = rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let keeps_below = i32::try_from(most / 5 * 4).unwrap_or(i32::MAX);
        let mut slots: [Slot; COUNT] = Default::default();
        for file in [File::CpuStat, File::MemoryCurrent, File::PidsCurrent] {
            fill(&mut slots[file as usize], file, dir.as_fd(), keeps_below);
        }
        Ok(Self { place: Place::Named(path.to_owned(), id), slots, keeps_below })
    }

    /// The text of a file, in `buffer`; none where there is no such file, as without its controller, or where the cgroup
    /// is gone.
    pub fn read<'a>(&mut self, file: File, buffer: &'a mut Vec<u8>) -> Option<&'a str> {
        buffer.resize(BUFFER_BYTES, 0);
        self.read_into(file, buffer)
    }

    /// [`Files::read`] into a buffer of the caller's; what does not fit is cut.
    pub fn read_into<'a>(&mut self, file: File, buffer: &'a mut [u8]) -> Option<&'a str> {
        let passing;
        let fd = match &self.slots[file as usize] {
            Slot::Open(fd) => fd,
            Slot::Absent => return None,
            Slot::Unopened => {
                passing = self.open(file)?;
                match &self.slots[file as usize] {
                    Slot::Open(fd) => fd,
                    _ => passing.as_ref()?,
                }
            }
        };
        // One read: each of these files is one record, and what does not fill the buffer is all there is. ENODEV: the cgroup
        // is gone; EOPNOTSUPP: PSI is switched off.
        let count = rustix::io::retry_on_intr(|| rustix::io::pread(fd, &mut *buffer, 0)).ok()?;
        std::str::from_utf8(&buffer[..count]).ok()
    }

    /// Opens a file into its slot, or gives it away if it is not to be kept; none if the cgroup is gone.
    fn open(&mut self, file: File) -> Option<Option<OwnedFd>> {
        let slot = &mut self.slots[file as usize];
        match &self.place {
            Place::Held(dir) => Some(fill(slot, file, dir.as_fd(), self.keeps_below)),
            Place::Named(path, id) => {
                let dir = open_host(path, OFlags::PATH | OFlags::DIRECTORY).ok()?;
                let is_same = rustix::fs::fstat(&dir).is_ok_and(|found| found.st_ino == *id);
                is_same.then(|| fill(slot, file, dir.as_fd(), self.keeps_below))
            }
        }
    }
}

fn fill(slot: &mut Slot, file: File, dir: BorrowedFd<'_>, keeps_below: i32) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(dir, NAMES[file as usize], flags, Mode::empty()) {
        Ok(fd) if fd.as_raw_fd() >= keeps_below => return Some(fd),
        Ok(fd) => *slot = Slot::Open(fd),
        // For want of descriptors, now: the next look may have one.
        Err(Errno::MFILE | Errno::NFILE) => {}
        Err(_) => *slot = Slot::Absent,
    }
    None
}

/// A file that is one number; none for `max`.
#[must_use]
pub fn number(text: &str) -> Option<u64> {
    text.trim_ascii_end().parse().ok()
}

/// The number beside `key` in flat-keyed text. Unknown keys come with every kernel, and are no matter.
#[must_use]
pub fn keyed(text: &str, key: &str) -> Option<u64> {
    crate::cgroup::keyed(text, key)
}

/// The sum of `key=NUMBER` over all lines, as io.stat has them; 0 where no line has it: a device that was never used has
/// no line.
#[must_use]
pub fn sum(text: &str, key: &str) -> u64 {
    let numbers = text.split_ascii_whitespace().filter_map(|word| {
        let (name, value) = word.split_once('=')?;
        if name == key { value.parse::<u64>().ok() } else { None }
    });
    numbers.fold(0, u64::saturating_add)
}

/// `total=` of the line `kind` (some, full) of a pressure file, in microseconds.
#[must_use]
pub fn pressure_usec(text: &str, kind: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.split(' ').next() == Some(kind))?;
    line.rsplit_once("total=")?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{keyed, number, pressure_usec, sum};

    #[test]
    fn texts_are_read_leniently() {
        assert_eq!(number("4096\n"), Some(4096));
        assert_eq!(number("max\n"), None);
        let text = "usage_usec 12\nnew_key 5\nuser_usec 7\n";
        assert_eq!(keyed(text, "user_usec"), Some(7));
        assert_eq!(keyed(text, "usec"), None);
        let io = "8:0 rbytes=10 wbytes=2 rios=1\n8:16 rbytes=5 cost.usage=3\nbroken rby";
        assert_eq!((sum(io, "rbytes"), sum(io, "wbytes"), sum("", "rbytes")), (15, 2, 0));
        let pressure =
            "some avg10=0.00 avg60=0.00 avg300=0.00 total=58230\nfull avg10=0.00 total=7\n";
        assert_eq!(pressure_usec(pressure, "some"), Some(58230));
        assert_eq!(pressure_usec(pressure, "full"), Some(7));
        assert_eq!(pressure_usec("some avg10=0.00 total=1\n", "full"), None);
    }
}
