//! A limit of what a container sends: a queue on the interface of its network namespace.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;
use rustix::process::{WaitId, WaitIdOptions};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::{At, Code, Error, Result};
use crate::netlink::Socket;
use crate::paths::{open_host, read_all};
use crate::sys::fork::{self, Fork};

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
    let socket = Socket::route()?;
    let index = name_to_index(&socket, &interface().ok_or(Errno::NODEV)?)?;
    socket.limit_rate(index, rate)
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
