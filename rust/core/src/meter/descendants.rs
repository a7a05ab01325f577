//! What init and its descendants use, where no cgroup counts it: a walk along the kernel's lists of children, by a monitor
//! that has little memory. Programs of exec are not below init, and are missing.

use rustix::fs::{CWD, Dir, Mode, OFlags};

/// USER_HZ (proc_pid_stat(5)), the same on all machines that we run on.
const USEC_PER_TICK: u64 = 10_000;

/// A walk that does not end would not help: of more than these nobody asks five seconds later.
const MOST: usize = 4096;

/// Sums over all that live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// With that of children that were waited for.
    pub cpu_usec: u64,
    /// Resident memory that is no file's: two that share a page count it twice.
    pub anonymous_bytes: u64,
    /// Threads.
    pub tasks: u64,
    /// From devices, with that of children that were waited for; none if it is closed to us.
    pub read_bytes: Option<u64>,
    /// To files, what was taken back before it reached a device left out.
    pub written_bytes: Option<u64>,
}

/// Walks from `init`, a pid in the mounted procfs; `buffer` is for what is read. None if it has ended.
pub fn sum(init: u32, buffer: &mut [u8]) -> Option<Sum> {
    let mut sum = Sum { read_bytes: Some(0), written_bytes: Some(0), ..Sum::default() };
    let mut waiting = vec![init];
    let mut seen = 0;
    while let Some(pid) = waiting.pop() {
        seen += 1;
        if seen > MOST {
            break;
        }
        // It may end between two of these; what was read of it counts.
        let Some(threads) = add(pid, &mut sum, buffer) else { continue };
        find_children(pid, threads, &mut waiting, buffer);
    }
    (sum.tasks > 0).then_some(sum)
}

/// Adds one process; the number of its threads.
fn add(pid: u32, sum: &mut Sum, buffer: &mut [u8]) -> Option<u64> {
    let text = read(&format!("/proc/{pid}/stat"), buffer)?;
    // The name in parentheses may hold anything, and ends with the last one. Fields are counted from 1, it is the second.
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let times = fields.by_ref().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok());
    sum.cpu_usec += times.sum::<u64>() * USEC_PER_TICK;
    let threads: u64 = fields.nth(2)?.parse().ok()?;
    sum.tasks += threads;
    let text = read(&format!("/proc/{pid}/statm"), buffer)?;
    let mut pages = text.split_ascii_whitespace().skip(1).map(|word| word.parse().unwrap_or(0));
    let (resident, shared): (u64, u64) = (pages.next()?, pages.next()?);
    sum.anonymous_bytes += resident.saturating_sub(shared) * rustix::param::page_size() as u64;
    let text = read(&format!("/proc/{pid}/io"), buffer);
    let of = |key: &str| {
        let line = text?.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))?;
        line.trim().parse::<u64>().ok()
    };
    let written = of("write_bytes")
        .map(|written| written.saturating_sub(of("cancelled_write_bytes").unwrap_or(0)));
    sum.read_bytes = sum.read_bytes.zip(of("read_bytes")).map(|(sum, more)| sum + more);
    sum.written_bytes = sum.written_bytes.zip(written).map(|(sum, more)| sum + more);
    Some(threads)
}

/// Children belong to the thread that made them.
fn find_children(pid: u32, threads: u64, found: &mut Vec<u32>, buffer: &mut [u8]) {
    let mut of_thread = |tid: &str| {
        let text = read(&format!("/proc/{pid}/task/{tid}/children"), buffer);
        let words = text.unwrap_or_default().split_ascii_whitespace();
        found.extend(words.filter_map(|word| word.parse::<u32>().ok()));
    };
    if threads <= 1 {
        return of_thread(&pid.to_string());
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let tasks = rustix::fs::openat(CWD, format!("/proc/{pid}/task"), flags, Mode::empty());
    let Ok(dir) = tasks.and_then(Dir::read_from) else { return };
    for entry in dir.flatten() {
        match entry.file_name().to_str() {
            Ok("." | "..") | Err(_) => {}
            Ok(tid) => of_thread(tid),
        }
    }
}

fn read<'a>(path: &str, buffer: &'a mut [u8]) -> Option<&'a str> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, path, flags, Mode::empty()).ok()?;
    let count = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut *buffer)).ok()?;
    std::str::from_utf8(&buffer[..count]).ok()
}

#[cfg(test)]
mod tests;
