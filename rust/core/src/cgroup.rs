//! The container's cgroup (version 2): made below a delegated one, removed with the container.
//!
//! ```text
//! <parent>/pyrt-<id>/mon       the monitor: pausing, killing and limits of the container must not hit it
//! <parent>/pyrt-<id>/payload   init and all below it
//! ```

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{At, Result};
use crate::paths::{open_host, write_all};

/// A container's cgroup.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    dir: OwnedFd,
}

impl Cgroup {
    /// Makes the container's cgroup and its two leaves below `parent`.
    ///
    /// # Errors
    /// `kernel` naming the directory; nothing is left.
    pub fn make(parent: &Path, id: &str) -> Result<Self> {
        let path = parent.join(format!("pyrt-{id}"));
        match rustix::fs::mkdir(&path, Mode::from_raw_mode(0o755)) {
            // What a lost monitor left; its processes are gone, or the container would be alive.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).at("mkdir", &path),
        }
        let cgroup = Self::open(&path)?;
        for leaf in ["mon", "payload"] {
            match rustix::fs::mkdirat(&cgroup.dir, leaf, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => {
                    cgroup.remove();
                    return Err(errno).at("mkdir", path.join(leaf));
                }
            }
        }
        Ok(cgroup)
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

    /// A leaf, for `CLONE_INTO_CGROUP`.
    ///
    /// # Errors
    /// `kernel`.
    pub fn leaf(&self, name: &str) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.dir, name, flags, Mode::empty()).at("open", self.path.join(name))
    }

    /// Moves the calling process to the parent, so that `mon` can be removed.
    ///
    /// # Errors
    /// `kernel`: EBUSY where the parent hands controllers down and may hold no process itself.
    pub fn leave(&self) -> Result<()> {
        let path = self.path.join("../cgroup.procs");
        let file = open_host(&path, OFlags::WRONLY)?;
        write_all(&file, b"0").at("write", &path)
    }

    /// Removes the leaves and the cgroup where they are empty; a busy one stays for the next sweep.
    pub fn remove(&self) {
        for leaf in ["payload", "mon"] {
            // EBUSY: a process is still dying in it; ENOENT: somebody was faster.
            let _ = rustix::fs::unlinkat(self.dir.as_fd(), leaf, AtFlags::REMOVEDIR);
        }
        let _ = rustix::fs::rmdir(&self.path);
    }
}
