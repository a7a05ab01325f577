//! What is known about a container between two commands, and what the kernel says about it now.
//!
//! ```text
//! <root>/<id>/            0700
//!   state.json            written once, as soon as init has a pid
//!   config.json           the bundle's, as it was at create: later edits change nothing (runtime.md#create)
//!   start.sock            init waits here; gone when it was started
//!   notify/notify.sock    where sd_notify of the container arrives, if somebody listens
//! ```
//!
//! OCI's state has a pid, and nothing else to find a process by. It is believed only with the time at which that process
//! began, read while the process is held by a pidfd: a pid that was given to another process is never acted upon.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use pyrt_core::bundle::parse_spec;
use pyrt_core::cgroup::Cgroup;
use pyrt_core::paths::{open_host, read_all, write_whole};
use pyrt_core::spec::Spec;
use pyrt_core::{At, Code, Error, Result, tree};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use rustix::process::{Pid, PidfdFlags};
use serde::{Deserialize, Serialize};

use super::globals::{self, Globals};

/// Everything in a container's directory is ours and small, but for the document.
const FILE_BYTES: usize = 16 << 20;

/// `state.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) oci_version: String,
    pub(super) id: String,
    /// Init's pid in the pid namespace of whoever created it.
    pub(super) pid: u32,
    /// When it began, in clock ticks since boot (proc_pid_stat(5), field 22).
    pub(super) start_ticks: u64,
    pub(super) bundle: PathBuf,
    pub(super) rootfs: PathBuf,
    /// RFC 3339.
    pub(super) created: String,
    /// Who created it.
    pub(super) uid: u32,
    pub(super) annotations: BTreeMap<String, String>,
    /// Its cgroup, if it has one of its own.
    pub(super) cgroup: Option<PathBuf>,
    /// The directories made for that, the topmost first.
    pub(super) cgroup_made: Vec<PathBuf>,
    /// The unit of systemd that it is.
    pub(super) scope: Option<String>,
    /// Whether the document has hooks.
    pub(super) has_hooks: bool,
    /// Whether its processes have a pid namespace of their own, and so end with init.
    pub(super) ends_with_init: bool,
}

/// runtime.md#state, with runc's paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Its create is at work, or was killed before there was an init.
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// A container's directory, held.
pub(super) struct Directory {
    pub(super) path: PathBuf,
    pub(super) fd: OwnedFd,
}

impl Directory {
    /// Makes it: the ID is taken from here on.
    ///
    /// # Errors
    /// `exists`.
    pub(super) fn make(globals: &Globals, id: &str) -> Result<Self> {
        let path = globals.root.join(id);
        let mode = Mode::from_raw_mode(0o700);
        let made = match rustix::fs::mkdir(&path, mode) {
            Err(Errno::NOENT) => {
                globals::open_root(&globals.root)?;
                rustix::fs::mkdir(&path, mode)
            }
            result => result,
        };
        match made {
            Ok(()) => Self::open(path.clone(), id).inspect_err(|_| {
                // The first error is the one to tell, and there is nothing in it yet.
                let _ = rustix::fs::rmdir(&path);
            }),
            Err(Errno::EXIST) => {
                let message = format!("container with id {id:?} already exists");
                Err(Error::new(Code::Exists, "", "", message))
            }
            Err(errno) => Err(errno).at("mkdir", &path),
        }
    }

    /// Opens it, if it is ours and no link to somewhere else.
    fn open(path: PathBuf, id: &str) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::open(&path, flags, Mode::empty()) {
            Err(Errno::NOENT) => {
                let message = format!("container {id:?} does not exist");
                return Err(Error::new(Code::NotFound, "", "", message));
            }
            result => result.at("open", &path)?,
        };
        let stat = rustix::fs::fstat(&fd).at("stat", &path)?;
        if stat.st_uid != rustix::process::geteuid().as_raw() || stat.st_mode & 0o022 != 0 {
            let message = "belongs to, or can be written by, somebody else";
            return Err(Error::new(Code::Denied, "open", path.to_string_lossy(), message));
        }
        Ok(Self { path, fd })
    }

    /// The directory of an existing container.
    ///
    /// # Errors
    /// `not_found`, in the words that callers look for.
    pub(super) fn find(globals: &Globals, id: &str) -> Result<Self> {
        Self::open(globals.root.join(id), id)
    }

    /// A file of it; none if it is not there.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => Ok(None),
            result => read_all(result.at("open", name)?, Path::new(name), FILE_BYTES).map(Some),
        }
    }

    /// Writes state.json.
    pub(super) fn write_record(&self, record: &Record) -> Result<()> {
        let data = serde_json::to_vec(record).unwrap_or_default();
        write_whole(borrow(&self.fd), "state.json", &data, 0o600)
    }

    /// The document as it was at create.
    pub(super) fn spec(&self) -> Result<Spec> {
        parse_spec(&self.read("config.json")?.unwrap_or_default())
    }

    /// The address of a socket in it: by way of the descriptor, since a socket's path has at most 107 bytes.
    pub(super) fn address(&self, name: &str) -> Result<SocketAddrUnix> {
        let path = format!("/proc/self/fd/{}/{name}", self.fd.as_raw_fd());
        SocketAddrUnix::new(path).at("address", name)
    }

    /// Whether init waits for start.
    fn is_waiting(&self) -> bool {
        rustix::fs::statat(&self.fd, "start.sock", AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Says that it was started.
    pub(super) fn forget_start(&self) -> Result<()> {
        match rustix::fs::unlinkat(&self.fd, "start.sock", AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno).at("unlink", "start.sock"),
        }
    }

    /// Removes it with all that is in it; the ID is free again.
    pub(super) fn remove(&self) -> Result<()> {
        tree::remove_path(&self.path)
    }
}

fn borrow(fd: &OwnedFd) -> BorrowedFd<'_> {
    use std::os::fd::AsFd;
    fd.as_fd()
}

/// A container that was created, or is about to be.
pub(super) struct Container {
    pub(super) directory: Directory,
    pub(super) record: Record,
}

impl Container {
    /// Finds one.
    ///
    /// # Errors
    /// `not_found`; `conflict` while it is being created.
    pub(super) fn find(globals: &Globals, id: &str) -> Result<Self> {
        let directory = Directory::find(globals, id)?;
        match directory.read("state.json")? {
            None => {
                let message = format!("container {id:?} is still being created");
                Err(Error::new(Code::Conflict, "", "", message))
            }
            Some(data) => {
                let record = serde_json::from_slice(&data).map_err(|error| {
                    Error::new(Code::InvalidSpec, "read", "state.json", error.to_string())
                })?;
                Ok(Self { directory, record })
            }
        }
    }

    /// Init, held; none if it has ended.
    pub(super) fn process(&self) -> Result<Option<OwnedFd>> {
        let Some(pid) = i32::try_from(self.record.pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            // EINVAL: before Linux 6.9, of a pid that lives on as the number of a session only.
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            result => result.at("pidfd_open", self.record.pid.to_string())?,
        };
        // Held first and looked at then: it is this process that the file describes, or it is gone.
        let is_it = begun(self.record.pid)?.is_some_and(|ticks| ticks == self.record.start_ticks);
        Ok(is_it.then_some(pidfd))
    }

    /// Init, held.
    ///
    /// # Errors
    /// `conflict`, in the words that callers look for.
    pub(super) fn running_process(&self) -> Result<OwnedFd> {
        self.process()?.ok_or_else(|| Error::new(Code::Conflict, "", "", "container not running"))
    }

    /// What it does now.
    pub(super) fn status(&self) -> Result<Status> {
        Ok(match self.process()? {
            None if self.record.pid == 0 => Status::Creating,
            None => Status::Stopped,
            Some(_) if self.is_paused() => Status::Paused,
            Some(_) if self.directory.is_waiting() => Status::Created,
            Some(_) => Status::Running,
        })
    }

    fn is_paused(&self) -> bool {
        let Some(cgroup) = &self.record.cgroup else { return false };
        let data = open_host(&cgroup.join("cgroup.freeze"), OFlags::RDONLY)
            .and_then(|file| read_all(file, cgroup, 16));
        data.is_ok_and(|data| data.starts_with(b"1"))
    }

    /// Its cgroup.
    pub(super) fn cgroup(&self) -> Result<Option<Cgroup>> {
        self.record.cgroup.as_deref().map(Cgroup::open).transpose()
    }
}

/// When a process began, in clock ticks since boot; none if it has ended, be it that nobody has asked how.
pub(super) fn begun(pid: u32) -> Result<Option<u64>> {
    let path = format!("/proc/{pid}/stat");
    let path = Path::new(&path);
    let data = match open_host(path, OFlags::RDONLY).and_then(|file| read_all(file, path, 4096)) {
        Err(error) if matches!(error.errno, Some(libc::ENOENT | libc::ESRCH)) => return Ok(None),
        result => result?,
    };
    let text = String::from_utf8_lossy(&data);
    // The name, in parentheses, may hold anything; the third field follows the last of them.
    let mut fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    let is_dead = fields.next().is_none_or(|state| matches!(state, "Z" | "X" | "x"));
    let ticks = fields.nth(18).and_then(|field| field.parse().ok());
    Ok(ticks.filter(|_| !is_dead))
}
