//! sd_notify(3) of a container, passed on to whoever started us under systemd.
//!
//! The container gets a directory of ours and the name of a socket in it, never the host's socket. `start` stays until the
//! container has said that it is ready.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use pyrt_core::relay;
use pyrt_core::spec::{Mount, Spec};
use pyrt_core::{At, Result};
use rustix::event::PollFlags;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use super::container::Directory;

const DIRECTORY: &str = "notify";
const SOCKET: &str = "notify/notify.sock";
const INSIDE: &str = "/run/notify";

fn host_socket() -> Option<std::ffi::OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty())
}

/// Gives the container a place for its notifications, if somebody listens; whether it did.
pub(super) fn prepare(directory: &Directory, spec: &mut Spec) -> Result<bool> {
    let (Some(_), Some(process)) = (host_socket(), &mut spec.process) else { return Ok(false) };
    rustix::fs::mkdirat(&directory.fd, DIRECTORY, Mode::from_raw_mode(0o755))
        .at("mkdir", DIRECTORY)?;
    process.env.push(format!("NOTIFY_SOCKET={INSIDE}/notify.sock"));
    let options = ["bind", "nosuid", "noexec", "nodev", "ro", "private"];
    spec.mounts.push(Mount {
        destination: INSIDE.to_owned(),
        fs_type: Some("bind".to_owned()),
        source: Some(directory.path.join(DIRECTORY).to_string_lossy().into_owned()),
        options: options.map(str::to_owned).to_vec(),
        ..Mount::default()
    });
    Ok(true)
}

/// Between the container's socket and the host's.
pub(super) struct Proxy {
    inside: OwnedFd,
    host: OwnedFd,
    pid: u32,
}

impl Proxy {
    /// Listens in the container's directory; none if nobody waits for it.
    pub(super) fn open(directory: &Directory, pid: u32) -> Result<Option<Self>> {
        let Some(path) = host_socket() else { return Ok(None) };
        let datagram = || {
            let flags = SocketFlags::CLOEXEC;
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)
        };
        let inside = datagram().at("socket", SOCKET)?;
        // One that a killed `start` has left would be in the way.
        match rustix::fs::unlinkat(&directory.fd, SOCKET, rustix::fs::AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno).at("unlink", SOCKET),
        }
        match rustix::net::bind(&inside, &directory.address(SOCKET)?) {
            // Created when nobody listened yet.
            Err(Errno::NOENT) => return Ok(None),
            result => result.at("bind", SOCKET)?,
        }
        // Whoever the program runs as must be able to write to it.
        let mode = Mode::from_raw_mode(0o777);
        rustix::fs::chmodat(&directory.fd, SOCKET, mode, rustix::fs::AtFlags::empty())
            .at("chmod", SOCKET)?;
        let address = match path.as_bytes() {
            [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name),
            _ => SocketAddrUnix::new(path.as_os_str()),
        };
        let host = datagram().at("socket", "NOTIFY_SOCKET")?;
        rustix::net::connect(&host, &address.at("connect", "NOTIFY_SOCKET")?)
            .at("connect", "NOTIFY_SOCKET")?;
        Ok(Some(Self { inside, host, pid }))
    }

    /// Passes one message on if it says that the container is ready; whether it did. Nothing else goes through: the
    /// pid of the host is ours to tell.
    pub(super) fn pass(&self) -> Result<bool> {
        let mut buffer = [0_u8; 4096];
        let receive = || rustix::net::recv(&self.inside, &mut buffer, RecvFlags::empty());
        let (_, count) = rustix::io::retry_on_intr(receive).at("receive", SOCKET)?;
        let text = String::from_utf8_lossy(&buffer[..count.min(4096)]).into_owned();
        let Some(ready) = text.lines().find(|line| line.starts_with("READY=")) else {
            return Ok(false);
        };
        let message = format!("{ready}\nMAINPID={}\n", self.pid);
        rustix::net::send(&self.host, message.as_bytes(), SendFlags::NOSIGNAL)
            .at("send", "NOTIFY_SOCKET")?;
        Ok(true)
    }

    /// Waits until the container is ready, or has ended.
    pub(super) fn wait_ready(&self, process: &OwnedFd) -> Result<()> {
        loop {
            let sources = [(self.inside.as_fd(), PollFlags::IN), (process.as_fd(), PollFlags::IN)];
            let [said, ended] = relay::wait(sources.map(Some))?.map(|flags| !flags.is_empty());
            if (said && self.pass()?) || (ended && !said) {
                return Ok(());
            }
        }
    }
}

impl AsFd for Proxy {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.inside.as_fd()
    }
}
