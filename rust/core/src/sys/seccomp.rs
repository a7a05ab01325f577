//! seccomp(2).

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use libc::{sock_filter, sock_fprog};

/// `seccomp(SECCOMP_SET_MODE_FILTER, flags, program)`: from now on every system call of this thread is judged.
///
/// Gives the notification descriptor if `flags` has `SECCOMP_FILTER_FLAG_NEW_LISTENER`; it is close-on-exec.
/// Needs no_new_privs, or `CAP_SYS_ADMIN` in the own user namespace.
///
/// # Errors
/// The kernel's: EACCES without either right, EINVAL for a program that it refuses, EFAULT never; ESRCH
/// if a thread cannot follow (TSYNC).
///
/// References: seccomp(2).
pub fn set_filter(program: &[sock_filter], flags: u32) -> io::Result<Option<OwnedFd>> {
    let Ok(len) = u16::try_from(program.len()) else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    let fprog = sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: `fprog` and the `len` instructions that it points to are borrowed for the whole call; the
    // kernel copies and checks them and writes to neither (`filter` is `*mut` in C only for want of const).
    // The filter cannot break memory safety: at most it makes later calls fail or ends the process.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const fprog)
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let listener = u64::from(flags) & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER != 0;
    if !listener {
        // Without TSYNC_ESRCH a thread that cannot follow is reported by its ID, not by an errno.
        return if result == 0 { Ok(None) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) };
    }
    let Ok(fd) = i32::try_from(result) else {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    };
    // SAFETY: with NEW_LISTENER a non-negative result is a descriptor that the kernel has just made for us.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
}
