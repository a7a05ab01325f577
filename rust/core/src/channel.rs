//! SEQPACKET sockets between our own processes: whole messages, descriptors with them, end of file told apart.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use crate::error::{At, Result};

/// A connected pair.
///
/// # Errors
/// `kernel`.
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .at("socketpair", "")
}

/// One end, connected to nothing yet.
///
/// # Errors
/// socket(2)'s.
pub fn socket() -> Result<OwnedFd, Errno> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// Sends one message with up to five descriptors.
///
/// # Errors
/// sendmsg(2)'s; EPIPE if the other end is gone (never SIGPIPE).
pub fn send(socket: impl AsFd, data: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    send_with(socket, data, fds, SendFlags::NOSIGNAL)
}

/// [`send`] that does not wait for room.
///
/// # Errors
/// EAGAIN if there is none.
pub fn send_now(socket: impl AsFd, data: &[u8]) -> Result<(), Errno> {
    send_with(socket, data, &[], SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
}

fn send_with(
    socket: impl AsFd,
    data: &[u8],
    fds: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(5))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::INVAL);
    }
    let parts = [std::io::IoSlice::new(data)];
    rustix::io::retry_on_intr(|| rustix::net::sendmsg(&socket, &parts, &mut control, flags))?;
    Ok(())
}

/// Receives one message of any size into memory of just that size: a monitor lives long and hears little.
///
/// Empty: the other end is gone (nobody sends an empty message).
///
/// # Errors
/// recvmsg(2)'s.
pub fn receive_message(socket: impl AsFd, fds: &mut Vec<OwnedFd>) -> Result<Vec<u8>, Errno> {
    let look = RecvFlags::PEEK | RecvFlags::TRUNC;
    let length = or_after_reset(|| {
        rustix::net::recv(&socket, &mut [0_u8; 1], look).map(|(_, length)| length)
    })?;
    let mut message = vec![0_u8; length];
    if !message.is_empty() {
        let count = receive(&socket, &mut message, fds)?;
        message.truncate(count);
    }
    Ok(message)
}

/// Receives one message into `buffer`; 0 bytes means the other end is gone.
///
/// # Errors
/// recvmsg(2)'s; EMSGSIZE if the message was longer than the buffer.
fn receive(socket: impl AsFd, buffer: &mut [u8], fds: &mut Vec<OwnedFd>) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(5))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let message = {
        let mut parts = [std::io::IoSliceMut::new(buffer)];
        or_after_reset(|| rustix::net::recvmsg(&socket, &mut parts, &mut control, flags))?
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

/// A peer that died with our message unread resets the connection. The kernel tells that first, and once; what the peer
/// said before, its error above all, comes after it.
fn or_after_reset<T>(mut receive: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    let mut receive = || rustix::io::retry_on_intr(&mut receive);
    match receive() {
        Err(Errno::CONNRESET) => receive(),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_heard_after_a_reset() {
        let (ours, theirs) = pair().unwrap();
        send(&ours, b"unread", &[]).unwrap();
        send(&theirs, b"why", &[]).unwrap();
        drop(theirs);
        let mut fds = Vec::new();
        assert_eq!(receive_message(&ours, &mut fds).unwrap(), b"why");
        assert_eq!(receive_message(&ours, &mut fds).unwrap(), b"");
    }
}
