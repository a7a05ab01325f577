//! The container's terminal: made in its own devpts, never named by a path of the image.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Gid, OFlags, Uid};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::devices::bind_node;
use crate::error::{At, Code, Error, Result};
use crate::paths::open_in_root;
use crate::spec::Process;
use crate::sys::files::{place, set_controlling_terminal};

const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1;

/// A pseudo-terminal pair.
pub struct Console {
    /// For the monitor.
    pub master: OwnedFd,
    /// For the program.
    pub slave: OwnedFd,
}

impl Console {
    /// Makes a pair in the devpts at `/dev/pts` of `root`, owned by the program's user.
    ///
    /// CVE-2025-52565: the slave comes from the master (TIOCGPTPEER), not from a path below /dev/pts.
    ///
    /// # Errors
    /// `kernel`; `invalid_spec` if /dev/pts is no devpts.
    pub fn open(root: BorrowedFd<'_>, process: &Process) -> Result<Self> {
        let path = Path::new("/dev/pts/ptmx");
        let master = open_in_root(root, path, OFlags::RDWR | OFlags::NOCTTY)?;
        if rustix::fs::fstatfs(&master).at("statfs", path)?.f_type != DEVPTS_SUPER_MAGIC {
            let message = "a terminal needs a devpts mounted there";
            return Err(Error::new(Code::InvalidSpec, "process.terminal", "/dev/pts", message));
        }
        rustix::pty::unlockpt(&master).at("unlock terminal", path)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).at("open terminal", path)?;
        rustix::fs::fchown(&slave, Some(Uid::from_raw(process.user.uid)), None::<Gid>)
            .at("chown terminal", path)?;
        if let Some(size) = process.console_size {
            let size =
                Winsize { ws_row: size.height, ws_col: size.width, ws_xpixel: 0, ws_ypixel: 0 };
            rustix::termios::tcsetwinsize(&slave, size).at("resize terminal", path)?;
        }
        Ok(Self { master, slave })
    }

    /// Binds the slave on `/dev/console`.
    ///
    /// # Errors
    /// `kernel`.
    pub fn bind(&self, root: BorrowedFd<'_>) -> Result<()> {
        let dev = open_in_root(root, Path::new("/dev"), OFlags::PATH | OFlags::DIRECTORY)?;
        bind_node(dev.as_fd(), "console", self.slave.as_fd())
    }

    /// Makes the slave stdio and the controlling terminal of our session.
    ///
    /// # Errors
    /// `kernel`.
    pub fn take(&self) -> Result<()> {
        set_controlling_terminal(self.slave.as_fd()).at("set controlling terminal", "")?;
        for number in 0..3 {
            place(self.slave.as_fd(), number).at("dup2", "terminal")?;
        }
        Ok(())
    }
}
