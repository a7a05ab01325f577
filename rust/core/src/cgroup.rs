//! The container's cgroup (version 2): `<parent>/pyrt-<id>`, made below a delegated one, removed with the container.
//!
//! Init is born in it. The monitor is not, for pausing, killing and limits of the container must not hit it; and not
//! in a leaf beside it either: to remove that leaf it would have to move out, and moving a process waits for a
//! grace period of RCU (10 ms), which is more than the rest of a container's life. It stays where its caller is.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::{At, Result};
use crate::paths::open_host;

/// A container's cgroup.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    dir: OwnedFd,
}

impl Cgroup {
    /// Makes the container's cgroup below `parent`.
    ///
    /// # Errors
    /// `kernel` naming the directory; nothing is left.
    pub fn make(parent: &Path, id: &str) -> Result<Self> {
        let path = parent.join(format!("pyrt-{id}"));
        match rustix::fs::mkdir(&path, Mode::from_raw_mode(0o755)) {
            // What a lost monitor left; its processes are gone, or the container would be alive.
            Ok(()) | Err(Errno::EXIST) => Self::open(&path),
            Err(errno) => Err(errno).at("mkdir", &path),
        }
    }

    /// Opens one that was made.
    ///
    /// # Errors
    /// `not_found` or `kernel`.
    pub fn open(path: &Path) -> Result<Self> {
        let dir = open_host(path, OFlags::PATH | OFlags::DIRECTORY)?;
        Ok(Self { path: path.to_owned(), dir })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it if it is empty; whether it is gone. A busy one stays for the next sweep.
    #[must_use]
    pub fn remove(&self) -> bool {
        // EBUSY: a process is still dying in it.
        matches!(rustix::fs::rmdir(&self.path), Ok(()) | Err(Errno::NOENT))
    }
}

impl AsFd for Cgroup {
    /// For `CLONE_INTO_CGROUP`.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}
