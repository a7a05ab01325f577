//! Who is connected: the lead, and whoever came through `control.sock`. Each has a queue of frames.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use pyrt_core::channel;
use pyrt_core::wire::{self, Frame};
use pyrt_core::{Error, Result};
use rustix::io::Errno;

/// While an attached client has this much unread, the container's output is left in its pipes: nothing is lost,
/// and a slow reader slows the writer, as it would without us.
const BACKLOG_BYTES: usize = 256 * 1024;

/// What a queued frame costs beside its bytes: a writer of single bytes fills memory, too.
const FRAME_BYTES: usize = 64;

/// A client that does not read this many answers is asked nothing more of, or its questions would fill our memory
/// and the descriptors that go with the answers our table.
const UNREAD_ANSWERS: usize = 8;

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    socket: OwnedFd,
    queue: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
    queued_bytes: usize,
    /// Answers in the queue.
    answers: usize,
    /// Input that it sent and that was not acknowledged.
    owed_bytes: usize,
    /// Has a stdin, which ends with it.
    pub(crate) feeds: bool,
    /// Gets output and may give input.
    pub(crate) attached: bool,
    /// Gets the exit.
    pub(crate) waits: bool,
    /// Is the lead, whose end of file before start undoes the container.
    pub(crate) is_lead: bool,
    /// The monitor of a container in the pod that is ours.
    pub(crate) is_member: bool,
    /// What that said of being ready.
    pub(crate) readiness: Option<bool>,
    /// To be dropped.
    pub(crate) gone: bool,
}

impl Client {
    pub(crate) fn new(socket: OwnedFd, is_lead: bool) -> Self {
        Self {
            socket,
            queue: VecDeque::new(),
            queued_bytes: 0,
            answers: 0,
            owed_bytes: 0,
            feeds: false,
            attached: false,
            waits: is_lead,
            is_lead,
            is_member: false,
            readiness: None,
            gone: false,
        }
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(crate) fn has_output(&self) -> bool {
        !self.queue.is_empty()
    }

    pub(crate) fn is_behind(&self) -> bool {
        self.attached && self.queued_bytes >= BACKLOG_BYTES
    }

    /// Whether we listen to it now. Input beyond the window, and questions without an end, wait in its socket.
    pub(crate) fn may_speak(&self) -> bool {
        // It may have begun a chunk just before the window was full, and will have a signal to send after it.
        let window = wire::WINDOW_BYTES + wire::CHUNK_BYTES;
        self.owed_bytes < window && self.answers < UNREAD_ANSWERS
    }

    /// Input of this length came from it.
    pub(crate) fn owe(&mut self, bytes: usize) {
        self.owed_bytes += bytes;
    }

    /// There is room for more input.
    pub(crate) fn acknowledge(&mut self) {
        if let (Ok(taken @ 1..), false) = (u32::try_from(self.owed_bytes), self.gone) {
            self.owed_bytes = 0;
            self.push(Frame::Taken, &taken.to_le_bytes(), Vec::new());
        }
    }

    /// Queues a frame and sends what can be sent.
    pub(crate) fn push(&mut self, frame: Frame, content: &[u8], fds: Vec<OwnedFd>) {
        let message = wire::encode(frame, content);
        self.queued_bytes += message.len() + FRAME_BYTES;
        self.answers += usize::from(is_answer(&message));
        self.queue.push_back((message, fds));
        self.flush();
    }

    pub(crate) fn fail(&mut self, error: &Error) {
        self.push(Frame::Failed, &to_json(error), Vec::new());
    }

    /// Sends as much as the socket takes.
    pub(crate) fn flush(&mut self) {
        while let Some((message, fds)) = self.queue.front() {
            let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
            match channel::send(&self.socket, message, &fds) {
                Ok(()) => {
                    self.queued_bytes -= message.len() + FRAME_BYTES;
                    self.answers -= usize::from(is_answer(message));
                    self.queue.pop_front();
                }
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
        }
    }

    /// Receives one frame, if one is there. End of file marks the client as gone.
    pub(crate) fn receive(&mut self) -> Option<wire::Received> {
        match wire::receive(&self.socket) {
            Ok(Some(received)) => Some(received),
            Err(Errno::AGAIN) => None,
            Ok(None) | Err(_) => {
                self.gone = true;
                None
            }
        }
    }
}

fn is_answer(message: &[u8]) -> bool {
    [Frame::Reply, Frame::Failed].iter().any(|&frame| message.first() == Some(&(frame as u8)))
}

/// JSON of our own types, which always have one.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Makes a socket non-blocking.
pub(crate) fn set_nonblocking(socket: &OwnedFd) -> Result<()> {
    use pyrt_core::At;
    rustix::io::ioctl_fionbio(socket, true).at("ioctl", "socket")
}
