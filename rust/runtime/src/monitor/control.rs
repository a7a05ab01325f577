//! `control.sock`: questions about a container that lives, by whoever may open the run directory (0700).

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use pyrt_core::{At, Code, Error, Result};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde::Deserialize;

/// The questions.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(crate) enum Request {
    /// state.json's content.
    State,
    /// A signal for init.
    Kill {
        /// Its number.
        signal: i32,
    },
    /// Answered at the end.
    Wait,
    /// Output from now on, and input.
    Attach,
    /// The terminal's size.
    Resize {
        /// Rows.
        rows: u16,
        /// Columns.
        columns: u16,
    },
    /// Let init execute.
    Start,
    /// What exec needs: init's pidfd, the filter and the cgroup.
    Join,
    /// What only we can tell of what it uses.
    Usage,
    /// The log in a new file, after somebody has renamed the old one.
    Reopen,
    /// The namespaces that a pod's containers share; who asks is one of them, until it hangs up.
    Pod,
    /// Whether that one is ready for connections; who never says so always is.
    Ready {
        /// Yes or no.
        value: bool,
    },
}

impl Request {
    pub(crate) fn parse(content: &[u8]) -> Result<Self> {
        serde_json::from_slice(content)
            .map_err(|error| Error::new(Code::InvalidSpec, "control", "request", error.to_string()))
    }
}

/// Listens at `control.sock` in the run directory.
///
/// By way of the directory's descriptor: a socket's path has at most 107 bytes, and ours hold a 64-digit ID.
pub(crate) fn listen(run_dir: &OwnedFd) -> Result<OwnedFd> {
    let name = "control.sock";
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .at("socket", name)?;
    let path = format!("/proc/self/fd/{}/{name}", run_dir.as_fd().as_raw_fd());
    let address = SocketAddrUnix::new(path).at("bind", name)?;
    rustix::net::bind(&socket, &address).at("bind", name)?;
    rustix::net::listen(&socket, 16).at("listen", name)?;
    Ok(socket)
}
