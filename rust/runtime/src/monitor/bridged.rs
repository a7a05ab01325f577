//! A container's place in bridge networks: registered with the supervisor for as long as we live, and anew with its successor.
//!
//! The sockets that listen on the host are ours: a port stays taken, and who connects waits, while there is no supervisor.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pyrt_core::bundle::{BridgeConfig, PortConfig};
use pyrt_core::wire::{self, Frame};
use pyrt_core::{At, Code, Error, Result, channel};
use rustix::event::Timespec;
use rustix::io::Errno;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// How many descriptors go in one message.
const TOGETHER: usize = 3;
/// A supervisor that says nothing for so long is none.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks for a new supervisor: the first at once, the last for ever.
const PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(640)];
const BACKLOG: i32 = 1024;

/// What is told of the container.
pub(super) struct Bridged {
    socket: PathBuf,
    /// The registration, but for whether it is ready.
    request: serde_json::Value,
    is_ready: bool,
    netns: OwnedFd,
    published: Vec<OwnedFd>,
    connection: Option<OwnedFd>,
    pause: Duration,
    next: Instant,
}

impl Bridged {
    /// Publishes the ports and registers the container, whose network namespace this is.
    pub(super) fn connect(
        config: &BridgeConfig,
        bundle: &Path,
        netns: &OwnedFd,
        is_again: bool,
    ) -> Result<Self> {
        let deadline = Instant::now() + PATIENCE;
        let published = config.ports.iter().map(|port| {
            loop {
                match listen(port) {
                    // The supervisor is about to let go of what we had before we began again.
                    Err(error)
                        if is_again
                            && error.errno == Some(libc::EADDRINUSE)
                            && Instant::now() < deadline =>
                    {
                        std::thread::sleep(PAUSES[0]);
                    }
                    listening => break listening,
                }
            }
        });
        let published = published.collect::<Result<Vec<_>>>()?;
        let ports: Vec<_> = config
            .ports
            .iter()
            .map(|port| serde_json::json!({"port": port.container_port, "protocol": port.protocol}))
            .collect();
        let request = serde_json::json!({"op": "register", "bundle": bundle, "ports": ports});
        let mut bridged = Self {
            socket: config.socket.clone(),
            request,
            is_ready: true,
            netns: netns.try_clone().at("dup", "network namespace")?,
            published,
            connection: None,
            pause: PAUSES[0],
            next: Instant::now(),
        };
        loop {
            match bridged.register() {
                // Between a supervisor and the next.
                Err(error)
                    if matches!(error.errno, Some(libc::ENOENT | libc::ECONNREFUSED))
                        && Instant::now() < deadline =>
                {
                    std::thread::sleep(PAUSES[0]);
                }
                registered => return registered.map(|()| bridged),
            }
        }
    }

    fn register(&mut self) -> Result<()> {
        let connection = channel::socket().at("socket", "network")?;
        for direction in [rustix::net::sockopt::Timeout::Recv, rustix::net::sockopt::Timeout::Send]
        {
            set_socket_timeout(&connection, direction, Some(PATIENCE)).at("socket", "network")?;
        }
        let address = SocketAddrUnix::new(&self.socket).at("connect", &self.socket)?;
        rustix::net::connect(&connection, &address).at("connect", &self.socket)?;
        let say = |what: &[u8], fds: &[BorrowedFd<'_>]| say(&connection, what, fds);
        for sockets in self.published.chunks(TOGETHER) {
            let fds: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
            say(br#"{"op":"listen"}"#, &fds)?;
        }
        self.request["ready"] = self.is_ready.into();
        say(self.request.to_string().as_bytes(), &[self.netns.as_fd()])?;
        self.connection = Some(connection);
        self.pause = PAUSES[0];
        self.request["again"] = true.into();
        Ok(())
    }

    /// Tells whether the container wants to be connected to; a successor of the supervisor hears it, too.
    pub(super) fn set_ready(&mut self, is_ready: bool) {
        if std::mem::replace(&mut self.is_ready, is_ready) == is_ready {
            return;
        }
        let Some(connection) = &self.connection else { return };
        let request = serde_json::json!({"op": "ready", "value": is_ready}).to_string();
        if say(connection, request.as_bytes(), &[]).is_err() {
            self.lose();
        }
    }

    /// What becomes readable when the supervisor is gone.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.connection.as_ref().map(AsFd::as_fd)
    }

    /// The supervisor is gone.
    pub(super) fn lose(&mut self) {
        self.connection = None;
        self.next = Instant::now();
    }

    /// How long until it is time to look for another.
    pub(super) fn timeout(&self) -> Option<Timespec> {
        let rest = self.next.saturating_duration_since(Instant::now()); // less than a second
        self.connection
            .is_none()
            .then(|| Timespec { tv_sec: 0, tv_nsec: i64::from(rest.subsec_nanos()) })
    }

    /// Looks for another supervisor, if it is time to.
    pub(super) fn look(&mut self) {
        if self.connection.is_none() && self.next <= Instant::now() && self.register().is_err() {
            // None yet: its keeper makes one.
            self.next = Instant::now() + self.pause;
            self.pause = (self.pause * 2).min(PAUSES[1]);
        }
    }
}

fn say(connection: &OwnedFd, what: &[u8], fds: &[BorrowedFd<'_>]) -> Result<wire::Received> {
    wire::send(connection, Frame::Request, what, fds).at("network", "register")?;
    wire::receive_answer(connection)
}

/// Listens on the host.
pub(crate) fn listen(port: &PortConfig) -> Result<OwnedFd> {
    let kind = match port.protocol.as_str() {
        "tcp" => SocketType::STREAM,
        _ => SocketType::DGRAM,
    };
    let all = [IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
    let bound = match port.host_ip {
        Some(address) => bind(address, port.host_port, kind),
        // Of both kinds, where the machine has both.
        None => match bind(all[0], port.host_port, kind) {
            Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) => bind(all[1], port.host_port, kind),
            bound => bound,
        },
    };
    bound.map_err(|errno| {
        let address = port.host_ip.unwrap_or(all[1]);
        let subject = format!("{}/{}", SocketAddr::from((address, port.host_port)), port.protocol);
        let code = if errno == Errno::ADDRINUSE { Code::Conflict } else { Code::Denied };
        Error::kernel("publish", subject, errno.raw_os_error()).with_code(code)
    })
}

fn bind(address: IpAddr, port: u16, kind: SocketType) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if kind == SocketType::STREAM {
        // What ended a moment ago does not keep the port.
        set_socket_reuseaddr(&socket, true)?;
    }
    if address.is_ipv6() {
        set_ipv6_v6only(&socket, !address.is_unspecified())?;
    }
    rustix::net::bind(&socket, &SocketAddr::from((address, port)))?;
    if kind == SocketType::STREAM {
        rustix::net::listen(&socket, BACKLOG)?;
    }
    Ok(socket)
}
