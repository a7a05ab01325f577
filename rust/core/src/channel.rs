//! SEQPACKET sockets between our own processes: whole messages, descriptors with them, end of file told apart.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use crate::error::{At, Result};

/// The largest message we send; far below the kernel's default socket buffer.
pub const MESSAGE_BYTES: usize = 64 * 1024;

/// A connected pair.
///
/// # Errors
/// `kernel`.
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .at("socketpair", "")
}

/// Sends one message with up to two descriptors.
///
/// # Errors
/// sendmsg(2)'s; EPIPE if the other end is gone (never SIGPIPE).
pub fn send(socket: impl AsFd, data: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::INVAL);
    }
    let parts = [std::io::IoSlice::new(data)];
    let flags = SendFlags::NOSIGNAL;
    rustix::io::retry_on_intr(|| rustix::net::sendmsg(&socket, &parts, &mut control, flags))?;
    Ok(())
}

/// Receives one message into `buffer`; 0 bytes means the other end is gone.
///
/// # Errors
/// recvmsg(2)'s; EMSGSIZE if the message was longer than the buffer.
pub fn receive(
    socket: impl AsFd,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let message = {
        let mut parts = [std::io::IoSliceMut::new(buffer)];
        rustix::io::retry_on_intr(|| {
            rustix::net::recvmsg(&socket, &mut parts, &mut control, flags)
        })
    };
    let message = match message {
        // A peer that died with our message unread resets the connection: that is its end, too.
        Err(Errno::CONNRESET) => return Ok(0),
        result => result?,
    };
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            fds.extend(rights);
        }
    }
    if message.flags.contains(rustix::net::ReturnFlags::TRUNC) {
        return Err(Errno::MSGSIZE);
    }
    Ok(message.bytes)
}
