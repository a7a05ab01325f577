//! Where systemd's manager listens, and a connection to it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::cgroup::dbus::{Body, Connection, Target};
use crate::error::{Code, Error, Result};

const BUS: Target = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus");
/// The manager's name on a bus.
pub(super) const DBUS_NAME: &str = "org.freedesktop.systemd1";

pub(super) const MANAGER: Target =
    (DBUS_NAME, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager");

/// Only the manager's signals reach us on a bus, and only if asked for.
const JOBS: &str = "type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

/// Where a manager listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The socket.
    pub path: PathBuf,
    /// Whether it is a bus, on which the manager is one of many; else it is the manager's own.
    pub is_bus: bool,
}

impl Address {
    /// As `Display` has it: `/path` of the manager's own socket, or `bus:/path`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let bus = text.strip_prefix("bus:");
        Self { path: PathBuf::from(bus.unwrap_or(text)), is_bus: bus.is_some() }
    }

    /// Where a user's manager may listen, the best first: its own socket, which needs no bus, then the bus. Of the
    /// environment's XDG_RUNTIME_DIR and DBUS_SESSION_BUS_ADDRESS, by which podman and others tell whose it is.
    #[must_use]
    pub fn of_user(runtime: Option<&OsStr>, bus: Option<&OsStr>) -> Vec<Self> {
        let runtime = runtime.map_or_else(
            || PathBuf::from(format!("/run/user/{}", rustix::process::geteuid().as_raw())),
            PathBuf::from,
        );
        let mut addresses = vec![Self { path: runtime.join("systemd/private"), is_bus: false }];
        if let Some(bus) = bus {
            let mut path = bus.as_bytes().split(|byte| matches!(byte, b';' | b','));
            let path = path.find_map(|part| part.strip_prefix(b"unix:path="));
            let path = path.map(|path| PathBuf::from(OsStr::from_bytes(path)));
            addresses.extend(path.map(|path| Self { path, is_bus: true }));
        }
        addresses.push(Self { path: runtime.join("bus"), is_bus: true });
        addresses
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_bus { "bus:" } else { "" })?;
        f.write_str(&self.path.to_string_lossy())
    }
}

/// The first manager that is there.
pub(super) fn connect(addresses: &[Address]) -> Result<Connection> {
    for address in addresses {
        let mut connection = match Connection::open(&address.path) {
            Err(error) if is_absent(&error) => continue,
            connection => connection?,
        };
        if address.is_bus {
            let mut rule = Body::default();
            rule.text(JOBS);
            connection.call(BUS, "Hello", "", &Body::default())?;
            connection.call(BUS, "AddMatch", "s", &rule)?;
            connection.call(MANAGER, "Subscribe", "", &Body::default())?;
        }
        return Ok(connection);
    }
    let paths: Vec<_> = addresses.iter().map(|address| address.path.to_string_lossy()).collect();
    let message = format!("no manager listens at {}", paths.join(", "));
    Err(Error::new(Code::Denied, "connect", "systemd", message).with_hint(
        "log in so that a user manager runs (`loginctl enable-linger`), or use --cgroup-manager cgroupfs",
    ))
}

fn is_absent(error: &Error) -> bool {
    matches!(error.errno, Some(libc::ENOENT | libc::ECONNREFUSED | libc::ENOTDIR | libc::EACCES))
}
