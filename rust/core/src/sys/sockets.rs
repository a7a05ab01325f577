//! Socket options that rustix does not know.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

/// Lets a socket speak from an address that is not ours (ip(7), IP_TRANSPARENT).
///
/// # Errors
/// EPERM without CAP_NET_ADMIN over the socket's network namespace.
pub fn set_transparent(socket: BorrowedFd<'_>, is_ipv6: bool) -> Result<(), Errno> {
    let (level, option) = if is_ipv6 {
        (libc::SOL_IPV6, libc::IPV6_TRANSPARENT)
    } else {
        (libc::SOL_IP, libc::IP_TRANSPARENT)
    };
    let on: libc::c_int = 1;
    // SAFETY: the kernel reads an int of the length that is given, from a live local, and keeps no pointer.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            libc::socklen_t::try_from(size_of_val(&on)).unwrap_or(0),
        )
    };
    if result == -1 {
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
    } else {
        Ok(())
    }
}

/// The network namespace that a socket is of (linux/sockios.h, SIOCGSKNS).
///
/// # Errors
/// EPERM without CAP_NET_ADMIN in it.
pub fn network_of(socket: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    const SIOCGSKNS: libc::Ioctl = 0x894C;
    // SAFETY: the request takes no argument, and its result is a descriptor or -1.
    let fd = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGSKNS) };
    if fd < 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO));
    }
    // SAFETY: the kernel just made this descriptor for us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
