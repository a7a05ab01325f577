//! The container's stdio as the monitor holds it: pipes, or one terminal.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use pyrt_core::paths::open_host;
use pyrt_core::wire::{CHUNK_BYTES, Frame};
use pyrt_core::{At, Result};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

/// Input beyond this waits in the client's socket.
const INPUT_BYTES: usize = 64 * 1024;

/// Our ends.
#[derive(Debug, Default)]
pub(crate) struct Stdio {
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    stdin: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
    /// The terminal's other end: a program that closes all of it, and opens /dev/console later, would find it hung up.
    _slave: Option<OwnedFd>,
    input: VecDeque<u8>,
    close_input: bool,
}

/// A descriptor to read output from, and what it is.
pub(crate) type Output<'a> = (BorrowedFd<'a>, Frame);

impl Stdio {
    /// Makes pipes; returns our ends and the container's three.
    pub(crate) fn pipes(keep_stdin: bool) -> Result<(Self, [OwnedFd; 3])> {
        let pipe = || pipe_with(PipeFlags::CLOEXEC).at("pipe", "stdio");
        let ((stdout, theirs_out), (stderr, theirs_err)) = (pipe()?, pipe()?);
        let (stdin, theirs_in) = if keep_stdin {
            let (read, write) = pipe()?;
            set_nonblocking(&write)?;
            (Some(write), read)
        } else {
            (None, open_host(Path::new("/dev/null"), OFlags::RDWR)?)
        };
        set_nonblocking(&stdout)?;
        set_nonblocking(&stderr)?;
        let ours = Self { stdout: Some(stdout), stderr: Some(stderr), stdin, ..Self::default() };
        Ok((ours, [theirs_in, theirs_out, theirs_err]))
    }

    /// Takes the terminal that init made; the pipes had nobody to write to them.
    pub(crate) fn use_terminal(&mut self, terminal: OwnedFd) -> Result<()> {
        set_nonblocking(&terminal)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = rustix::pty::ioctl_tiocgptpeer(&terminal, flags).at("open terminal", "")?;
        *self = Self { terminal: Some(terminal), _slave: Some(slave), ..Self::default() };
        Ok(())
    }

    /// What may be read from.
    pub(crate) fn outputs(&self) -> Vec<Output<'_>> {
        [
            (&self.stdout, Frame::Stdout),
            (&self.stderr, Frame::Stderr),
            (&self.terminal, Frame::Stdout),
        ]
        .into_iter()
        .filter_map(|(fd, frame)| fd.as_ref().map(|fd| (fd.as_fd(), frame)))
        .collect()
    }

    /// Where input is waiting to be written.
    pub(crate) fn pending_input(&self) -> Option<BorrowedFd<'_>> {
        if self.input.is_empty() { None } else { self.input_fd().map(AsFd::as_fd) }
    }

    fn input_fd(&self) -> Option<&OwnedFd> {
        self.terminal.as_ref().or(self.stdin.as_ref())
    }

    /// Whether clients are to hold their input back.
    pub(crate) fn is_full(&self) -> bool {
        self.input.len() >= INPUT_BYTES
    }

    /// Reads once from an output. `None`: nothing now; empty: it has ended and is closed.
    pub(crate) fn read(&mut self, frame: Frame, buffer: &mut [u8]) -> Option<usize> {
        let slot = match (frame, &self.terminal) {
            (Frame::Stderr, _) => &mut self.stderr,
            (_, Some(_)) => &mut self.terminal,
            _ => &mut self.stdout,
        };
        let fd = slot.as_ref()?;
        let limit = buffer.len().min(CHUNK_BYTES);
        match rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut buffer[..limit])) {
            Err(Errno::AGAIN) => None,
            // EIO: the last slave of a terminal is closed, which is its end of file.
            Ok(0) | Err(_) => {
                *slot = None;
                Some(0)
            }
            Ok(count) => Some(count),
        }
    }

    /// Queues input; the end of it closes a pipe once the rest is written, and means nothing to a terminal.
    pub(crate) fn push(&mut self, data: &[u8], close: bool) {
        if self.input_fd().is_some() {
            self.input.extend(data);
            self.close_input |= close && self.terminal.is_none();
            self.flush();
        }
    }

    /// Writes queued input as far as the container takes it.
    pub(crate) fn flush(&mut self) {
        while let (Some(fd), false) = (self.input_fd(), self.input.is_empty()) {
            let (head, _) = self.input.as_slices();
            match rustix::io::retry_on_intr(|| rustix::io::write(fd, head)) {
                Ok(count) => drop(self.input.drain(..count)),
                Err(Errno::AGAIN) => return,
                // EPIPE: the container has closed its stdin; nobody will read this.
                Err(_) => {
                    self.input.clear();
                    self.stdin = None;
                }
            }
        }
        if self.close_input && self.input.is_empty() {
            self.stdin = None;
        }
    }

    /// Tells the terminal its size; without one there is nothing to tell.
    pub(crate) fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        let Some(terminal) = &self.terminal else { return Ok(()) };
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(terminal, size).at("resize", "terminal")
    }
}

fn set_nonblocking(fd: &OwnedFd) -> Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd).at("fcntl", "stdio")?;
    rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK).at("fcntl", "stdio")
}
