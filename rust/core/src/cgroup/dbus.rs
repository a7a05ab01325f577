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

/// What one message may have: far more than any that we ask for.
const MESSAGE_LIMIT: usize = 1 << 20;

/// How long an answer may take. systemd needs 2 ms; one that is stuck must not take us along.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

const METHOD_CALL: u8 = 1;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// A value that a property of a unit can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    Bool(bool),
    Number(u64),
    Text(String),
    Numbers(Vec<u32>),
    Bytes(Vec<u8>),
}

/// A growing message body, or header: every value begins at a multiple of its size.
#[derive(Default)]
pub(super) struct Body(pub(super) Vec<u8>);

impl Body {
    fn align(&mut self, size: usize) {
        while !self.0.len().is_multiple_of(size) {
            self.0.push(0);
        }
    }

    pub(super) fn number(&mut self, value: u32) {
        self.align(4);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn bool(&mut self, value: bool) {
        self.number(value.into());
    }

    pub(super) fn text(&mut self, value: &str) {
        self.number(length(value.len()));
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, value: &str) {
        self.0.push(value.len().to_le_bytes()[0]);
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(0);
    }

    /// An array whose elements begin at a multiple of `size`; the padding before the first is not counted.
    pub(super) fn array(&mut self, size: usize, write: impl FnOnce(&mut Self)) {
        self.number(0);
        let head = self.0.len();
        self.align(size);
        let start = self.0.len();
        write(self);
        let count = length(self.0.len() - start);
        self.0[head - 4..head].copy_from_slice(&count.to_le_bytes());
    }

    /// `a(sv)`.
    pub(super) fn properties(&mut self, properties: &[(&str, Variant)]) {
        self.array(8, |body| {
            for (name, value) in properties {
                body.align(8);
                body.text(name);
                body.variant(value);
            }
        });
    }

    fn variant(&mut self, value: &Variant) {
        match value {
            Variant::Bool(value) => {
                self.signature("b");
                self.bool(*value);
            }
            Variant::Number(value) => {
                self.signature("t");
                self.align(8);
                self.0.extend_from_slice(&value.to_le_bytes());
            }
            Variant::Text(value) => {
                self.signature("s");
                self.text(value);
            }
            Variant::Numbers(values) => {
                self.signature("au");
                self.array(4, |body| values.iter().for_each(|value| body.number(*value)));
            }
            Variant::Bytes(values) => {
                self.signature("ay");
                self.array(1, |body| body.0.extend_from_slice(values));
            }
        }
    }
}

/// Nothing that we send is near 4 GiB; what were would be refused by the other side as malformed.
fn length(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// Whom a call is for: destination, path, interface.
pub(super) type Target = (&'static str, &'static str, &'static str);

/// A message that came in.
#[derive(Debug, Default)]
pub(super) struct Message {
    kind: u8,
    reply_to: Option<u32>,
    member: String,
    error: String,
    body: Vec<u8>,
}

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

    /// Calls a method and waits for its reply.
    pub(super) fn call(
        &mut self,
        target: Target,
        member: &str,
        signature: &str,
        body: &Body,
    ) -> Result<()> {
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
            return Ok(());
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

fn malformed() -> Error {
    Error::new(Code::Kernel, "receive", "systemd", "what it says is no D-Bus message")
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

fn method_call(serial: u32, target: Target, member: &str, signature: &str, body: &Body) -> Vec<u8> {
    let (destination, path, interface) = target;
    let mut head = Body(vec![b'l', METHOD_CALL, 0, 1]);
    head.number(length(body.0.len()));
    head.number(serial);
    head.array(8, |head| {
        for (code, kind, value) in
            [(1, "o", path), (2, "s", interface), (3, "s", member), (6, "s", destination)]
        {
            head.align(8);
            head.0.push(code);
            head.signature(kind);
            head.text(value);
        }
        if !signature.is_empty() {
            head.align(8);
            head.0.push(8);
            head.signature("g");
            head.signature(signature);
        }
    });
    head.align(8);
    head.0.extend_from_slice(&body.0);
    head.0
}

/// How long the first message is; None until its beginning is there.
fn message_size(data: &[u8]) -> Result<Option<usize>> {
    let Some(head) = data.get(..16) else { return Ok(None) };
    if head[0] != b'l' {
        return Err(malformed()); // of another byte order: no systemd of this machine
    }
    let mut reader = Reader { data: head, at: 4 };
    let (Some(body), Some(_), Some(fields)) = (reader.number(), reader.number(), reader.number())
    else {
        return Err(malformed());
    };
    let size = (16 + fields as usize).next_multiple_of(8) + body as usize;
    if size > MESSAGE_LIMIT {
        return Err(malformed());
    }
    Ok((data.len() >= size).then_some(size))
}

fn parse(data: &[u8]) -> Option<Message> {
    let mut message = Message { kind: *data.get(1)?, ..Message::default() };
    let mut reader = Reader { data, at: 4 };
    let (body, _, fields) = (reader.number()?, reader.number()?, reader.number()?);
    let end = 16 + fields as usize;
    while reader.at < end {
        reader.align(8);
        let code = reader.byte()?;
        let signature = reader.signature()?;
        match (code, signature.as_str()) {
            (5, "u") => message.reply_to = Some(reader.number()?),
            (3, "s") => message.member = reader.text()?,
            (4, "s") => message.error = reader.text()?,
            (_, "s" | "o") => drop(reader.text()?),
            (_, "g") => drop(reader.signature()?),
            (_, "u") => drop(reader.number()?),
            _ => return None, // no header field has another type
        }
    }
    let start = data.len().checked_sub(body as usize)?;
    message.body = data.get(start..)?.to_vec();
    Some(message)
}

/// Values out of bytes; None where they end too early.
struct Reader<'a> {
    data: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn align(&mut self, size: usize) {
        self.at = self.at.next_multiple_of(size);
    }

    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let taken = self.data.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn number(&mut self) -> Option<u32> {
        self.align(4);
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn text(&mut self) -> Option<String> {
        let size = self.number()?;
        let text = String::from_utf8_lossy(self.take(size as usize)?).into_owned();
        self.take(1)?;
        Some(text)
    }

    fn signature(&mut self) -> Option<String> {
        let size = self.byte()?;
        let text = String::from_utf8_lossy(self.take(size.into())?).into_owned();
        self.take(1)?;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::{Body, Reader, Variant, message_size, method_call, parse};

    const TARGET: super::Target = ("a.b", "/a/b", "a.b.C");

    fn body() -> Body {
        let mut body = Body::default();
        body.text("x.scope");
        body.properties(&[
            ("Delegate", Variant::Bool(true)),
            ("MemoryMax", Variant::Number(1 << 40)),
            ("PIDs", Variant::Numbers(vec![7, 9])),
            ("AllowedCPUs", Variant::Bytes(vec![3])),
            ("Slice", Variant::Text("user.slice".into())),
        ]);
        body
    }

    #[test]
    fn a_call_is_read_as_it_was_written() {
        let data = method_call(3, TARGET, "Do", "sa(sv)", &body());
        assert_eq!(message_size(&data).unwrap(), Some(data.len()));
        assert_eq!(message_size(&data[..data.len() - 1]).unwrap(), None);
        let message = parse(&data).unwrap();
        assert_eq!((message.kind, message.member.as_str(), message.reply_to), (1, "Do", None));
        assert_eq!(Reader { data: &message.body, at: 0 }.text().unwrap(), "x.scope");
        assert_eq!(message.body, body().0);
    }

    #[test]
    fn an_array_counts_its_elements_and_not_the_padding_before() {
        let mut body = Body::default();
        body.properties(&[("A", Variant::Bool(true))]);
        // Count, padding to 8; "A" with its length and NUL; signature "b"; padding to 4; true.
        let expected: &[u8] =
            &[16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'A', 0, 1, b'b', 0, 0, 0, 0, 1, 0, 0, 0];
        assert_eq!(body.0, expected);
    }

    #[test]
    fn what_ends_too_early_is_no_message() {
        let data = method_call(3, TARGET, "Do", "sa(sv)", &body());
        for end in 0..data.len() {
            let _ = parse(&data[..end]);
        }
        let mut huge = data;
        huge[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(message_size(&huge).is_err());
        huge[0] = b'B';
        assert!(message_size(&huge).is_err());
    }
}
