//! A limit of what a container sends: a token bucket on the interface of its network namespace (tc-tbf(8)).
//!
//! By hand, two messages of rtnetlink(7): a request that makes the queue, and one that reads it back.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::process::{WaitId, WaitIdOptions};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::{At, Code, Error, Result};
use crate::paths::{open_host, read_all};
use crate::sys::fork::{self, Fork};

/// linux/rtnetlink.h, linux/netlink.h, linux/pkt_sched.h.
const RTM_NEWQDISC: u16 = 36;
const RTM_GETQDISC: u16 = 38;
const NLMSG_ERROR: u16 = 2;
const REQUEST_AND_ACK: u16 = 1 | 4;
const ECHO: u16 = 8; // or the answer goes to those who listen to all
const REPLACE_OR_CREATE: u16 = 0x100 | 0x400;
const TC_H_ROOT: u32 = u32::MAX;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_TBF_PARMS: u16 = 1;
const TCA_TBF_BURST: u16 = 6;
const ETHERNET: u8 = 1;

/// What may be sent at once: more than a packet of pasta's, which have up to 64 KiB.
const BURST_BYTES: u32 = 256 << 10;

/// What may wait.
const QUEUE_BYTES: u32 = 1 << 20;

/// A header of netlink, and one of traffic control.
const HEAD_BYTES: usize = 16 + 20;

/// Limits what leaves `netns` by its first interface that is no loopback, to `rate` bytes per second.
///
/// # Errors
/// `kernel`, also if it says another rate afterwards.
pub fn limit(netns: BorrowedFd<'_>, rate: u32) -> Result<()> {
    // In a process of its own, for there is no way back into the machine's network namespace.
    match fork::fork_single(0, None).at("clone", "--network-rate")? {
        Fork::Child => {
            let code = match shape(netns, rate) {
                Ok(()) => 0,
                Err(errno) => errno.raw_os_error(),
            };
            fork::exit_now(code)
        }
        Fork::Parent { pidfd, .. } => wait(&pidfd, rate),
    }
}

fn wait(pidfd: &OwnedFd, rate: u32) -> Result<()> {
    let id = || WaitId::PidFd(pidfd.as_fd());
    let ended = rustix::io::retry_on_intr(|| rustix::process::waitid(id(), WaitIdOptions::EXITED))
        .at("wait", "--network-rate")?;
    match ended.and_then(|status| status.exit_status()) {
        Some(0) => Ok(()),
        Some(code) => {
            let error = Error::kernel("--network-rate", rate.to_string(), code);
            Err(match Errno::from_raw_os_error(code) {
                Errno::NOENT => error.with_hint("this kernel lacks the module sch_tbf"),
                _ => error,
            })
        }
        None => Err(Error::new(Code::Kernel, "--network-rate", rate.to_string(), "was killed")),
    }
}

fn shape(netns: BorrowedFd<'_>, rate: u32) -> std::result::Result<(), Errno> {
    move_into_link_name_space(netns, Some(LinkNameSpaceType::Network))?;
    let (family, flags) = (AddressFamily::NETLINK, SocketFlags::CLOEXEC);
    let socket = rustix::net::socket_with(family, SocketType::RAW, flags, None)?; // 0 is NETLINK_ROUTE
    let index = name_to_index(&socket, &interface().ok_or(Errno::NODEV)?)?;
    let mut options = Vec::new();
    attribute(&mut options, TCA_TBF_PARMS, &parameters(rate));
    attribute(&mut options, TCA_TBF_BURST, &BURST_BYTES.to_le_bytes());
    let mut make = request(RTM_NEWQDISC, REQUEST_AND_ACK | REPLACE_OR_CREATE, index);
    attribute(&mut make, TCA_KIND, b"tbf\0");
    attribute(&mut make, TCA_OPTIONS, &options);
    ask(&socket, make)?;
    let told = ask(&socket, request(RTM_GETQDISC, REQUEST_AND_ACK | ECHO, index))?;
    let wanted = parameters(rate);
    // The first twelve bytes, which are the rate; the kernel rounds what follows.
    let is_there =
        told.windows(12).any(|bytes| bytes[8..] == wanted[8..12] && bytes[1] == ETHERNET);
    if is_there { Ok(()) } else { Err(Errno::IO) }
}

/// The name of the first interface that is no loopback.
fn interface() -> Option<String> {
    let path = Path::new("/proc/thread-self/net/dev");
    let text = read_all(open_host(path, OFlags::RDONLY).ok()?, path, 1 << 16).ok()?;
    let text = String::from_utf8_lossy(&text);
    let mut names =
        text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim());
    names.find(|name| *name != "lo").map(str::to_owned)
}

/// `struct tc_tbf_qopt`: two rates of twelve bytes, the limit, the buffer and the largest packet, which is another
/// attribute's to say.
fn parameters(rate: u32) -> [u8; 36] {
    let mut bytes = [0; 36];
    (bytes[1], bytes[13]) = (ETHERNET, ETHERNET); // or it would ask for tables
    bytes[8..12].copy_from_slice(&rate.to_le_bytes());
    bytes[24..28].copy_from_slice(&QUEUE_BYTES.to_le_bytes());
    bytes
}

/// `struct nlmsghdr` without its length, and `struct tcmsg` of the root of interface `index`.
fn request(kind: u16, flags: u16, index: u32) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend(kind.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    bytes.extend([0; 12]); // sequence and port; family
    for number in [index, 0, TC_H_ROOT, 0] {
        bytes.extend(number.to_le_bytes());
    }
    debug_assert_eq!(bytes.len(), HEAD_BYTES);
    bytes
}

/// `struct rtattr` and its value, padded to four.
fn attribute(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    to.extend((value.len() as u16 + 4).to_le_bytes());
    to.extend(kind.to_le_bytes());
    to.extend(value);
    to.resize(to.len().next_multiple_of(4), 0);
}

/// Sends a request; what comes before the acknowledgement.
fn ask(socket: &OwnedFd, mut message: Vec<u8>) -> std::result::Result<Vec<u8>, Errno> {
    let length = message.len() as u32;
    message[..4].copy_from_slice(&length.to_le_bytes());
    rustix::net::send(socket, &message, SendFlags::empty())?;
    let mut told = Vec::new();
    loop {
        let mut chunk = [0; 8192];
        let (count, _) = rustix::net::recv(socket, &mut chunk, RecvFlags::empty())?;
        let mut rest = &chunk[..count];
        while let Some(head) = rest.get(..20) {
            let size = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
            if u16::from_le_bytes([head[4], head[5]]) == NLMSG_ERROR {
                let code = i32::from_le_bytes([head[16], head[17], head[18], head[19]]);
                return if code == 0 { Ok(told) } else { Err(Errno::from_raw_os_error(-code)) };
            }
            let size = size.clamp(16, rest.len());
            told.extend_from_slice(&rest[..size]);
            rest = &rest[size.next_multiple_of(4).min(rest.len())..];
        }
    }
}
