//! Ports of the node that are to be the machine's, too: the keeper, which is in the machine's network, listens for the
//! supervisor, which is not.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use pyrt_core::bundle::PortConfig;
use pyrt_core::paths::open_host;
use pyrt_core::sys::sockets::network_of;
use pyrt_core::wire::{self, Frame};
use pyrt_core::{At, Code, Error, Result, channel};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, fstat};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::forward::{Protocol, Published};
use super::services::shorten;
use crate::monitor::bridged::listen;

/// A keeper that says nothing for so long is none. The monitor that asks us for its container has more patience.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often and when it is asked again for a port that is taken.
const TURNS: u32 = 10;
const TURN: Duration = Duration::from_millis(20);

/// Does what the supervisor asks for.
pub(super) fn serve(supervisor: &OwnedFd) {
    let mut look = [PollFd::new(supervisor, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    while poll(&mut look, Some(&now)).is_ok_and(|count| count > 0) {
        let Ok(Some(request)) = wire::receive(supervisor) else { return };
        if request.frame != Frame::Request {
            continue; // that it is ready
        }
        let Some(answer) = request.fds.first() else { continue };
        let listening = serde_json::from_slice::<PortConfig>(&request.content)
            .map_err(|error| Error::new(Code::InvalidSpec, "publish", "request", error.to_string()))
            .and_then(|port| listen(&port));
        // A supervisor that is gone, or waits no more, needs no answer.
        let _ = match listening {
            Ok(socket) => wire::send(answer, Frame::Reply, b"{}", &[socket.as_fd()]),
            Err(error) => {
                let text = serde_json::to_vec(&error).unwrap_or_default();
                wire::send(answer, Frame::Failed, &text, &[])
            }
        };
    }
}

/// Adds the machine's ports to those that monitors in the node have opened there. One that cannot be had is the node's alone,
/// as a line of `log` says: a kubelet's pod is not to fail for want of what is not its machine.
pub(super) fn add(keeper: &OwnedFd, log: &Path, published: &mut Vec<Published>) -> Result<()> {
    let (mut found, mut silence) = (Vec::new(), None);
    for Published { socket, port } in &*published {
        if !is_ours(socket)? {
            continue; // the machine's already
        }
        let opened = match &silence {
            Some(error) => Err(Error::clone(error)), // one silence is enough
            None => open_soon(keeper, socket, port.protocol),
        };
        match opened {
            Ok(socket) => found.push(Published { socket, port: *port }),
            Err(error) => {
                silence = Some(&error).filter(|error| error.errno == Some(libc::EAGAIN)).cloned();
                let line = format!("{} {error}\n", pyrt_core::state::now());
                let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
                let file = rustix::fs::open(log, flags, Mode::RUSR | Mode::WUSR).at("open", log)?;
                shorten(&file).at("truncate", log)?;
                pyrt_core::paths::write_all(&file, line.as_bytes()).at("write", log)?;
            }
        }
    }
    published.extend(found);
    Ok(())
}

/// A forwarder that was ended a moment ago may have the port yet.
fn open_soon(keeper: &OwnedFd, published: &OwnedFd, protocol: Protocol) -> Result<OwnedFd> {
    for _ in 0..TURNS {
        match open(keeper, published, protocol) {
            Err(error) if error.errno == Some(libc::EADDRINUSE) => std::thread::sleep(TURN),
            opened => return opened,
        }
    }
    open(keeper, published, protocol)
}

/// A socket on the machine as the one that was opened in the node.
fn open(keeper: &OwnedFd, published: &OwnedFd, protocol: Protocol) -> Result<OwnedFd> {
    let address = rustix::net::getsockname(published).at("getsockname", "listener")?;
    let address = SocketAddr::try_from(address).at("getsockname", "listener")?;
    let request = serde_json::json!({
        "host_ip": Some(address.ip()).filter(|ip| !ip.is_unspecified()),
        "host_port": address.port(),
        "container_port": address.port(),
        "protocol": if protocol == Protocol::Tcp { "tcp" } else { "udp" },
    });
    // Each question has a socket of its own for its answer: one that is late goes nowhere.
    let (ours, theirs) = channel::pair()?;
    set_socket_timeout(&ours, Timeout::Recv, Some(PATIENCE)).at("socket", "keeper")?;
    wire::send(keeper, Frame::Request, request.to_string().as_bytes(), &[theirs.as_fd()])
        .at("publish", "keeper")?;
    drop(theirs);
    wire::receive_answer(&ours)?.fds.pop().ok_or_else(wire::lost)
}

/// Whether a socket is of our own network. The machine's is not ours to ask about.
fn is_ours(socket: &OwnedFd) -> Result<bool> {
    let theirs = match network_of(socket.as_fd()) {
        Err(Errno::PERM) => return Ok(false),
        theirs => fstat(theirs.at("ioctl", "listener")?).at("stat", "network namespace")?,
    };
    let own = open_host(Path::new("/proc/self/ns/net"), OFlags::RDONLY)?;
    let own = fstat(own).at("stat", "network namespace")?;
    Ok((own.st_dev, own.st_ino) == (theirs.st_dev, theirs.st_ino))
}
