//! What init and its parent say to each other, over one SEQPACKET pair.
//!
//! | from   | message    | carries        | means                                                   |
//! |--------|------------|----------------|---------------------------------------------------------|
//! | parent | `Mapped`   |                | the ID maps are written: become root inside             |
//! | init   | `Terminal` | the pty master | a terminal was made; sent before `Created`              |
//! | init   | `Created`  |                | nothing is left but the filter and execve               |
//! | parent | `Start`    |                | execute                                                 |
//! | init   | `Failed`   | the error      | and init ends; at any time                              |
//! | init   | end        |                | after `Start`: execve happened, the socket closed on it |
//!
//! End of file the other way, before `Start`, means that nobody wants the container: init ends.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::channel;
use crate::error::{At, Code, Error, Result};

/// One message; the first byte on the wire.
#[derive(Debug)]
pub enum Message {
    /// `M`
    Mapped,
    /// `T`
    Terminal(OwnedFd),
    /// `C`
    Created,
    /// `S`
    Start,
    /// `F`, then the error as JSON.
    Failed(Error),
    /// The other end is closed.
    End,
}

/// One end of the pair.
#[derive(Debug)]
pub struct Sync(OwnedFd);

impl AsFd for Sync {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Sync {
    /// Both ends: the parent's, init's.
    ///
    /// # Errors
    /// `kernel`.
    pub fn pair() -> Result<(Self, Self)> {
        let (parent, init) = channel::pair()?;
        Ok((Self(parent), Self(init)))
    }

    /// Sends one message.
    ///
    /// # Errors
    /// `kernel`; EPIPE if the other end is gone.
    pub fn send(&self, message: &Message) -> Result<()> {
        let (bytes, fd) = match message {
            Message::Mapped => (b"M".to_vec(), None),
            Message::Terminal(master) => (b"T".to_vec(), Some(master.as_fd())),
            Message::Created => (b"C".to_vec(), None),
            Message::Start => (b"S".to_vec(), None),
            Message::Failed(error) => {
                let mut bytes = b"F".to_vec();
                bytes.extend(serde_json::to_vec(error).unwrap_or_default());
                (bytes, None)
            }
            Message::End => return Ok(()),
        };
        channel::send(&self.0, &bytes, fd.as_slice()).at("sync", "send")
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// `kernel` for what the table does not know.
    pub fn receive(&self) -> Result<Message> {
        let mut fds = Vec::new();
        let bytes = channel::receive_message(&self.0, &mut fds).at("sync", "receive")?;
        match (bytes.first(), fds.pop()) {
            (None, _) => Ok(Message::End),
            (Some(b'M'), _) => Ok(Message::Mapped),
            (Some(b'T'), Some(master)) => Ok(Message::Terminal(master)),
            (Some(b'C'), _) => Ok(Message::Created),
            (Some(b'S'), _) => Ok(Message::Start),
            (Some(b'F'), _) => serde_json::from_slice(&bytes[1..])
                .map(Message::Failed)
                .map_err(|error| Error::new(Code::Kernel, "sync", "receive", error.to_string())),
            (Some(_), _) => Err(Error::new(Code::Kernel, "sync", "receive", "unknown message")),
        }
    }
}
