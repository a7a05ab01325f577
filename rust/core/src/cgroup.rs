//! The container's cgroup (version 2): a directory held by a descriptor, made below a delegated one, removed with the
//! container.
//!
//! | | |
//! |---|---|
//! | [`place`] | where `linux.cgroupsPath` is, made and given its controllers; taken back |
//! | [`resources`] | `linux.resources`, typed; what cannot be is refused by name |
//! | [`limits`] | resources written to the cgroup's files |
//! | [`address`] | where systemd listens |
//! | [`systemd`] | the same by systemd, as a scope |
//! | [`user_scope`] | one scope for all of a user's containers |
//! | [`freeze`] | stop, go, kill: all processes of the cgroup at once |
//! | [`stats`] | what was used, as `runc events` tells it |
//! | [`watch`] | waiting for a kill for want of memory, and for the end |
//!
//! Init is born in its cgroup. The monitor is not, for pausing, killing and limits of the container must not hit it;
//! and not in a leaf beside it either: to remove that leaf it would have to move out, and moving a process waits for a
//! grace period of RCU (10 ms), which is more than the rest of a container's life. It stays where its caller is.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::{At, Code, Error, Result};
use crate::paths::{open_host, read_host, write_all};

pub mod address;
mod controllers;
mod dbus;
pub mod freeze;
pub mod limits;
mod object;
pub mod place;
mod removal;
pub mod resources;
pub mod stats;
pub mod systemd;
#[cfg(test)]
mod tests;
pub mod user_scope;
pub mod watch;

pub use place::Place;
pub use removal::take_back;
pub use resources::Resources;

/// A file of a cgroup is at most this long: memory.stat of a large machine has some 5 kB, cgroup.procs a line per process.
const FILE_LIMIT: usize = 16 << 20;

/// A container's cgroup.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    dir: OwnedFd,
}

impl Cgroup {
    /// Makes the container's cgroup `pyrt-<id>` below `parent`.
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

    /// Opens one below it, that exists: for exec into a part of the container.
    ///
    /// # Errors
    /// `invalid_spec` for a path that leads out; `not_found` or `kernel`.
    pub fn open_below(&self, path: &str) -> Result<Self> {
        place::check_path("cgroup", path)?;
        let relative = path.trim_matches('/');
        if relative.is_empty() {
            return Self::open(&self.path);
        }
        let whole = self.path.join(relative);
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat2(&self.dir, relative, flags, Mode::empty(), beneath)
            .at("open", &whole)
            .map_err(|error| match error.errno {
                Some(libc::ENOENT) => error.with_code(Code::NotFound),
                _ => error,
            })?;
        Ok(Self { path: whole, dir })
    }

    /// Where a process that joins the container is born: in it, or, if the container has parted itself, where its init is.
    /// Into a cgroup that gives controllers to those below it nothing may be cloned (EBUSY; cgroup-v2.rst, No Internal
    /// Process Constraint).
    ///
    /// # Errors
    /// `kernel`.
    pub fn for_exec(self, init: u32) -> Result<Self> {
        if self.read("cgroup.subtree_control")?.is_none_or(|text| text.trim().is_empty()) {
            return Ok(self);
        }
        let text = read_host(Path::new(&format!("/proc/{init}/cgroup")), 65536)?;
        let text = String::from_utf8_lossy(&text);
        let (Some(inner), Some(mount)) = (place::parse_own(&text), place::find_mount()?) else {
            return Ok(self);
        };
        match place::join(&mount, inner).strip_prefix(&self.path) {
            Ok(below) => self.open_below(&below.to_string_lossy()),
            Err(_) => Ok(self), // it left, and the kernel's refusal is the one to tell
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, and what the container made below it, if no process is there; whether it is gone. A busy one stays for
    /// the next sweep.
    #[must_use]
    pub fn remove(&self) -> bool {
        let try_once = || rustix::fs::rmdir(&self.path);
        match try_once() {
            Ok(()) | Err(Errno::NOENT) => true,
            // With none below, a process is still dying in it.
            Err(Errno::BUSY) => self.children().is_ok_and(|below| {
                !below.is_empty() && below.iter().all(Self::remove) && try_once().is_ok()
            }),
            Err(_) => false,
        }
    }

    /// The content of one of its files; None where there is no such file, as without its controller, or where the
    /// cgroup is gone.
    ///
    /// # Errors
    /// `kernel`.
    pub fn read(&self, file: &str) -> Result<Option<String>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = self.path.join(file);
        let opened = match rustix::fs::openat(&self.dir, file, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NODEV) => return Ok(None),
            opened => opened.at("open", &path)?,
        };
        match crate::paths::read_all(opened, &path, FILE_LIMIT) {
            // ENODEV: removed since; EOPNOTSUPP: PSI switched off, or processes asked of a threaded cgroup.
            Err(error) if matches!(error.errno, Some(libc::ENODEV | libc::EOPNOTSUPP)) => Ok(None),
            result => Ok(Some(String::from_utf8_lossy(&result?).into_owned())),
        }
    }

    /// Writes `text` to one of its files in one write, as the kernel wants it.
    ///
    /// # Errors
    /// ENOENT where there is no such file; EINVAL and others as cgroup-v2.rst has them.
    pub fn write(&self, file: &str, text: &str) -> std::result::Result<(), Errno> {
        // No O_CREAT and no O_TRUNC: in cgroupfs the one is refused as EPERM, which would hide that the file is missing.
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.dir, file, flags, Mode::empty())?;
        write_all(opened, text.as_bytes())
    }

    /// The number in one of its files; None without the file, or where it says `max`.
    ///
    /// # Errors
    /// `kernel`.
    pub fn number(&self, file: &str) -> Result<Option<u64>> {
        Ok(self.read(file)?.and_then(|text| text.trim().parse().ok()))
    }

    /// The number beside `key` in one of its flat-keyed files.
    ///
    /// # Errors
    /// `kernel`.
    pub fn keyed(&self, file: &str, key: &str) -> Result<Option<u64>> {
        Ok(self.read(file)?.and_then(|text| keyed(&text, key)))
    }

    /// Whether there is such a file: the sign that a controller is enabled.
    #[must_use]
    pub fn has(&self, file: &str) -> bool {
        rustix::fs::statat(&self.dir, file, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// The cgroups right below it.
    ///
    /// # Errors
    /// `kernel`.
    pub fn children(&self) -> Result<Vec<Self>> {
        let mut children = Vec::new();
        let listed = match self.list() {
            Err(error) if matches!(error.errno, Some(libc::ENOENT | libc::ENODEV)) => {
                return Ok(children);
            }
            listed => listed?,
        };
        for entry in rustix::fs::Dir::new(listed).at("read", &self.path)? {
            let entry = entry.at("read", &self.path)?;
            let name = entry.file_name().to_string_lossy();
            // In cgroupfs the type is always told, and only cgroups are directories.
            if entry.file_type() != rustix::fs::FileType::Directory || matches!(&*name, "." | "..")
            {
                continue;
            }
            match self.open_below(&name) {
                Ok(child) => children.push(child),
                Err(error) if error.code == Code::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(children)
    }

    /// The names of its own files that begin and end so.
    ///
    /// # Errors
    /// `kernel`.
    pub(crate) fn files(&self, prefix: &str, suffix: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(self.list()?).at("read", &self.path)? {
            let name = entry.at("read", &self.path)?.file_name().to_string_lossy().into_owned();
            if name.starts_with(prefix) && name.ends_with(suffix) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn list(&self) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.dir, ".", flags, Mode::empty()).at("open", &self.path)
    }

    /// The pids of all processes in it and below it, as our own pid namespace counts them; those of others are left out.
    ///
    /// # Errors
    /// `kernel`.
    pub fn processes(&self) -> Result<Vec<u32>> {
        // A threaded cgroup lists its processes in the domain above it.
        let text = self.read("cgroup.procs")?.unwrap_or_default();
        let pids = text.lines().filter_map(|line| line.parse().ok());
        let mut pids: Vec<u32> = pids.filter(|pid| *pid != 0).collect();
        for child in self.children()? {
            pids.extend(child.processes()?);
        }
        Ok(pids)
    }

    /// Whether a process is in it or below it.
    ///
    /// # Errors
    /// `kernel`.
    pub fn is_populated(&self) -> Result<bool> {
        Ok(self.keyed("cgroup.events", "populated")? == Some(1))
    }
}

impl AsFd for Cgroup {
    /// For `CLONE_INTO_CGROUP`.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

/// The number beside `key` in flat-keyed text (cgroup-v2.rst, Interface Files).
pub(crate) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The error for a limit or verb that needs a file which this cgroup does not have.
pub(crate) fn absent(step: &str, cgroup: &Cgroup, file: &str) -> Error {
    let controller = file.split('.').next().unwrap_or_default();
    let controllers = cgroup.read("cgroup.controllers").ok().flatten().unwrap_or_default();
    let is_enabled = controllers.split_ascii_whitespace().any(|name| name == controller);
    let subject = cgroup.path.join(file).to_string_lossy().into_owned();
    let error = if is_enabled || controller == "cgroup" {
        Error::new(Code::Unsupported, step, subject, "this kernel has no such file")
    } else {
        let message = format!("the {controller} controller is not available in this cgroup");
        Error::new(Code::Denied, step, subject, message).with_hint(controllers::hint(controller))
    };
    Error { errno: Some(libc::ENOENT), ..error }
}
