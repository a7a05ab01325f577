//! Netlink (netlink(7)): what the kernel's networking is told. Messages are built here, and understood as far as bridges,
//! veth pairs, addresses, routes and nftables need it.

pub mod nftables;
pub mod queue;
pub mod route;

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::NETFILTER;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const DUMP: u16 = 0x300;
/// With a message that makes something: only if it is not there; otherwise what is there is kept.
const EXCLUSIVE: u16 = 0x200;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER: usize = 16;
const NESTED: u16 = 0x8000;

/// What one message may tell of an attribute is far less.
const ANSWER_BYTES: usize = 64 * 1024;

/// A message on its way to the kernel: a header, a family's fixed part, attributes.
#[derive(Debug)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(REQUEST | flags).to_ne_bytes());
        bytes.extend_from_slice(fixed);
        let mut message = Self { bytes };
        message.pad();
        message
    }

    fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
        self
    }

    /// A name: with its NUL.
    fn with_name(self, kind: u16, name: &str) -> Self {
        let mut value = name.as_bytes().to_vec();
        value.push(0);
        self.with(kind, &value)
    }

    fn with_u32(self, kind: u16, value: u32) -> Self {
        self.with(kind, &value.to_ne_bytes())
    }

    fn with_be32(self, kind: u16, value: u32) -> Self {
        self.with(kind, &value.to_be_bytes())
    }

    fn with_nested(mut self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self = fill(self);
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes[start + 2..start + 4].copy_from_slice(&(kind | NESTED).to_ne_bytes());
        self
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Wants an answer also if all is well.
    fn acknowledge(&mut self) {
        let flags = u16::from_ne_bytes([self.bytes[6], self.bytes[7]]) | ACK;
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
    }

    fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }
}

/// A socket of one netlink family, in the network namespace that it was opened in.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
}

impl Socket {
    /// For links, addresses and routes (rtnetlink(7)).
    ///
    /// # Errors
    /// socket(2)'s.
    pub fn route() -> Result<Self, Errno> {
        Self::open(None)
    }

    /// For nftables.
    ///
    /// # Errors
    /// socket(2)'s.
    pub fn netfilter() -> Result<Self, Errno> {
        Self::open(Some(NETFILTER))
    }

    fn open(family: Option<rustix::net::Protocol>) -> Result<Self, Errno> {
        let (domain, kind) = (AddressFamily::NETLINK, SocketType::RAW);
        let fd = rustix::net::socket_with(domain, kind, SocketFlags::CLOEXEC, family)?;
        Ok(Self { fd })
    }

    /// Sends one message and waits for the kernel's yes or no.
    fn ask(&self, mut message: Message) -> Result<(), Errno> {
        message.acknowledge();
        self.send(&message.finish(1))?;
        self.receive(1, &mut |_, _| {})
    }

    /// Sends several messages as one, and waits for the answer to the last.
    fn ask_all(&self, messages: Vec<Message>, answered: u32) -> Result<(), Errno> {
        let numbered = (0..).zip(messages).map(|(sequence, message)| message.finish(sequence));
        self.send(&numbered.collect::<Vec<_>>().concat())?;
        self.receive(answered, &mut |_, _| {})
    }

    /// Everything of a kind: `each` gets the bodies.
    fn dump(&self, message: Message, each: &mut dyn FnMut(u16, &[u8])) -> Result<(), Errno> {
        self.send(&message.finish(1))?;
        self.receive(1, each)
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Errno> {
        // Connected to nobody: the kernel is meant.
        rustix::io::retry_on_intr(|| rustix::net::send(&self.fd, bytes, SendFlags::empty()))?;
        Ok(())
    }

    /// Reads until the answer to `sequence`, or the first refusal of any.
    fn receive(&self, sequence: u32, each: &mut dyn FnMut(u16, &[u8])) -> Result<(), Errno> {
        let mut buffer = vec![0_u8; ANSWER_BYTES];
        loop {
            let (count, _) = rustix::io::retry_on_intr(|| {
                rustix::net::recv(&self.fd, buffer.as_mut_slice(), RecvFlags::empty())
            })?;
            let mut rest = &buffer[..count];
            while let Some((kind, number, body, next)) = split(rest) {
                match kind {
                    NLMSG_ERROR => {
                        let code = body.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                        if code != 0 {
                            return Err(Errno::from_raw_os_error(-code));
                        }
                        if number == sequence {
                            return Ok(());
                        }
                    }
                    NLMSG_DONE => return Ok(()),
                    _ => each(kind, body),
                }
                rest = next;
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The first of several messages: type, sequence number, body, the others.
fn split(bytes: &[u8]) -> Option<(u16, u32, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let header = bytes.get(..HEADER)?;
    let body = bytes.get(HEADER..length)?;
    let kind = u16::from_ne_bytes([header[4], header[5]]);
    let sequence = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
    Some((kind, sequence, body, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// Type and value of each attribute.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?) & !NESTED;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}
