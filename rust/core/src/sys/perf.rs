//! Counters that the kernel keeps of a process and of all that it will start, for whoever may look into it.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// `struct perf_event_attr` as it was at first (PERF_ATTR_SIZE_VER0): the kernel takes what it does not have as zeros.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    bp_addr: u64,
}

const PERF_TYPE_SOFTWARE: u32 = 1;
const PERF_COUNT_SW_TASK_CLOCK: u64 = 1;
const INHERIT: u64 = 1 << 1;
/// Without it perf_event_paranoid 2 refuses; a task's clock goes on in the kernel all the same.
const EXCLUDE_KERNEL: u64 = 1 << 5;
const PERF_FLAG_FD_CLOEXEC: u64 = 8;

/// The processor time of the process `pid` (as we see it) and of all that it starts from now on, in nanoseconds: eight
/// bytes at each read(2).
///
/// # Errors
/// EACCES where kernel.perf_event_paranoid is 3 or the process is closed to us.
pub fn task_clock(pid: i32) -> io::Result<OwnedFd> {
    let attributes = Attributes {
        kind: PERF_TYPE_SOFTWARE,
        size: u32::try_from(size_of::<Attributes>()).unwrap_or(0),
        config: PERF_COUNT_SW_TASK_CLOCK,
        flags: INHERIT | EXCLUDE_KERNEL,
        ..Attributes::default()
    };
    // SAFETY: perf_event_open(2) reads `size` bytes of the attributes, which are plain integers and live for the call, and
    // returns a descriptor or -1.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            pid,
            -1,
            -1,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    let Ok(fd @ 0..) = RawFd::try_from(fd) else { return Err(io::Error::last_os_error()) };
    // SAFETY: the kernel has just made it, and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
