//! Starting another program from a process that may have threads: the extension in a Python program.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use super::fork::{CLONE_VFORK, Fork, exit_now, fork};

/// What the new process starts with; everything not named here is closed or empty.
pub struct Command<'a> {
    /// The program, a path.
    pub program: &'a CStr,
    /// argv, argv[0] included.
    pub args: &'a [CString],
    /// The whole environment.
    pub env: &'a [CString],
    /// Descriptors 0, 1 and 2.
    pub stdio: [BorrowedFd<'a>; 3],
    /// Descriptors kept open under their own numbers.
    pub keep: &'a [BorrowedFd<'a>],
    /// The cgroup to start in.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// Starts the program; the caller waits until it executes (`CLONE_VFORK`). Returns its pidfd.
///
/// Signals are unblocked and have their default dispositions in the child: Rust and Python ignore SIGPIPE, and a
/// program that inherits that may refuse to run (passt of 2023 does).
///
/// # Errors
/// clone3's, or the child's first refusal (execve's mostly), told through a pipe.
pub fn spawn(command: &Command<'_>) -> io::Result<OwnedFd> {
    let mut argv: Vec<*const libc::c_char> = command.args.iter().map(|arg| arg.as_ptr()).collect();
    argv.push(ptr::null());
    let mut envp: Vec<*const libc::c_char> = command.env.iter().map(|var| var.as_ptr()).collect();
    envp.push(ptr::null());
    let keep: Vec<i32> = command.keep.iter().map(AsRawFd::as_raw_fd).collect();
    let stdio = command.stdio.map(|fd| fd.as_raw_fd());
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: the process may have threads, so between here and execve the child only makes system calls
    // through `run_child`, which allocates nothing, takes no lock and runs no destructor; all it touches was
    // prepared above.
    match unsafe { fork(CLONE_VFORK, command.cgroup) }? {
        Fork::Child => {
            // SAFETY: as above; the arrays are null-terminated and live until execve.
            let errno = unsafe { run_child(command.program, &argv, &envp, stdio, &keep) };
            let bytes = errno.to_ne_bytes();
            // SAFETY: write(2) from a live local buffer of that length.
            unsafe { libc::write(write.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
            exit_now(127);
        }
        Fork::Parent { pidfd, .. } => {
            drop(write);
            let mut bytes = [0_u8; 4];
            match rustix::io::retry_on_intr(|| rustix::io::read(&read, &mut bytes))? {
                0 => Ok(pidfd),
                _ => {
                    reap(&pidfd)?;
                    Err(io::Error::from_raw_os_error(i32::from_ne_bytes(bytes)))
                }
            }
        }
    }
}

/// Waits for the end of a child and forgets it.
fn reap(pidfd: &OwnedFd) -> io::Result<()> {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    use std::os::fd::AsFd;
    rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED))?;
    Ok(())
}

/// The child's side; returns an errno only if something failed.
///
/// # Safety
/// `argv` and `envp` are null-terminated arrays of C strings. Nothing here may allocate or take a lock.
unsafe fn run_child(
    program: &CStr,
    argv: &[*const libc::c_char],
    envp: &[*const libc::c_char],
    stdio: [i32; 3],
    keep: &[i32],
) -> i32 {
    // SAFETY: all calls take plain integers, pointers to live locals or to the arrays the caller vouches for;
    // each is async-signal-safe. The descriptor table is our own copy.
    unsafe {
        let mut above = [0_i32; 3];
        for (slot, fd) in above.iter_mut().zip(stdio) {
            // Above 2 first, or placing 0 could overwrite the source of 1.
            *slot = libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3);
            if *slot < 0 {
                return *libc::__errno_location();
            }
        }
        for (target, source) in (0_i32..).zip(above) {
            if libc::dup2(source, target) < 0 {
                return *libc::__errno_location();
            }
        }
        for &fd in keep {
            if libc::fcntl(fd, libc::F_SETFD, 0) < 0 {
                return *libc::__errno_location();
            }
        }
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL); // refused without effect for those that cannot be set
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr());
        *libc::__errno_location()
    }
}
