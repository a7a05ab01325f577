//! The agent that answers for `SCMP_ACT_NOTIFY` (config-linux.md#seccomp, containerprocessstate).

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::{Filter, Seccomp};
use crate::channel;
use crate::error::{At, Result};
use crate::spec::{self, Spec};

/// A connection to the agent: one process, one message.
#[derive(Debug)]
pub struct Agent {
    socket: OwnedFd,
    /// As JSON.
    metadata: Option<String>,
    /// The container's state, as JSON.
    pub state: Vec<u8>,
}

impl Agent {
    /// Connects to the agent of a filter that has one; none where the filter asks nobody.
    ///
    /// Before anything is made, and before the paths of the host are out of reach: without its agent the program would
    /// wait for ever.
    ///
    /// # Errors
    /// `kernel` with `linux.seccomp.listenerPath` as the step.
    pub fn connect(spec: &Spec, filter: Option<&Filter>) -> Result<Option<Self>> {
        let profile = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
        let (Some(Seccomp { listener_path: Some(path), listener_metadata, .. }), Some(true)) =
            (profile, filter.map(Filter::has_listener))
        else {
            return Ok(None);
        };
        let (step, path) = ("linux.seccomp.listenerPath", Path::new(path));
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .at(step, path)?;
        let address = SocketAddrUnix::new(path).at(step, path)?;
        rustix::net::connect(&socket, &address).at(step, path)?;
        let metadata = listener_metadata.as_ref().and_then(|text| serde_json::to_string(text).ok());
        Ok(Some(Self { socket, metadata, state: Vec::new() }))
    }

    /// Hands over the descriptor on which process `pid` asks.
    ///
    /// # Errors
    /// `kernel`; EPIPE if the agent is gone.
    pub fn hand_over(&self, pid: u32, listener: &OwnedFd) -> Result<()> {
        let mut text = [
            "{\"ociVersion\":\"",
            spec::VERSION,
            "\",\"fds\":[\"seccompFd\"],\"pid\":",
            &pid.to_string(),
            ",\"state\":",
        ]
        .concat()
        .into_bytes();
        text.extend_from_slice(&self.state);
        if let Some(metadata) = &self.metadata {
            text.extend_from_slice(b",\"metadata\":");
            text.extend_from_slice(metadata.as_bytes());
        }
        text.push(b'}');
        // In one piece: agents read once.
        channel::send(&self.socket, &text, &[listener.as_fd()])
            .at("linux.seccomp.listenerPath", "send")
    }
}
