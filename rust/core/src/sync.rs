//! What init and its parent say to each other, over one SEQPACKET pair.
//!
//! | from   | message    | carries        | means                                                   |
//! |--------|------------|----------------|---------------------------------------------------------|
//! | parent | `Mapped`   |                | the ID maps are written: become root inside             |
//! | init   | `Terminal` | the pty master | a terminal was made; sent before `Created`              |
//! | init   | `Created`  | the program    | nothing is left but the filter and execve               |
//! | parent | `Start`    |                | execute                                                 |
//! | init   | `Failed`   | the error      | and init ends; at any time                              |
//! | init   | `Refused`  | step and errno | the same from the trampoline, which has no JSON         |
//! | init   | end        |                | after `Start`: execve happened, the socket closed on it |
//!
//! End of file the other way, before `Start`, means that nobody wants the container: init ends.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::channel;
use crate::error::{At, Code, Error, Result};
use crate::sys::trampoline;

/// One message; the first byte on the wire.
#[derive(Debug)]
pub enum Message {
    /// `M`
    Mapped,
    /// `T`
    Terminal(OwnedFd),
    /// `C`, then the path of the program.
    Created(String),
    /// `S`
    Start,
    /// `F`, then the error as JSON.
    Failed(Error),
    /// `E`, the step, two bytes of nothing, errno: see [`trampoline`].
    Refused {
        /// The trampoline's.
        step: u8,
        /// The kernel's.
        errno: i32,
    },
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
            Message::Created(path) => ([b"C", path.as_bytes()].concat(), None),
            Message::Start => (b"S".to_vec(), None),
            Message::Failed(error) => {
                let mut bytes = b"F".to_vec();
                bytes.extend(serde_json::to_vec(error).unwrap_or_default());
                (bytes, None)
            }
            // Only the trampoline says the one, only the kernel the other.
            Message::Refused { .. } | Message::End => return Ok(()),
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
            (Some(b'C'), _) => {
                Ok(Message::Created(String::from_utf8_lossy(&bytes[1..]).into_owned()))
            }
            (Some(b'S'), _) => Ok(Message::Start),
            (Some(b'F'), _) => serde_json::from_slice(&bytes[1..])
                .map(Message::Failed)
                .map_err(|error| Error::new(Code::Kernel, "sync", "receive", error.to_string())),
            (Some(b'E'), _) => match bytes.first_chunk::<{ trampoline::REPORT_BYTES }>() {
                Some(&[_, step, _, _, a, b, c, d]) => {
                    Ok(Message::Refused { step, errno: i32::from_le_bytes([a, b, c, d]) })
                }
                None => Err(Error::new(Code::Kernel, "sync", "receive", "short report")),
            },
            (Some(_), _) => Err(Error::new(Code::Kernel, "sync", "receive", "unknown message")),
        }
    }
}
