//! Starting another program from a process that may have threads: the extension in a Python program.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use super::fork;

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
}

/// Starts the program; the calling thread waits until it executes. Returns its pidfd.
///
/// Signals are unblocked and have their default dispositions in the child: Rust and Python ignore SIGPIPE, and a
/// program that inherits that may refuse to run (passt of 2023 does).
///
/// # Errors
/// clone3's, or the child's first refusal (execve's mostly).
pub fn spawn(command: &Command<'_>) -> io::Result<OwnedFd> {
    let mut argv: Vec<*const libc::c_char> = command.args.iter().map(|arg| arg.as_ptr()).collect();
    argv.push(ptr::null());
    let mut envp: Vec<*const libc::c_char> = command.env.iter().map(|var| var.as_ptr()).collect();
    envp.push(ptr::null());
    let keep: Vec<i32> = command.keep.iter().map(AsRawFd::as_raw_fd).collect();
    let mut child = Child {
        program: command.program.as_ptr(),
        argv: argv.as_ptr(),
        envp: envp.as_ptr(),
        stdio: command.stdio.map(|fd| fd.as_raw_fd()),
        keep: keep.as_ptr(),
        keep_count: keep.len(),
        errno: 0,
    };
    // A handler of the caller's would run in the child, on our memory.
    let mask = super::signal::block_all();
    // SAFETY: the process may have threads. Between here and execve the child only makes system calls through
    // `run`, which allocates nothing, takes no lock and writes to `child.errno` alone; all it reads was prepared
    // above and outlives the call, and signals are blocked.
    let result = unsafe { fork::vfork(run, (&raw mut child).cast()) };
    super::signal::restore(&mask);
    let pidfd = result?;
    if child.errno == 0 {
        return Ok(pidfd);
    }
    reap(&pidfd)?;
    Err(io::Error::from_raw_os_error(child.errno))
}

/// Waits for the end of a child and forgets it.
fn reap(pidfd: &OwnedFd) -> io::Result<()> {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    use std::os::fd::AsFd;
    rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED))?;
    Ok(())
}

/// What the child reads, and where it leaves its refusal.
struct Child {
    program: *const libc::c_char,
    argv: *const *const libc::c_char,
    envp: *const *const libc::c_char,
    stdio: [i32; 3],
    keep: *const i32,
    keep_count: usize,
    errno: i32,
}

extern "C" fn run(child: *mut libc::c_void) -> ! {
    let child: *mut Child = child.cast();
    // SAFETY: `spawn` passes a live Child and sleeps until we are gone; nobody else knows it.
    unsafe { (*child).errno = execute(&*child) };
    fork::exit_now(127);
}

/// Returns an errno only if something failed.
///
/// # Safety
/// The pointers of `child` are those that `spawn` prepared. Nothing here may allocate or take a lock.
unsafe fn execute(child: &Child) -> i32 {
    // SAFETY: all calls take plain integers, pointers to live locals or to the null-terminated arrays the caller
    // vouches for; each is async-signal-safe. The descriptor table and the dispositions are our own copies; errno
    // is the sleeping caller's.
    unsafe {
        let errno = || *libc::__errno_location();
        let mut above = [0_i32; 3];
        for (slot, &fd) in above.iter_mut().zip(&child.stdio) {
            // Above 2 first, or placing 0 could overwrite the source of 1.
            *slot = libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3);
            if *slot < 0 {
                return errno();
            }
        }
        for (target, source) in (0_i32..).zip(above) {
            if libc::dup2(source, target) < 0 {
                return errno();
            }
        }
        // What our caller was given without close-on-exec (`9>lock`, a pipe that somebody waits on) is not for us to
        // keep open for the life of a container.
        if libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) < 0 {
            return errno();
        }
        for position in 0..child.keep_count {
            if libc::fcntl(*child.keep.add(position), libc::F_SETFD, 0) < 0 {
                return errno();
            }
        }
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL); // refused without effect for those that cannot be set
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        libc::execve(child.program, child.argv, child.envp);
        errno()
    }
}
