//! Between the user's descriptors and a monitor's socket.
//!
//! Nothing in here waits but poll: whoever waited for room on one side would not hear the other, and a container that
//! writes before it reads on would wait for us in turn.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::PollFlags;
use rustix::io::Errno;

use super::output::{Pending, open_anew};
use super::{Outcome, Signals, Streams, wait};
use crate::channel;
use crate::error::{At, Error, Result};
use crate::terminal::{self, DetachKeys, RawMode};
use crate::wire::{self, CHUNK_BYTES, Frame, WINDOW_BYTES};

struct Relay<'a> {
    socket: BorrowedFd<'a>,
    streams: &'a Streams<'a>,
    /// Where output and errors go.
    targets: [Option<BorrowedFd<'a>>; 2],
    is_raw: bool,
    keys: DetachKeys,
    /// Until its end.
    input: Option<BorrowedFd<'a>>,
    /// Frames for the monitor.
    queue: VecDeque<Vec<u8>>,
    /// Input that the monitor has not taken yet.
    under_way: usize,
    output: Option<(BorrowedFd<'a>, Pending)>,
    buffer: Vec<u8>,
}

/// What is ready.
struct Ready {
    socket: bool,
    signals: bool,
    input: bool,
    output: bool,
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
    let own = [open_anew(streams.stdout), open_anew(streams.stderr)];
    let [stdout, stderr] = own.each_ref().map(|fd| fd.as_ref().map(AsFd::as_fd));
    let mut relay = Relay {
        socket,
        streams,
        targets: [stdout.or(streams.stdout), stderr.or(streams.stderr)],
        is_raw: raw.is_some(),
        keys: DetachKeys::new(if streams.tty { streams.detach_keys } else { b"" }),
        input: streams.stdin,
        queue: VecDeque::new(),
        under_way: 0,
        output: None,
        buffer: vec![0_u8; CHUNK_BYTES],
    };
    if relay.input.is_some() {
        relay.send(Frame::Feeds, b"");
    }
    relay.send_size();
    loop {
        relay.flush()?;
        let ready = relay.wait(&signals)?;
        if ready.signals {
            while let Some(number) = signals.take_next() {
                relay.forward_signal(number)?;
            }
        }
        if let (true, Some((fd, pending))) = (ready.output, &mut relay.output)
            && pending.advance(*fd)?
        {
            relay.output = None;
        }
        if ready.socket
            && let Some(outcome) = relay.receive()?
        {
            return Ok(outcome);
        }
        if ready.input && relay.read_input() {
            relay.flush()?;
            return Ok(Outcome::Detached);
        }
    }
}

impl Relay<'_> {
    fn wait(&self, signals: &Signals) -> Result<Ready> {
        let mut socket = PollFlags::empty();
        socket.set(PollFlags::IN, self.output.is_none());
        socket.set(PollFlags::OUT, !self.queue.is_empty());
        let has_room = self.queue.is_empty() && self.under_way < WINDOW_BYTES;
        let [socket, signals, input, output] = wait([
            Some((self.socket, socket)),
            Some((signals.as_fd(), PollFlags::IN)),
            self.input.filter(|_| has_room).map(|fd| (fd, PollFlags::IN)),
            self.output.as_ref().map(|(fd, _)| (*fd, PollFlags::OUT)),
        ])?;
        Ok(Ready {
            // All that poll tells of it but room is for receive to look into: a message, or its end.
            socket: self.output.is_none() && !socket.difference(PollFlags::OUT).is_empty(),
            signals: !signals.is_empty(),
            input: !input.is_empty(),
            output: !output.is_empty(),
        })
    }

    fn receive(&mut self) -> Result<Option<Outcome>> {
        let Some(received) = wire::receive(self.socket).at("monitor", "receive")? else {
            return Ok(Some(Outcome::Lost));
        };
        match received.frame {
            Frame::Stdout => {
                self.output = self.targets[0].map(|fd| (fd, Pending::new(received.content)));
            }
            Frame::Stderr => {
                self.output = self.targets[1].map(|fd| (fd, Pending::new(received.content)));
            }
            Frame::Taken => {
                let taken =
                    received.content.first_chunk().map_or(0, |&bytes| u32::from_le_bytes(bytes));
                self.under_way = self.under_way.saturating_sub(taken as usize);
            }
            Frame::Exited => return Ok(Some(Outcome::Exited(received.content))),
            Frame::Failed => return Err(wire::parse_error(&received.content)),
            _ => {}
        }
        Ok(None)
    }

    /// Reads what the user says; true if it was that they leave.
    fn read_input(&mut self) -> bool {
        let Some(fd) = self.input else { return false };
        let count = match rustix::io::read(fd, &mut *self.buffer) {
            Err(Errno::AGAIN | Errno::INTR) => return false, // another reader of the same terminal was faster
            // The user's terminal has hung up: nobody is there, and the container goes on without.
            Err(Errno::IO) if self.streams.tty => return true,
            Err(_) => 0, // there will be no more
            Ok(count) => count,
        };
        let (bytes, detach) = self.keys.filter(&self.buffer[..count]);
        if !bytes.is_empty() {
            self.under_way += bytes.len();
            self.send(Frame::Stdin, &bytes);
        }
        if count == 0 {
            self.input = None;
            self.send(Frame::Stdin, b"");
        }
        detach
    }

    fn forward_signal(&mut self, number: i32) -> Result<()> {
        if number == libc::SIGWINCH {
            self.send_size();
            return Ok(());
        }
        // A raw terminal sends Ctrl-C as a byte; a SIGINT that comes all the same is somebody's kill.
        let is_ours = self.streams.sig_proxy || self.is_raw;
        let Ok(byte) = u8::try_from(number) else { return Ok(()) };
        match number {
            _ if is_ours => self.send(Frame::Signal, &[byte]),
            // Without proxying, a signal means us.
            libc::SIGINT | libc::SIGTERM | libc::SIGHUP | libc::SIGQUIT => {
                return Err(Error::kernel("attach", "", libc::EINTR));
            }
            _ => {}
        }
        Ok(())
    }

    fn send_size(&mut self) {
        if !self.streams.tty {
            return;
        }
        let fd = self.streams.stdin.or(self.streams.stdout);
        if let Some((rows, columns)) = fd.and_then(terminal::size) {
            let ([r0, r1], [c0, c1]) = (rows.to_le_bytes(), columns.to_le_bytes());
            self.send(Frame::Resize, &[r0, r1, c0, c1]);
        }
    }

    fn send(&mut self, frame: Frame, content: &[u8]) {
        self.queue.push_back(wire::encode(frame, content));
    }

    /// Sends what the socket takes. A monitor that is gone is seen by the next receive.
    fn flush(&mut self) -> Result<()> {
        while let Some(message) = self.queue.front() {
            match channel::send_now(self.socket, message) {
                Ok(()) => drop(self.queue.pop_front()),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => self.queue.clear(),
                Err(errno) => return Err(errno).at("monitor", "send"),
            }
        }
        Ok(())
    }
}
