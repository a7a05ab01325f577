//! What a monitor and its clients say to each other, over SEQPACKET sockets: the lead that `launch` keeps, and
//! whoever connects to `control.sock`. One byte says what a message is, the rest is its content.
//!
//! | from    | frame    | content                        | means                                             |
//! |---------|----------|--------------------------------|---------------------------------------------------|
//! | monitor | `Created`| `{"pid"}`                      | to the lead: the container waits for start        |
//! | client  | `Start`  | one byte: attach me?           | execute; answered by `Started` or `Failed`        |
//! | client  | `Request`| `{"op", …}`                    | answered by `Reply` (with descriptors) or `Failed`|
//! | monitor | `Stdout` | bytes                          | output, to attached clients                       |
//! | monitor | `Stderr` | bytes                          | output, to attached clients                       |
//! | client  | `Feeds`  |                                | input will come: its end, or mine, ends stdin     |
//! | client  | `Stdin`  | bytes; none: end of file       | input                                             |
//! | monitor | `Taken`  | number of bytes as u32 LE      | of input: so much more may come                   |
//! | client  | `Resize` | rows, columns as u16 LE        | the client's terminal changed                     |
//! | client  | `Signal` | number as one byte             | to init                                           |
//! | monitor | `Exited` | exit.json                      | the end, after all output and after clean-up      |
//! | monitor | `Failed` | the error                      | refused                                           |
//!
//! Of input, [`WINDOW_BYTES`] may be under way that were not taken yet. Without that limit a container that does not
//! read would stop the socket, and the signals behind the input in it.
//!
//! The lead's end of file before `Start` undoes the container; after it, it means nothing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::channel;
use crate::error::{At, Code, Error, Result};

/// The largest content of a frame with bytes.
pub const CHUNK_BYTES: usize = 32 * 1024;

/// How much input may be sent before it is taken.
pub const WINDOW_BYTES: usize = 128 * 1024;

/// What a frame is; the number is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Frame {
    /// Input for the container.
    Stdin = 0,
    /// Output.
    Stdout = 1,
    /// Output.
    Stderr = 2,
    /// The end.
    Exited = 3,
    /// A refusal.
    Failed = 4,
    /// To the lead.
    Created = 5,
    /// Execve happened.
    Started = 6,
    /// A terminal's size.
    Resize = 7,
    /// A signal for init.
    Signal = 8,
    /// Execute.
    Start = 9,
    /// A question as JSON.
    Request = 10,
    /// Its answer as JSON.
    Reply = 11,
    /// Input has gone on to the container.
    Taken = 12,
    /// The client has a stdin.
    Feeds = 13,
}

const FRAMES: [Frame; 14] = [
    Frame::Stdin,
    Frame::Stdout,
    Frame::Stderr,
    Frame::Exited,
    Frame::Failed,
    Frame::Created,
    Frame::Started,
    Frame::Resize,
    Frame::Signal,
    Frame::Start,
    Frame::Request,
    Frame::Reply,
    Frame::Taken,
    Frame::Feeds,
];

/// One received frame.
#[derive(Debug)]
pub struct Received {
    /// What it is.
    pub frame: Frame,
    /// Its content.
    pub content: Vec<u8>,
    /// Descriptors that came with it.
    pub fds: Vec<OwnedFd>,
}

/// A frame as it goes on the wire.
#[must_use]
pub fn encode(frame: Frame, content: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(1 + content.len());
    message.push(frame as u8);
    message.extend_from_slice(content);
    message
}

/// Sends one frame.
///
/// # Errors
/// sendmsg(2)'s.
pub fn send(
    socket: impl AsFd,
    frame: Frame,
    content: &[u8],
    fds: &[BorrowedFd<'_>],
) -> Result<(), Errno> {
    channel::send(socket, &encode(frame, content), fds)
}

/// Receives one frame; `None` if the other end is closed.
///
/// # Errors
/// recvmsg(2)'s; EAGAIN if the socket is non-blocking and empty; EPROTO for a frame that is none.
pub fn receive(socket: impl AsFd) -> Result<Option<Received>, Errno> {
    let mut fds = Vec::new();
    let mut content = channel::receive_message(socket, &mut fds)?;
    let Some(&kind) = content.first() else { return Ok(None) };
    let frame = *FRAMES.get(usize::from(kind)).ok_or(Errno::PROTO)?;
    content.remove(0);
    Ok(Some(Received { frame, content, fds }))
}

/// Receives the answer to a question.
///
/// # Errors
/// The error that a `Failed` frame carries; `conflict` with reason `monitor lost` at end of file.
pub fn receive_answer(socket: impl AsFd) -> Result<Received> {
    match receive(socket).at("monitor", "receive")? {
        None => Err(lost()),
        Some(received) if received.frame == Frame::Failed => Err(parse_error(&received.content)),
        Some(received) => Ok(received),
    }
}

/// The error that a monitor's silence means.
#[must_use]
pub fn lost() -> Error {
    Error::new(Code::Conflict, "monitor", "", "monitor lost")
}

/// An error from its JSON.
#[must_use]
pub fn parse_error(content: &[u8]) -> Error {
    serde_json::from_slice(content)
        .unwrap_or_else(|error| Error::new(Code::Kernel, "monitor", "reply", error.to_string()))
}
