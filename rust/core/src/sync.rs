//! What init and its parent say to each other, over one SEQPACKET pair.
//!
//! | from   | message    | carries        | means                                                   |
//! |--------|------------|----------------|---------------------------------------------------------|
//! | parent | `Proceed`  | state for hooks| the ID maps are written: become root inside             |
//! | init   | `Hooks`    |                | mounts are made: run the hooks outside, then `Proceed`  |
//! | init   | `Terminal` | the pty master | a terminal was made; sent before `Created`              |
//! | init   | `Listener` | its descriptor | a filter that asks an agent is loaded; then `Proceed`   |
//! | init   | `Created`  | the program    | nothing is left but the filter and execve               |
//! | parent | `Start`    |                | execute                                                 |
//! | init   | `Failed`   | the error      | and init ends; at any time                              |
//! | init   | `Refused`  | step and errno | the same from the trampoline, which has no JSON         |
//! | init   | end        |                | after `Start`: execve happened, the socket closed on it |
//!
//! End of file the other way, before `Start`, means that nobody wants the container: init ends. Where the parent does
//! not stay (`pyrt-runtime create`), init then takes one connection on `start.sock` and says `Created` again there: that
//! is the pair from then on.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::channel;
use crate::error::{At, Code, Error, Result};
use crate::sys;
use crate::sys::trampoline;

/// One message; the first byte on the wire.
#[derive(Debug)]
pub enum Message {
    /// `P`, then the container's state as JSON if there are hooks for init to run.
    Proceed(Vec<u8>),
    /// `H`
    Hooks,
    /// `T`
    Terminal(OwnedFd),
    /// `L`
    Listener(OwnedFd),
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

    /// The client's end of a connection to a created init.
    ///
    /// # Errors
    /// `kernel`; ECONNREFUSED or ENOENT if nobody waits there.
    pub fn connect(address: &rustix::net::SocketAddrUnix, subject: &Path) -> Result<Self> {
        let socket = channel::socket().at("socket", subject)?;
        rustix::net::connect(&socket, address).at("connect", subject)?;
        Ok(Self(socket))
    }

    /// Waits for a connection and goes on with it, under our own number: the trampoline knows that one.
    ///
    /// # Errors
    /// `kernel`.
    pub fn continue_on(&self, listener: BorrowedFd<'_>) -> Result<()> {
        let flags = rustix::net::SocketFlags::CLOEXEC;
        let accept = || rustix::net::accept_with(listener, flags);
        let connection = rustix::io::retry_on_intr(accept).at("accept", "start")?;
        sys::files::replace(connection.as_fd(), self.0.as_fd()).at("dup3", "start")
    }

    /// Sends one message.
    ///
    /// # Errors
    /// `kernel`; EPIPE if the other end is gone.
    pub fn send(&self, message: &Message) -> Result<()> {
        let (bytes, fd) = match message {
            Message::Proceed(state) => ([b"P", state.as_slice()].concat(), None),
            Message::Hooks => (b"H".to_vec(), None),
            Message::Terminal(master) => (b"T".to_vec(), Some(master.as_fd())),
            Message::Listener(listener) => (b"L".to_vec(), Some(listener.as_fd())),
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
            (Some(b'P'), _) => Ok(Message::Proceed(bytes[1..].to_vec())),
            (Some(b'H'), _) => Ok(Message::Hooks),
            (Some(b'T'), Some(master)) => Ok(Message::Terminal(master)),
            (Some(b'L'), Some(listener)) => Ok(Message::Listener(listener)),
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
