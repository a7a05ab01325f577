//! Between the user's descriptors and a terminal that we hold: exec's.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::termios::Winsize;

use super::output::Pending;
use super::{Signals, Streams, wait};
use crate::error::{At, Result};
use crate::sys::signal;
use crate::terminal::{self, DetachKeys, RawMode};
use crate::wire::{self, CHUNK_BYTES};

/// Relays between a terminal we hold and the user's descriptors until `process` ends; true if the user left before.
///
/// `reap` is called at once when it has ended, whatever of its output is still under way: the pid namespace of a
/// container does not end before. `orders` brings signals and ends when nobody waits for the result any more. As over a
/// socket, nothing waits but poll: a program that writes before it reads on would wait for us in turn.
///
/// # Errors
/// `kernel`.
pub fn over_terminal(
    master: &OwnedFd,
    process: &OwnedFd,
    orders: &impl Orders,
    streams: &Streams<'_>,
    reap: impl Fn() -> Result<()>,
) -> Result<bool> {
    let _raw = streams.stdin.map(RawMode::enter).transpose()?;
    rustix::io::ioctl_fionbio(master, true).at("ioctl", "terminal")?;
    follow_size(master, streams);
    let mut keys = DetachKeys::new(streams.detach_keys);
    let mut buffer = vec![0_u8; CHUNK_BYTES];
    let (mut input, mut typed) = (streams.stdin, Vec::new());
    let mut output: Option<(BorrowedFd<'_>, Pending)> = None;
    let (mut is_open, mut has_ended) = (true, false);
    loop {
        let mut wanted = PollFlags::empty();
        wanted.set(PollFlags::IN, output.is_none());
        wanted.set(PollFlags::OUT, !typed.is_empty());
        let events = wait([
            Some((orders.as_fd(), PollFlags::IN)),
            is_open.then_some((master.as_fd(), wanted)),
            (!has_ended).then_some((process.as_fd(), PollFlags::IN)),
            input.filter(|_| typed.is_empty()).map(|fd| (fd, PollFlags::IN)),
            output.as_ref().map(|(fd, _)| (*fd, PollFlags::OUT)),
        ])?;
        let [told, terminal, ended, said, room] = events.map(|flags| !flags.is_empty());
        if ended {
            has_ended = true;
            reap()?;
        }
        if told {
            match orders.next()? {
                Order::Leave => return Ok(true),
                Order::Signal(libc::SIGWINCH) => follow_size(master, streams),
                Order::Signal(number) => send_signal(process, number),
                Order::Nothing => {}
            }
        }
        if let (true, Some((fd, pending))) = (room, &mut output)
            && pending.advance(*fd)?
        {
            output = None;
        }
        if output.is_none() && (terminal || has_ended) {
            match rustix::io::read(master, &mut *buffer) {
                Ok(count @ 1..) => {
                    output = streams.stdout.map(|fd| (fd, Pending::new(buffer[..count].to_vec())));
                }
                // What it wrote is written, and nobody else has the terminal: its session's end hung it up.
                _ if has_ended => return Ok(false),
                Err(Errno::AGAIN | Errno::INTR) => {}
                // EIO: the last slave is closed. The process itself lives on without it.
                Ok(0) | Err(_) => is_open = false,
            }
        }
        if said && let Some(fd) = input {
            let count = match rustix::io::read(fd, &mut *buffer) {
                Err(Errno::AGAIN | Errno::INTR) => continue,
                Ok(0) | Err(_) => {
                    input = None;
                    0
                }
                Ok(count) => count,
            };
            let (bytes, detach) = keys.filter(&buffer[..count]);
            if detach {
                return Ok(true);
            }
            typed = bytes;
        }
        if !typed.is_empty() {
            match rustix::io::write(master, &typed) {
                Ok(count) => drop(typed.drain(..count)),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => typed.clear(), // EIO: nobody reads it
            }
        }
    }
}

/// What whoever waits for the end of a process wants of us meanwhile.
pub enum Order {
    /// This signal for the process.
    Signal(i32),
    /// Nobody waits any more.
    Leave,
    /// A false alarm.
    Nothing,
}

/// Where orders come from: readable when there is one.
pub trait Orders: AsFd {
    /// The next one.
    ///
    /// # Errors
    /// `kernel`.
    fn next(&self) -> Result<Order>;
}

/// Frames of [`wire`], from whoever started us.
impl Orders for OwnedFd {
    fn next(&self) -> Result<Order> {
        let order = wire::receive(self).at("exec", "receive")?;
        Ok(order.map_or(Order::Leave, |order| {
            Order::Signal(order.content.first().copied().map_or(0, i32::from))
        }))
    }
}

/// Our own signals.
impl Orders for Signals {
    fn next(&self) -> Result<Order> {
        Ok(self.take_next().map_or(Order::Nothing, Order::Signal))
    }
}

/// Sends a signal, if it is one.
pub fn send_signal(process: &OwnedFd, number: i32) {
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
