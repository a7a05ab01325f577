//! clone3(2) as fork(2), with everything a container needs in one call.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `CLONE_NEW*` and friends are the kernel's own numbers; clone3 takes them as 64 bits.
pub const CLONE_PIDFD: u64 = 0x1000;
/// Parent and child share their memory.
const CLONE_VM: u64 = 0x100;
/// The parent sleeps until the child has executed a program or exited.
const CLONE_VFORK: u64 = 0x4000;
/// New time namespace, for children.
pub const CLONE_NEWTIME: u64 = 0x80;
/// The child is a sibling: the caller's parent is its parent.
pub const CLONE_PARENT: u64 = 0x8000;
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
        // A sibling has the caller's own, and none may be named.
        exit_signal: if flags & CLONE_PARENT == 0 { libc::SIGCHLD as u64 } else { 0 },
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

/// Runs `child` on a stack of its own in a new process that shares our memory, while the calling thread sleeps until
/// that process has executed a program or exited (`CLONE_VM | CLONE_VFORK`): nothing is copied, however large we are.
///
/// Returns the pidfd of the new process.
///
/// # Errors
/// What clone3(2) says.
///
/// # Safety
/// `child` must not return, unwind, allocate, take a lock or change memory that anyone but the sleeping caller uses:
/// it makes async-signal-safe system calls until it executes a program or exits. All signals must be blocked, so
/// that no handler runs in it.
pub unsafe fn vfork(
    child: extern "C" fn(*mut libc::c_void) -> !,
    argument: *mut libc::c_void,
) -> io::Result<OwnedFd> {
    let mut stack = vec![0_u128; STACK_BYTES / size_of::<u128>()]; // u128: aligned as a stack must be
    let mut pidfd: i32 = -1;
    let args = CloneArgs {
        flags: CLONE_VM | CLONE_VFORK | CLONE_PIDFD,
        pidfd: &raw mut pidfd as u64,
        exit_signal: libc::SIGCHLD as u64,
        stack: stack.as_mut_ptr() as u64,
        stack_size: (stack.len() * size_of::<u128>()) as u64,
        ..CloneArgs::default()
    };
    let result: isize;
    // SAFETY: `args` is a complete clone_args and, like the stack it names, outlives the call, since the parent
    // sleeps until the child no longer uses our memory. The child begins after the instruction with our registers,
    // a zero result and its own empty stack, on which it only calls `child`, which does not return.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, {argument}",
            "call {child}",
            "ud2",
            "2:",
            argument = in(reg) argument,
            child = in(reg) child,
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") &raw const args,
            in("rsi") size_of::<CloneArgs>(),
            out("rcx") _, // not lateout: the kernel overwrites both before our inputs are read
            out("r11") _,
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        core::arch::asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, {argument}",
            "blr {child}",
            "brk #1",
            "2:",
            argument = in(reg) argument,
            child = in(reg) child,
            inlateout("x0") &raw const args => result,
            in("x1") size_of::<CloneArgs>(),
            in("x8") libc::SYS_clone3,
        );
    }
    if result < 0 {
        return Err(io::Error::from_raw_os_error(i32::try_from(-result).unwrap_or(libc::EIO)));
    }
    // SAFETY: the kernel just made this descriptor for us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(pidfd) })
}

/// Far more than a child of [`vfork`] needs for its few calls.
const STACK_BYTES: usize = 64 * 1024;

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

/// Moves the calling process into new namespaces: user, mount, cgroup, network or (its children) time, which share no
/// descriptors or memory.
///
/// # Errors
/// unshare(2)'s; EINVAL for any other flag.
pub fn unshare(flags: u64) -> io::Result<()> {
    let known = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWNET | CLONE_NEWTIME;
    if flags & !known != 0 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: these flags change credentials, the views of mounts, cgroups and networks and the clocks of children; no descriptor
    // table or memory that another owner relies on is unshared.
    let result = unsafe { libc::unshare(i32::try_from(flags).unwrap_or(0)) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Ends the calling process at once, without running destructors or flushing buffers of a copied parent.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) takes no pointer and does not return.
    unsafe { libc::_exit(code) }
}
