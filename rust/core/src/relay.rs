//! Bytes between a user's descriptors and a container: through the monitor's socket, or a terminal we hold.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::termios::Winsize;

use crate::error::{At, Error, Result};
use crate::paths::write_all;
use crate::sys::signal;
use crate::terminal::{self, DetachKeys, RawMode};
use crate::wire::{self, CHUNK_BYTES, Frame};

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

/// The user's side.
pub struct Streams<'a> {
    /// Input; none: the container's end of file at once.
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
    /// Takes [`FORWARDED`] for this thread.
    ///
    /// # Errors
    /// `kernel`.
    pub fn take() -> Result<Self> {
        let before = signal::block(&FORWARDED).at("block", "signals")?;
        match signal::descriptor(&FORWARDED).at("signalfd", "") {
            Ok(fd) => Ok(Self { before, fd }),
            Err(error) => {
                signal::restore(&before);
                Err(error)
            }
        }
    }

    /// The next pending one.
    #[must_use]
    pub fn next(&self) -> Option<i32> {
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

/// Relays over a monitor's socket until the end, or until the user detaches.
///
/// # Errors
/// The monitor's refusals; `kernel`.
pub fn over_socket(socket: BorrowedFd<'_>, streams: &Streams<'_>) -> Result<Outcome> {
    let signals = Signals::take()?;
    let raw = match streams.stdin {
        Some(stdin) if streams.tty => RawMode::enter(stdin)?,
        _ => None,
    };
    send_size(socket, streams);
    let mut keys = DetachKeys::new(if streams.tty { streams.detach_keys } else { b"" });
    let mut input = streams.stdin;
    if input.is_none() {
        send(socket, Frame::Stdin, b"")?;
    }
    let mut buffer = vec![0_u8; CHUNK_BYTES];
    loop {
        let mut fds = vec![
            PollFd::from_borrowed_fd(socket, PollFlags::IN),
            PollFd::new(&signals, PollFlags::IN),
        ];
        fds.extend(input.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        rustix::io::retry_on_intr(|| poll(&mut fds, None)).at("poll", "streams")?;
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if ready[1] {
            while let Some(number) = signals.next() {
                forward_signal(socket, streams, raw.is_some(), number)?;
            }
        }
        if ready[0] {
            match wire::receive(socket).at("monitor", "receive")? {
                None => return Ok(Outcome::Lost),
                Some(received) => match received.frame {
                    Frame::Stdout => output(streams.stdout, &received.content)?,
                    Frame::Stderr => output(streams.stderr, &received.content)?,
                    Frame::Exited => return Ok(Outcome::Exited(received.content)),
                    Frame::Failed => return Err(wire::parse_error(&received.content)),
                    _ => {}
                },
            }
        } else if let (Some(fd), Some(true)) = (input, ready.get(2)) {
            let count = rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut buffer));
            // The user's terminal has hung up: nobody is there, and the container goes on without.
            if streams.tty && matches!(count, Err(Errno::IO)) {
                return Ok(Outcome::Detached);
            }
            let (bytes, detach) = keys.filter(&buffer[..count.unwrap_or(0)]);
            if detach {
                return Ok(Outcome::Detached);
            }
            // A closed terminal reads EIO; either way there will be no more.
            if matches!(count, Ok(0) | Err(_)) {
                input = None;
                send(socket, Frame::Stdin, b"")?;
            } else if !bytes.is_empty() {
                send(socket, Frame::Stdin, &bytes)?;
            }
        }
    }
}

fn forward_signal(
    socket: BorrowedFd<'_>,
    streams: &Streams<'_>,
    is_raw: bool,
    number: i32,
) -> Result<()> {
    if number == libc::SIGWINCH {
        send_size(socket, streams);
        return Ok(());
    }
    // A raw terminal sends Ctrl-C as a byte; a SIGINT that comes all the same is somebody's kill.
    let is_ours = streams.sig_proxy || is_raw;
    let Ok(number) = u8::try_from(number) else { return Ok(()) };
    if is_ours { send(socket, Frame::Signal, &[number]) } else { interrupt(number) }
}

/// Without proxying, a signal means us.
fn interrupt(number: u8) -> Result<()> {
    match i32::from(number) {
        libc::SIGINT | libc::SIGTERM | libc::SIGHUP | libc::SIGQUIT => {
            Err(Error::kernel("attach", "", libc::EINTR))
        }
        _ => Ok(()),
    }
}

fn send_size(socket: BorrowedFd<'_>, streams: &Streams<'_>) {
    if !streams.tty {
        return;
    }
    let fd = streams.stdin.or(streams.stdout);
    if let Some((rows, columns)) = fd.and_then(terminal::size) {
        let ([r0, r1], [c0, c1]) = (rows.to_le_bytes(), columns.to_le_bytes());
        // A monitor that is gone is seen by the next receive.
        let _ = wire::send(socket, Frame::Resize, &[r0, r1, c0, c1], &[]);
    }
}

/// Sends; a monitor that is gone is seen by the next receive.
fn send(socket: BorrowedFd<'_>, frame: Frame, content: &[u8]) -> Result<()> {
    match wire::send(socket, frame, content, &[]) {
        Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => Ok(()),
        result => result.at("monitor", "send"),
    }
}

/// Writes output; a reader that is gone (`| head`) ends nothing but this stream's use.
fn output(fd: Option<BorrowedFd<'_>>, data: &[u8]) -> Result<()> {
    let Some(fd) = fd else { return Ok(()) };
    loop {
        match write_all(fd, data) {
            Err(Errno::PIPE) => return Ok(()),
            // The user's descriptor may be non-blocking; wait for room instead of losing bytes.
            Err(Errno::AGAIN) => {
                let mut wait = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
                rustix::io::retry_on_intr(|| poll(&mut wait, None)).at("poll", "output")?;
            }
            result => return result.at("write", "output"),
        }
    }
}

/// Relays between a terminal we hold (exec's) and the user's descriptors until `process` ends.
///
/// `orders` brings signals and ends when nobody waits for the result any more.
///
/// # Errors
/// `kernel`.
pub fn over_terminal(
    master: &OwnedFd,
    process: &OwnedFd,
    orders: BorrowedFd<'_>,
    streams: &Streams<'_>,
) -> Result<bool> {
    let _raw = streams.stdin.map(RawMode::enter).transpose()?;
    follow_size(master, streams);
    let mut keys = DetachKeys::new(streams.detach_keys);
    let mut input = streams.stdin;
    let mut buffer = vec![0_u8; CHUNK_BYTES];
    loop {
        let mut fds = vec![
            PollFd::new(master, PollFlags::IN),
            PollFd::from_borrowed_fd(orders, PollFlags::IN),
            PollFd::new(process, PollFlags::IN),
        ];
        fds.extend(input.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        rustix::io::retry_on_intr(|| poll(&mut fds, None)).at("poll", "streams")?;
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if ready[0] {
            match rustix::io::retry_on_intr(|| rustix::io::read(master, &mut buffer)) {
                // EIO: the last slave is closed. The process itself may live on without it.
                Ok(0) | Err(_) if ready[2] => return Ok(false),
                Ok(0) | Err(_) => {
                    let mut wait = [PollFd::new(process, PollFlags::IN)];
                    rustix::io::retry_on_intr(|| poll(&mut wait, None)).at("poll", "process")?;
                    return Ok(false);
                }
                Ok(count) => output(streams.stdout, &buffer[..count])?,
            }
            continue;
        }
        if ready[2] {
            return Ok(false);
        }
        if ready[1] {
            match wire::receive(orders).at("exec", "receive")? {
                None => return Ok(true),
                Some(order) if order.content == [28] => follow_size(master, streams),
                Some(order) => send_signal(process, &order.content),
            }
        }
        if let (Some(fd), Some(true)) = (input, ready.get(3)) {
            let count = rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut buffer));
            let (bytes, detach) = keys.filter(&buffer[..count.unwrap_or(0)]);
            if detach {
                return Ok(true);
            }
            if matches!(count, Ok(0) | Err(_)) {
                input = None;
            }
            match write_all(master, &bytes) {
                Ok(()) | Err(Errno::IO) => {}
                Err(errno) => return Err(errno).at("write", "terminal"),
            }
        }
    }
}

/// Sends the signal that an order names.
pub fn send_signal(process: &OwnedFd, content: &[u8]) {
    let number = content.first().copied().map_or(0, i32::from);
    if let Some(number) = signal::from_number(number) {
        // ESRCH: it has ended, which the next poll tells.
        let _ = rustix::process::pidfd_send_signal(process, number);
    }
}

fn follow_size(master: &OwnedFd, streams: &Streams<'_>) {
    if let Some((rows, columns)) = streams.stdin.or(streams.stdout).and_then(terminal::size) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // A terminal that is closing has no size to follow.
        let _ = rustix::termios::tcsetwinsize(master, size);
    }
}
