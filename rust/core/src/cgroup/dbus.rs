//! As much of D-Bus as asking systemd takes: one connection, method calls, their replies, and one signal
//! (dbus-specification.html, wire format version 1, little-endian).
//!
//! By hand: a library would be larger than all of the rest of this directory, and bring threads.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use crate::error::{At, Code, Error, Result};

mod wire;

pub(super) use wire::{Body, Target, Variant};
use wire::{ERROR, Message, Reader, SIGNAL, malformed, message_size, method_call, parse};

/// How long an answer may take. systemd needs 2 ms; one that is stuck must not take us along.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// An open connection.
pub(super) struct Connection {
    socket: OwnedFd,
    serial: u32,
    /// Received, and not taken out yet.
    input: Vec<u8>,
    /// JobRemoved, seen while something else was waited for: unit and result.
    jobs: Vec<(String, String)>,
    end: Instant,
}

impl Connection {
    /// Connects and says who we are: nothing but what the kernel says of us. An ID that we would spell ourselves would be
    /// that of our user namespace, which the other side does not know.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let address = SocketAddrUnix::new(path).at("connect", path)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .at("socket", path)?;
        rustix::net::connect(&socket, &address).at("connect", path)?;
        let end = Instant::now() + TIMEOUT;
        let mut connection = Self { socket, serial: 0, input: Vec::new(), jobs: Vec::new(), end };
        // BEGIN at once, and nothing behind it until the answer: what systemd reads together with BEGIN it forgets until
        // more comes (252; its own clients do as we do).
        connection.send(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        loop {
            let line = connection.line()?;
            if line == "DATA" {
                continue; // it asks for an identity; the second line gave an empty one
            }
            if line.starts_with("OK ") {
                return Ok(connection);
            }
            let message = format!("does not let us in: {line}");
            return Err(Error::new(Code::Denied, "connect", path.to_string_lossy(), message));
        }
    }

    /// Calls a method and waits for its end.
    pub(super) fn call(
        &mut self,
        target: Target,
        member: &str,
        signature: &str,
        body: &Body,
    ) -> Result<()> {
        self.ask(target, member, signature, body).map(drop)
    }

    /// The text of a property.
    pub(super) fn property(&mut self, subject: Target, name: &str) -> Result<String> {
        let (destination, path, interface) = subject;
        let target = (destination, path, "org.freedesktop.DBus.Properties");
        let mut body = Body::default();
        body.text(interface);
        body.text(name);
        let reply = self.ask(target, "Get", "ss", &body)?;
        Reader { data: &reply, at: 0 }.variant_text().ok_or_else(malformed)
    }

    /// Calls a method; the body of its reply.
    fn ask(
        &mut self,
        target: Target,
        member: &str,
        signature: &str,
        body: &Body,
    ) -> Result<Vec<u8>> {
        self.serial += 1;
        let serial = self.serial;
        let message = method_call(serial, target, member, signature, body);
        self.send(&message)?;
        loop {
            let reply = self.message()?;
            if reply.reply_to != Some(serial) {
                self.keep_signal(&reply);
                continue;
            }
            if reply.kind == ERROR {
                let text = Reader { data: &reply.body, at: 0 }.text().unwrap_or_default();
                let message = if text.is_empty() { reply.error.clone() } else { text };
                return Err(Error::new(code_of(&reply.error), member, "systemd", message));
            }
            return Ok(reply.body);
        }
    }

    /// Waits for the end of the job of a unit: `done`, `failed`, …
    pub(super) fn job_result(&mut self, unit: &str) -> Result<String> {
        loop {
            if let Some((_, result)) = self.jobs.iter().find(|(name, _)| name == unit) {
                return Ok(result.clone());
            }
            let message = self.message()?;
            self.keep_signal(&message);
        }
    }

    /// What is heard of a unit's jobs from now on is of those that begin now.
    pub(super) fn forget_jobs(&mut self) {
        self.jobs.clear();
    }

    /// JobRemoved(u id, o job, s unit, s result).
    fn keep_signal(&mut self, message: &Message) {
        if message.kind != SIGNAL || message.member != "JobRemoved" {
            return;
        }
        let mut reader = Reader { data: &message.body, at: 0 };
        let job = (reader.number(), reader.text(), reader.text(), reader.text());
        if let (Some(_), Some(_), Some(unit), Some(result)) = job {
            self.jobs.push((unit, result));
        }
    }

    fn send(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            match rustix::net::send(&self.socket, data, SendFlags::NOSIGNAL) {
                Ok(count) => data = &data[count..],
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT)?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).at("send", "systemd"),
            }
        }
        Ok(())
    }

    /// Receives some more.
    fn receive(&mut self) -> Result<()> {
        let mut chunk = [0_u8; 4096];
        loop {
            match rustix::net::recv(&self.socket, &mut chunk, RecvFlags::empty()) {
                Ok((0, _)) => {
                    let message = "closed the connection";
                    return Err(Error::new(Code::Kernel, "receive", "systemd", message));
                }
                Ok((count, _)) => {
                    self.input.extend_from_slice(&chunk[..count]);
                    return Ok(());
                }
                Err(Errno::AGAIN) => self.wait(PollFlags::IN)?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).at("receive", "systemd"),
            }
        }
    }

    fn wait(&self, flags: PollFlags) -> Result<()> {
        let left = self.end.saturating_duration_since(Instant::now());
        let timeout =
            Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        let mut waiting = [PollFd::new(&self.socket, flags)];
        match rustix::event::poll(&mut waiting, Some(&timeout)) {
            Ok(0) => {
                let message = format!("did not answer within {} s", TIMEOUT.as_secs());
                Err(Error::new(Code::Kernel, "ask", "systemd", message).with_hint(
                    "look at `systemctl --user status`, or use --cgroup-manager cgroupfs",
                ))
            }
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno).at("poll", "systemd"),
        }
    }

    fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.input.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.input[..end]).into_owned();
                self.input.drain(..end + 2);
                return Ok(line);
            }
            if self.input.len() > 4096 {
                return Err(malformed());
            }
            self.receive()?;
        }
    }

    fn message(&mut self) -> Result<Message> {
        loop {
            if let Some(size) = message_size(&self.input)? {
                let message = parse(&self.input[..size]);
                self.input.drain(..size);
                return message.ok_or_else(malformed);
            }
            self.receive()?;
        }
    }
}

/// systemd's and the bus's names for what we tell apart.
fn code_of(name: &str) -> Code {
    match name.rsplit('.').next().unwrap_or_default() {
        "UnitExists" => Code::Exists,
        "NoSuchUnit" => Code::NotFound,
        "AccessDenied" | "InteractiveAuthorizationRequired" => Code::Denied,
        "PropertyReadOnly" | "InvalidArgs" | "UnknownProperty" => Code::InvalidSpec,
        _ => Code::Kernel,
    }
}
