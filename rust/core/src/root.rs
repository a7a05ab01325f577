//! A container's root from outside: of one that runs through its init, of one that does not by mounting its overlay.
//!
//! The caller is root of the user's namespace. A container that does not run is locked by the caller's caller: one
//! upper directory is never mounted twice.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags, Stat, fstat, readlinkat};
use rustix::io::Errno;
use rustix::process::DumpableBehavior;
use rustix::thread::ThreadNameSpaceType;

use crate::bundle;
use crate::error::{At, Code, Error, Result};
use crate::mount::clone_tree;
use crate::paths::{open_host, try_open_in_root};
use crate::rootfs::Sources;
use crate::sys;

/// An open root.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    /// The machine's procfs, which names descriptors: the container's may be anything.
    proc: OwnedFd,
}

/// What is at a path.
#[derive(Debug)]
pub struct Found {
    /// Where it really is, from the root, no symbolic link on the way.
    pub path: PathBuf,
    /// Its type, mode and size.
    pub stat: Stat,
}

impl Root {
    /// The root as the container `init` sees it, with its mounts; `bare` without them.
    ///
    /// # Errors
    /// `kernel`; ESRCH for an init that has ended.
    pub fn of_running(init: BorrowedFd<'_>, bare: bool) -> Result<Self> {
        let proc = open_proc()?;
        // What shares a pid namespace with us could look at us otherwise, and through us at the machine.
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).at("prctl", "")?;
        rustix::thread::move_into_thread_name_spaces(init, ThreadNameSpaceType::MOUNT)
            .at("setns", "the container's mounts")?;
        let mut fd = open_host(Path::new("/"), OFlags::PATH | OFlags::DIRECTORY)?;
        if bare {
            fd = clone_tree(fd.as_fd(), false, "/")?;
        }
        Ok(Self { fd, proc })
    }

    /// The root of the container in `bundle`, which does not run, with what is bound into it; `bare` without that.
    ///
    /// # Errors
    /// `kernel` naming the mount; `invalid_spec` for a broken bundle.
    pub fn of_stopped(bundle: &Path, bare: bool) -> Result<Self> {
        let proc = open_proc()?;
        let spec = bundle::read_spec(bundle)?;
        let mut rootfs = bundle::read_monitor_config(bundle)?.rootfs;
        if let Some(rootfs) = &mut rootfs {
            // It would forbid the next mount, which is the container's own.
            rootfs.volatile = false;
        }
        sys::fork::unshare(sys::fork::CLONE_NEWNS).at("unshare", "mount namespace")?;
        let sources = Sources::open(&spec, bundle, rootfs.as_ref(), None)?;
        let fd = sources.build_idle(&spec, !bare)?;
        Ok(Self { fd, proc })
    }

    /// A directory as the root, with what is mounted in it: a volume.
    ///
    /// # Errors
    /// `not_found`, `kernel` naming it.
    pub fn of_directory(path: &Path) -> Result<Self> {
        let fd = open_host(path, OFlags::PATH | OFlags::DIRECTORY)?;
        Ok(Self { fd, proc: open_proc()? })
    }

    /// A descriptor of the root.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// What is at `path`, links followed as the container would; `None` for nothing.
    ///
    /// # Errors
    /// `kernel` with the path.
    pub fn find(&self, path: &Path) -> Result<Option<Found>> {
        let fd = match try_open_in_root(self.fd.as_fd(), path, OFlags::PATH) {
            Err(Errno::NOENT) => return Ok(None),
            other => other.at("open", path)?,
        };
        let stat = fstat(&fd).at("stat", path)?;
        let (root, here) = (self.name(self.fd.as_fd())?, self.name(fd.as_fd())?);
        let below = here.strip_prefix(&root).unwrap_or(&here);
        Ok(Some(Found { path: Path::new("/").join(below), stat }))
    }

    /// The file or directory at `path`, open for reading.
    ///
    /// # Errors
    /// `not_found`, `kernel`; `unsupported` for what is neither.
    pub fn open(&self, path: &Path) -> Result<OwnedFd> {
        let open = |flags| {
            let fd = try_open_in_root(self.fd.as_fd(), path, flags).at("open", path);
            let fd = fd.map_err(|error| match error.errno {
                Some(libc::ENOENT) => error.with_code(Code::NotFound),
                _ => error,
            })?;
            let kind = FileType::from_raw_mode(fstat(&fd).at("stat", path)?.st_mode);
            if matches!(kind, FileType::RegularFile | FileType::Directory) {
                return Ok(fd);
            }
            let message = "is neither a file nor a directory";
            Err(Error::new(Code::Unsupported, "copy", path.to_string_lossy(), message))
        };
        // Looked at before it is opened: opening a device or a fifo does something.
        open(OFlags::PATH)?;
        open(OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)
    }

    fn name(&self, fd: BorrowedFd<'_>) -> Result<PathBuf> {
        let link = format!("self/fd/{}", fd.as_raw_fd());
        let name = readlinkat(&self.proc, link, Vec::new()).at("readlink", "descriptor")?;
        Ok(PathBuf::from(OsStr::from_bytes(name.to_bytes())))
    }
}

fn open_proc() -> Result<OwnedFd> {
    open_host(Path::new("/proc"), OFlags::PATH | OFlags::DIRECTORY)
}
