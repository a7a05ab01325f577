//! Signals as descriptors, and a clean slate for programs we start.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// A thread's signal mask, to be put back.
pub struct Mask(libc::sigset_t);

/// Blocks `signals` in the calling thread; returns the mask it had.
///
/// # Errors
/// EINVAL for a number that is no signal.
pub fn block(signals: &[i32]) -> io::Result<Mask> {
    // SAFETY: an all-zero sigset_t is a valid value to be initialised by sigemptyset.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    let mut old = set;
    // SAFETY: `set` and `old` are live locals of the right type.
    let result = unsafe {
        libc::sigemptyset(&raw mut set);
        for &signal in signals {
            if libc::sigaddset(&raw mut set, signal) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut old)
    };
    if result == 0 { Ok(Mask(old)) } else { Err(io::Error::from_raw_os_error(result)) }
}

/// Blocks every signal that can be blocked in the calling thread; returns the mask it had.
#[must_use]
pub fn block_all() -> Mask {
    // SAFETY: an all-zero sigset_t is a valid value to be filled.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    let mut old = set;
    // SAFETY: `set` and `old` are live locals of the right type; a full set is no error.
    unsafe {
        libc::sigfillset(&raw mut set);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, &raw mut old);
    }
    Mask(old)
}

/// Puts a mask back that [`block`] returned.
pub fn restore(mask: &Mask) {
    // SAFETY: the mask was written by pthread_sigmask and is only read.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask.0, ptr::null_mut()) };
}

/// Has the kernel reap our children, those that we are left with included (sigaction(2), `SA_NOCLDWAIT`).
///
/// # Errors
/// None that can be had.
pub fn ignore_children() -> io::Result<()> {
    // SAFETY: no handler of ours is installed; to ignore a signal touches nothing of this process.
    if unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Waits for a signal.
pub fn pause() {
    // SAFETY: pause(2) takes nothing and changes nothing.
    unsafe { libc::pause() };
}

/// A non-blocking signalfd for `signals`, which the caller has blocked.
///
/// # Errors
/// signalfd(2)'s.
pub fn descriptor(signals: &[i32]) -> io::Result<OwnedFd> {
    // SAFETY: as in `block`.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a live local; signalfd reads it and returns a new descriptor or -1.
    let fd = unsafe {
        libc::sigemptyset(&raw mut set);
        for &signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The next pending signal on a signalfd, or none.
///
/// # Errors
/// read(2)'s other than EAGAIN.
pub fn next(fd: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    // SAFETY: signalfd_siginfo holds integers and padding only.
    let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::signalfd_siginfo>();
    // SAFETY: read(2) writes at most `size` bytes into a live local of that size.
    let count = unsafe { libc::read(fd.as_raw_fd(), (&raw mut info).cast(), size) };
    if count < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
    }
    Ok(Some(info.ssi_signo.cast_signed()))
}

/// Makes a write to a pipe or socket without a reader an error of write(2).
pub fn ignore_broken_pipes() {
    // SAFETY: SIG_IGN installs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// Default dispositions and an empty mask for the program that this process will become.
///
/// Python ignores SIGPIPE and we may block much; a container inherits neither.
pub fn reset_all() {
    // SAFETY: SIG_DFL installs no handler; numbers without a signal are refused without effect; an emptied
    // set is only read.
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// A signal by number, real-time ones included; `None` for a number the kernel has no signal for.
#[must_use]
pub fn from_number(number: i32) -> Option<rustix::process::Signal> {
    if !(1..=64).contains(&number) {
        return None;
    }
    // SAFETY: the number is one of the kernel's, and we only ever send it: no handler is installed for a
    // signal that libc keeps for itself.
    unsafe { Some(rustix::process::Signal::from_raw_unchecked(number)) }
}
/// SIGKILL for all processes of the pid namespace whose first process we are; nothing if we are another.
pub fn kill_all_others() {
    if std::process::id() == 1 {
        // SAFETY: kill(2) takes two integers. As pid 1 of a namespace, -1 means all in it but ourselves; ESRCH is nobody.
        unsafe {
            libc::kill(-1, libc::SIGKILL);
        }
    }
}
