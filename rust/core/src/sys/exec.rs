//! execve(2) and what must be set right before it.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

/// The null-terminated array that execve(2) takes, of strings that must outlive it.
fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// Replaces this process by `program`; returns only the refusal.
#[must_use]
pub fn execve(program: &CStr, args: &[CString], env: &[CString]) -> io::Error {
    let (argv, envp) = (pointers(args), pointers(env));
    // SAFETY: both arrays are null-terminated, their strings are borrowed from live CStrings, and on
    // success nothing of this process remains to be misused.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}

/// Replaces this process by an open file; returns only the refusal.
#[must_use]
pub fn execute_file(file: &OwnedFd, args: &[CString], env: &[CString]) -> io::Error {
    let (argv, envp) = (pointers(args), pointers(env));
    // SAFETY: as in `execve`; the empty path is a C string.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    io::Error::last_os_error()
}

/// Joins a new session keyring of this name: the caller's, with its tickets and secrets, is left (keyctl(2)).
///
/// # Errors
/// EDQUOT where the user has too many keys, ENOSYS in a kernel without keys.
pub fn new_session_keyring(name: &CStr) -> io::Result<()> {
    // SAFETY: KEYCTL_JOIN_SESSION_KEYRING reads a C string, which outlives the call.
    let result = unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr())
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// setrlimit(2) by the kernel's number of the resource.
///
/// # Errors
/// EPERM above the hard limit, EINVAL for an unknown resource or soft > hard.
pub fn set_rlimit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: prlimit64 of the calling process reads one complete rlimit64 and writes nothing.
    let result = unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            0,
            resource,
            &raw const limit,
            ptr::null_mut::<libc::rlimit64>(),
        )
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// personality(2).
///
/// # Errors
/// The kernel refuses none that it knows.
pub fn set_personality(domain: u32) -> io::Result<()> {
    // SAFETY: personality(2) takes an integer, and neither domain that we pass changes where memory is.
    let result = unsafe { libc::personality(libc::c_ulong::from(domain)) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
