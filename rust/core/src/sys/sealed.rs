//! This program in a memory file that can no longer be written.
//!
//! CVE-2019-5736: where a container shares its pid namespace with others, those see its init before it has executed the
//! program, and may open what it runs. Then that must not be the native binary of the host. Elsewhere nobody sees it, and
//! the copy is not made.

use std::ffi::CString;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags, SealFlags};

/// Nothing of it can change any more.
pub(super) const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// Executes this program anew from a sealed copy, unless it runs from one already; then nothing is done.
///
/// # Errors
/// memfd_create(2)'s or execveat(2)'s; EACCES where the machine forbids executing memory.
pub fn ensure(args: &[CString], env: &[CString]) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let program = rustix::fs::open("/proc/self/exe", flags, Mode::empty())?;
    if rustix::fs::fcntl_get_seals(&program).is_ok_and(|seals| seals.contains(SEALS)) {
        return Ok(());
    }
    let copy = executable_memory(c"pyrt-runtime", libc::MFD_ALLOW_SEALING)?;
    while rustix::fs::sendfile(&copy, &program, None, 1 << 30)? > 0 {}
    rustix::fs::fcntl_add_seals(&copy, SEALS)?;
    Err(super::exec::execute_file(&copy, args, env))
}

/// An empty memory file that may be executed, close-on-exec.
///
/// # Errors
/// memfd_create(2)'s; EACCES where the machine forbids it.
pub(super) fn executable_memory(name: &std::ffi::CStr, flags: u32) -> io::Result<OwnedFd> {
    let flags = flags | libc::MFD_CLOEXEC;
    // SAFETY: the name is a C string; the result is checked before it is owned.
    let mut fd = unsafe { libc::memfd_create(name.as_ptr(), flags | libc::MFD_EXEC) };
    if fd < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) {
        // Before Linux 6.3 every memory file may be executed, and the flag is unknown.
        // SAFETY: as above.
        fd = unsafe { libc::memfd_create(name.as_ptr(), flags) };
    }
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor for us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
