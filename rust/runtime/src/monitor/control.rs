//! `control.sock`: questions about a container that lives, by whoever may open the run directory (0700).

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use pyrt_core::{At, Code, Error, Result};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde_json::Value;

/// The questions.
#[derive(Debug)]
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
    /// Ask it to end as its document says, end it after so long, and do not start it again.
    Stop {
        /// How long it is given.
        timeout_ms: u64,
    },
    /// Do the health check now.
    Check,
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
    /// What serde derives for an enum with a tag are ten kilobytes of code.
    pub(crate) fn parse(content: &[u8]) -> Result<Self> {
        let refuse = |message: &str| Error::new(Code::InvalidSpec, "control", "request", message);
        let value: Value =
            serde_json::from_slice(content).map_err(|error| refuse(&error.to_string()))?;
        let number = |name: &str| {
            value.get(name).and_then(Value::as_u64).ok_or_else(|| refuse(&format!("needs {name}")))
        };
        let short = |name: &str| number(name).map(|number| u16::try_from(number).unwrap_or(0));
        Ok(match value.get("op").and_then(Value::as_str).unwrap_or_default() {
            "state" => Self::State,
            "kill" => Self::Kill { signal: i32::from(short("signal")?) },
            "wait" => Self::Wait,
            "check" => Self::Check,
            "attach" => Self::Attach,
            "stop" => Self::Stop { timeout_ms: number("timeout_ms")? },
            "resize" => Self::Resize { rows: short("rows")?, columns: short("columns")? },
            "start" => Self::Start,
            "join" => Self::Join,
            "usage" => Self::Usage,
            "pod" => Self::Pod,
            "reopen" => Self::Reopen,
            "ready" => Self::Ready { value: value.get("value") == Some(&Value::Bool(true)) },
            _ => return Err(refuse("is unknown")),
        })
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
