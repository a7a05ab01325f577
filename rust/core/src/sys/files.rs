//! Descriptors: inheritance, pipes' owners, terminals.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// Closes every descriptor from `first` on but `keep`, in a child that only executes or exits from here on.
///
/// # Errors
/// close_range(2)'s.
pub fn close_all_but<const N: usize>(
    first: u32,
    keep: [Option<BorrowedFd<'_>>; N],
) -> io::Result<()> {
    let mut keep = keep.map(|fd| fd.map_or(u32::MAX, |fd| fd.as_raw_fd().cast_unsigned()));
    close_between(first, &mut keep)
}

/// [`close_all_but`], for as many as there are; it allocates.
///
/// # Errors
/// close_range(2)'s.
pub fn close_others(first: u32, keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut keep: Vec<u32> = keep.iter().map(|fd| fd.as_raw_fd().cast_unsigned()).collect();
    close_between(first, &mut keep)
}

fn close_between(first: u32, keep: &mut [u32]) -> io::Result<()> {
    keep.sort_unstable();
    let mut next = first;
    for kept in keep.iter().copied().chain([u32::MAX]) {
        let (first, last) = (next, kept.saturating_sub(1));
        next = kept.saturating_add(1).max(next);
        if first > last {
            continue;
        }
        // SAFETY: close_range(2) takes integers. The owners of these descriptors are copies of our parent's; such a
        // child ends by execve or _exit and neither uses nor drops them.
        if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Marks every descriptor from `first` on close-on-exec.
///
/// # Errors
/// EINVAL before Linux 5.11, which is below our floor.
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: close_range(2) with CLOEXEC takes integers and closes nothing now, so no owner is betrayed.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes the descriptor that our parent left open under this number, close-on-exec from now on.
///
/// # Errors
/// EBADF if nothing is open there.
///
/// # Safety
/// Nobody else in this process may own that number: call it once, for a number our parent vouched for.
pub unsafe fn adopt(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: F_SETFD takes integers; on EBADF we do not construct an owner.
    if number < 0 || unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: it is open (just checked), and the caller vouches that nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Takes a descriptor named on this process's own command line, once.
///
/// # Errors
/// EBADF if nothing is open there or it is one of the standard three.
pub fn adopt_argument(number: i32) -> io::Result<OwnedFd> {
    if number < 3 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the native binary reads its argv once, before it opens anything, so every descriptor above 2
    // is our parent's gift and has no other owner here.
    unsafe { adopt(number) }
}

/// Makes a copy of `fd` the descriptor `number` (0, 1 or 2), without close-on-exec.
///
/// # Errors
/// dup2(2)'s.
pub fn place(fd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    // SAFETY: 0, 1 and 2 are owned by nobody in Rust's sense; dup2 replaces them atomically.
    let result = unsafe { libc::dup2(fd.as_raw_fd(), number) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes `fd` what `target` is, close-on-exec: whoever knows the number of `target` goes on with `fd`.
///
/// # Errors
/// dup3(2)'s.
pub fn replace(fd: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both are open descriptors that outlive the call; the owner of `target` keeps owning its number.
    let result = unsafe { libc::dup3(fd.as_raw_fd(), target.as_raw_fd(), libc::O_CLOEXEC) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether something is open under this number.
#[must_use]
pub fn is_open(number: i32) -> bool {
    // SAFETY: F_GETFD takes integers and changes nothing.
    unsafe { libc::fcntl(number, libc::F_GETFD) >= 0 }
}

/// Makes the terminal on descriptor `fd` our session's controlling terminal.
///
/// # Errors
/// EPERM if we lead no session.
pub fn set_controlling_terminal(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes an integer argument.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSCTTY, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Brings up the loopback interface of the current network namespace.
///
/// # Errors
/// The socket's or ioctl's refusal.
pub fn bring_up_loopback() -> io::Result<()> {
    // SAFETY: socket(2) takes integers.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, ours alone.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: an all-zero ifreq is valid: it holds integers and byte arrays only.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(b"lo\0") {
        *slot = byte.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads the complete ifreq, whose name is null-terminated.
    let result =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A duplicate of a descriptor known only by its number, close-on-exec.
///
/// # Errors
/// EBADF if nothing is open there.
pub fn duplicate(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes integers; a number that is not open is refused with EBADF.
    let fd = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor for us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The `CLONE_NEW*` flag of the namespace that `fd` is open on (ioctl_ns(2)).
///
/// # Errors
/// ENOTTY for any other file.
pub fn namespace_type(fd: BorrowedFd<'_>) -> io::Result<i32> {
    // SAFETY: NS_GET_NSTYPE takes no argument.
    let kind = unsafe { libc::ioctl(fd.as_raw_fd(), libc::NS_GET_NSTYPE) };
    if kind < 0 { Err(io::Error::last_os_error()) } else { Ok(kind) }
}

/// Whose is what this thread makes from now on (setfsuid(2), setfsgid(2)); false if an ID is not mapped.
#[must_use]
pub fn set_maker(uid: u32, gid: u32) -> bool {
    // SAFETY: all take an integer and say what was before; with -1, which is no ID, nothing changes.
    let now = unsafe {
        libc::setfsgid(gid);
        libc::setfsuid(uid);
        (libc::setfsuid(u32::MAX), libc::setfsgid(u32::MAX))
    };
    (now.0.cast_unsigned(), now.1.cast_unsigned()) == (uid, gid)
}

/// Whether `name` in a directory, followed no further, may have extended attributes (listxattrat(2), Linux 6.13).
///
/// # Errors
/// ENOSYS below that kernel; EOPNOTSUPP.
pub fn has_attributes(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<bool> {
    /// One number on all architectures.
    const LISTXATTRAT: libc::c_long = 465;
    // SAFETY: the name is null-terminated; with no buffer and no length the kernel writes nothing and tells the size.
    let size = unsafe {
        libc::syscall(
            LISTXATTRAT,
            directory.as_raw_fd(),
            name.as_ptr(),
            libc::AT_SYMLINK_NOFOLLOW,
            ptr::null_mut::<libc::c_char>(),
            0_usize,
        )
    };
    if size < 0 { Err(io::Error::last_os_error()) } else { Ok(size > 0) }
}
