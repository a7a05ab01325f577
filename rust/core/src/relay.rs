//! Bytes between a user's descriptors and a container: through the monitor's socket, or a terminal we hold.

mod output;
mod socket;
mod terminal;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};

use crate::error::{At, Result};
use crate::sys::signal;

pub use output::{Pending, open_anew};
pub use socket::over_socket;
pub use terminal::{Order, Orders, over_terminal, send_signal};

/// podman's list: everything that can be caught, but for what belongs to our own children and debuggers.
pub const FORWARDED: [i32; 14] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGTERM,
    libc::SIGCONT,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGWINCH,
    libc::SIGIO,
    libc::SIGPWR,
];

/// What a thread beside the first takes: what is sent to the process is for all of it, and a service that relays for
/// many is ended by nobody's terminal.
const OF_A_THREAD: [i32; 2] = [libc::SIGHUP, libc::SIGWINCH];

/// The user's side.
pub struct Streams<'a> {
    /// Input; none: the container's stays as it is.
    pub stdin: Option<BorrowedFd<'a>>,
    /// Output.
    pub stdout: Option<BorrowedFd<'a>>,
    /// Output.
    pub stderr: Option<BorrowedFd<'a>>,
    /// Whether the container has a terminal.
    pub tty: bool,
    /// Keys that leave it running.
    pub detach_keys: &'a [u8],
    /// Whether our signals become the container's.
    pub sig_proxy: bool,
}

/// How a relay ended.
#[derive(Debug)]
pub enum Outcome {
    /// The container ended; exit.json.
    Exited(Vec<u8>),
    /// The user left it running.
    Detached,
    /// The monitor is gone without a word.
    Lost,
}

/// Signals blocked in this thread and read as a descriptor; restored when dropped.
pub struct Signals {
    before: signal::Mask,
    fd: OwnedFd,
}

impl Signals {
    /// Takes [`FORWARDED`] for this thread; of a thread that is not the process's first only what is sent to itself.
    ///
    /// # Errors
    /// `kernel`.
    pub fn take() -> Result<Self> {
        let is_first = rustix::thread::gettid() == rustix::process::getpid();
        let taken: &[i32] = if is_first { &FORWARDED } else { &OF_A_THREAD };
        let before = signal::block(taken).at("block", "signals")?;
        match signal::descriptor(taken).at("signalfd", "") {
            Ok(fd) => Ok(Self { before, fd }),
            Err(error) => {
                signal::restore(&before);
                Err(error)
            }
        }
    }

    /// The next pending one.
    #[must_use]
    pub fn take_next(&self) -> Option<i32> {
        signal::next(self.fd.as_fd()).ok().flatten()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        signal::restore(&self.before);
    }
}

/// Waits until one of them is ready, and says for each what it is.
///
/// Whatever is not asked for is left out: poll tells a hang-up unasked, and would tell it for ever.
///
/// # Errors
/// `kernel`.
pub fn wait<const N: usize>(
    sources: [Option<(BorrowedFd<'_>, PollFlags)>; N],
) -> Result<[PollFlags; N]> {
    let sources = sources.map(|source| source.filter(|(_, flags)| !flags.is_empty()));
    let entries = sources.iter().flatten();
    let mut fds: Vec<PollFd<'_>> =
        entries.map(|&(fd, flags)| PollFd::from_borrowed_fd(fd, flags)).collect();
    rustix::io::retry_on_intr(|| poll(&mut fds, None)).at("poll", "streams")?;
    let mut events = fds.iter().map(PollFd::revents);
    Ok(sources.map(|source| source.and_then(|_| events.next()).unwrap_or(PollFlags::empty())))
}
