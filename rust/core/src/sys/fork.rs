//! clone3(2) as fork(2), with everything a container needs in one call.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `CLONE_NEW*` and friends are the kernel's own numbers; clone3 takes them as 64 bits.
pub const CLONE_PIDFD: u64 = 0x1000;
/// The parent sleeps until the child has executed a program or exited.
pub const CLONE_VFORK: u64 = 0x4000;
/// New mount namespace.
pub const CLONE_NEWNS: u64 = 0x0002_0000;
/// New cgroup namespace.
pub const CLONE_NEWCGROUP: u64 = 0x0200_0000;
/// New UTS namespace.
pub const CLONE_NEWUTS: u64 = 0x0400_0000;
/// New IPC namespace.
pub const CLONE_NEWIPC: u64 = 0x0800_0000;
/// New user namespace.
pub const CLONE_NEWUSER: u64 = 0x1000_0000;
/// New pid namespace; the child is its pid 1.
pub const CLONE_NEWPID: u64 = 0x2000_0000;
/// New network namespace.
pub const CLONE_NEWNET: u64 = 0x4000_0000;
/// The child starts in the cgroup given by a descriptor.
pub const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args` (linux/sched.h), version 2.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Which side of the fork we are on.
pub enum Fork {
    /// The caller; `pidfd` is the child, close-on-exec.
    Parent {
        /// The child, held.
        pidfd: OwnedFd,
        /// Its pid in our pid namespace.
        pid: u32,
    },
    /// The new process.
    Child,
}

/// `clone3(flags | CLONE_PIDFD)` with a copied address space, like fork(2).
///
/// References: clone3(2), user_namespaces(7).
///
/// # Errors
/// What clone3(2) says; EPERM also where AppArmor restricts user namespaces.
///
/// # Safety
/// Either the calling process has one thread, so that the child may allocate and take locks (no other
/// thread can have held one when the memory was copied); or the child only makes async-signal-safe
/// system calls until it executes a program or exits.
pub unsafe fn fork(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Fork> {
    let mut pidfd: i32 = -1;
    let args = CloneArgs {
        flags: flags | CLONE_PIDFD | cgroup.map_or(0, |_| CLONE_INTO_CGROUP),
        pidfd: &raw mut pidfd as u64,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
        ..CloneArgs::default()
    };
    // SAFETY: `args` is a complete clone_args and outlives the call; a null stack without CLONE_VM copies
    // ours; `pidfd` is written by the kernel, in the parent's memory, before it returns there.
    let result =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    match result {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent {
            // SAFETY: the kernel just made this descriptor for us and nobody else knows it.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
            pid: u32::try_from(pid).unwrap_or(0),
        }),
    }
}

/// [`fork`] for the native binary, which never has a second thread.
///
/// # Errors
/// As [`fork`]; EDEADLK if the process does have threads, so that the proof below holds always.
pub fn fork_single(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Fork> {
    if !is_single_threaded() {
        return Err(io::Error::from_raw_os_error(libc::EDEADLK));
    }
    // SAFETY: just checked: one thread, and nobody else could start a second one meanwhile.
    unsafe { fork(flags, cgroup) }
}

/// Whether this process has exactly one thread.
///
/// unshare(2) is the kernel's own answer without a file: CLONE_THREAD is refused with EINVAL in a process of
/// several threads, and does nothing in one of one.
fn is_single_threaded() -> bool {
    // SAFETY: CLONE_THREAD alone changes nothing: the kernel only checks that there is one thread.
    unsafe { libc::unshare(libc::CLONE_THREAD) == 0 }
}

/// Moves the calling process into new namespaces: user or cgroup, which share no descriptors or memory.
///
/// # Errors
/// unshare(2)'s; EINVAL for any other flag.
pub fn unshare(flags: u64) -> io::Result<()> {
    if flags & !(CLONE_NEWUSER | CLONE_NEWCGROUP) != 0 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: these two flags change credentials and the view of cgroups; no descriptor table or memory that
    // another owner relies on is unshared.
    let result = unsafe { libc::unshare(i32::try_from(flags).unwrap_or(0)) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Ends the calling process at once, without running destructors or flushing buffers of a copied parent.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) takes no pointer and does not return.
    unsafe { libc::_exit(code) }
}
