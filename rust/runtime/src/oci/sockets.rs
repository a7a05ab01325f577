//! Descriptors for somebody who listens on a socket: the terminal of `--console-socket`, the process of `--pidfd-socket`.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use pyrt_core::channel;
use pyrt_core::{At, Result};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Connects to a stream socket.
///
/// # Errors
/// `kernel` naming the path.
pub(super) fn connect(path: &Path) -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .at("socket", path)?;
    let address = SocketAddrUnix::new(path).at("connect", path)?;
    rustix::net::connect(&socket, &address).at("connect", path)?;
    Ok(socket)
}

/// Sends one descriptor with its name, as runc does.
///
/// # Errors
/// `kernel`.
pub(super) fn send(socket: &OwnedFd, name: &str, fd: impl AsFd) -> Result<()> {
    channel::send(socket, name.as_bytes(), &[fd.as_fd()]).at("send", name)
}
