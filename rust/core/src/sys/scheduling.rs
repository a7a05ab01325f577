//! Scheduler, I/O priority and CPU affinity of the calling process.

use std::io;

/// `struct sched_attr` (linux/sched/types.h), version 2.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct SchedAttr {
    /// Filled in by [`set_scheduler`].
    pub size: u32,
    /// SCHED_*.
    pub policy: u32,
    /// SCHED_FLAG_*.
    pub flags: u64,
    /// SCHED_OTHER, SCHED_BATCH.
    pub nice: i32,
    /// SCHED_FIFO, SCHED_RR.
    pub priority: u32,
    /// SCHED_DEADLINE, in nanoseconds.
    pub runtime: u64,
    /// SCHED_DEADLINE, in nanoseconds.
    pub deadline: u64,
    /// SCHED_DEADLINE, in nanoseconds.
    pub period: u64,
    /// SCHED_FLAG_UTIL_CLAMP_MIN.
    pub util_min: u32,
    /// SCHED_FLAG_UTIL_CLAMP_MAX.
    pub util_max: u32,
}

fn checked(result: libc::c_long) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `sched_setattr(0, attr, 0)`.
///
/// # Errors
/// EPERM without CAP_SYS_NICE outside or the limit, EINVAL for what does not fit together.
pub fn set_scheduler(attr: &SchedAttr) -> io::Result<()> {
    let attr = SchedAttr { size: size_of::<SchedAttr>() as u32, ..*attr };
    // SAFETY: `attr` is a complete sched_attr that says its own size, outlives the call, and is only read; the kernel
    // writes to `size` alone, of a structure longer than it knows, which is why it is a copy of ours.
    checked(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) })
}

/// `ioprio_set(IOPRIO_WHO_PROCESS, 0, priority)`.
///
/// # Errors
/// EPERM for the real-time class without CAP_SYS_ADMIN or CAP_SYS_NICE outside.
pub fn set_io_priority(priority: i32) -> io::Result<()> {
    // SAFETY: ioprio_set(2) takes integers.
    checked(unsafe { libc::syscall(libc::SYS_ioprio_set, 1, 0, priority) })
}

/// `sched_setaffinity(0, …)`; bit n of the mask is CPU n.
///
/// # Errors
/// EINVAL if the mask holds no CPU that we may use.
pub fn set_affinity(mask: &[u64]) -> io::Result<()> {
    // SAFETY: the kernel reads as many bytes as the slice has, and unsigned long is a u64 on every machine of ours.
    checked(unsafe {
        libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(mask), mask.as_ptr())
    })
}
