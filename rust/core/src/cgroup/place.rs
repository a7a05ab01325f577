//! Where a container's cgroup is: `linux.cgroupsPath` found, made, given its controllers, and taken back.
//!
//! | `cgroupsPath` | where (config-linux.md#cgroups-path) |
//! |---|---|
//! | `/a/b` | from the mount |
//! | `a/b` | beside our own cgroup; where that may not be, below it |
//! | absent | `pyrt-<id>` there |
//!
//! Beside, for our own has processes, and a cgroup with processes gives no memory or io to those below it
//! (cgroup-v2.rst, No Internal Process Constraint). runc does so, too.
//!
//! Where the user may make none, a container without limits has none; one with limits is refused.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, Mode, Uid};
use rustix::io::Errno;

use crate::cgroup::controllers::{enable, hint};
use crate::cgroup::{Cgroup, Resources};
use crate::error::{At, Code, Error, Result};
use crate::paths::read_host;
use crate::spec::{Mount, Spec};

/// Where cgroup2 is mounted almost everywhere: pure, and beside version 1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// statfs(2).
const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;

/// The three files of a cgroup that move processes and hand out controllers, where the kernel has no list.
const DELEGATED: &str = "cgroup.procs\ncgroup.threads\ncgroup.subtree_control\n";

/// A container's cgroup, and what was made for it.
#[derive(Debug)]
pub struct Place {
    /// The container's.
    pub cgroup: Cgroup,
    /// Directories that were not there before, the topmost first. What was there already is not ours to remove.
    pub made: Vec<PathBuf>,
}

impl Place {
    /// Finds and makes the cgroup; None if the container has to be without one and asks for no limit.
    ///
    /// # Errors
    /// `invalid_spec` for a path that leads elsewhere; `conflict` if processes are in it; `denied`, naming the
    /// controller, if limits cannot be set. Nothing is left.
    ///
    /// `note` hears of the cgroup and of the directories to be made for it before they are: whoever is killed in between
    /// has left word of them.
    pub fn make(
        path: Option<&str>,
        id: &str,
        resources: &Resources,
        note: impl Fn(&Path, &[PathBuf]) -> Result<()>,
    ) -> Result<Option<Self>> {
        let name = format!("pyrt-{id}");
        let path = path.filter(|path| !path.is_empty()).unwrap_or(&name);
        check_path("linux.cgroupsPath", path)?;
        let Some(mount) = find_mount()? else {
            return Self::without(resources, "no cgroup2 is mounted");
        };
        let own = own_cgroup()?;
        let mut refusal = Errno::NOENT;
        for parent in parents(path, own.as_deref()) {
            let target = join(&join(&mount, parent), path);
            let missing = missing(&mount, &target);
            if !missing.is_empty() {
                note(&target, &missing)?;
            }
            match Self::try_make(&mount, &target, own.as_deref()) {
                Ok(place) => return place.settle(&mount, resources).map(Some),
                Err(errno @ (Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::NOENT)) => {
                    refusal = errno;
                }
                Err(errno) => return Err(errno).at("make cgroup", &target),
            }
        }
        Self::without(resources, &Error::kernel("", "", refusal.raw_os_error()).message)
    }

    /// No cgroup: what a container can have that asks for no limit.
    ///
    /// # Errors
    /// `denied` if it asks for one.
    pub fn without(resources: &Resources, reason: &str) -> Result<Option<Self>> {
        let controllers = resources.controllers();
        let Some(first) = controllers.first() else { return Ok(None) };
        let message = format!(
            "limits of {} need a cgroup, and none can be made: {reason}",
            controllers.join(", ")
        );
        Err(Error::new(Code::Denied, "linux.resources", "", message).with_hint(hint(first)))
    }

    fn try_make(
        mount: &Path,
        target: &Path,
        own: Option<&str>,
    ) -> std::result::Result<Self, Errno> {
        let mut made = Vec::new();
        let result = make_all(mount, target, &mut made)
            .and_then(|()| check_entrance(mount, target, own, made.is_empty()))
            .and_then(|()| open(target));
        match result {
            Ok(cgroup) => Ok(Self { cgroup, made }),
            Err(errno) => {
                remove_all(&made);
                Err(errno)
            }
        }
    }

    /// Makes of a directory a cgroup that a container may be born in; else it is taken back.
    fn settle(self, mount: &Path, resources: &Resources) -> Result<Self> {
        let result = self.check_empty().and_then(|()| {
            enable(self.base(), self.cgroup.path(), mount, &resources.controllers())?;
            self.cgroup.apply(resources)
        });
        if result.is_err() {
            remove_all(&self.made);
        }
        result.map(|()| self)
    }

    /// The nearest directory above the container's that was there before.
    fn base(&self) -> &Path {
        let first = self.made.first().map_or(self.cgroup.path(), PathBuf::as_path);
        first.parent().unwrap_or(first)
    }

    /// Limits, pause and kill of the container would hit whoever else is in it. The real root says nothing of this, and is
    /// no container's either.
    fn check_empty(&self) -> Result<()> {
        if self.is_ours() || self.cgroup.keyed("cgroup.events", "populated")? == Some(0) {
            return Ok(());
        }
        let path = self.cgroup.path().to_string_lossy();
        Err(Error::new(Code::Conflict, "cgroup", path, "is not empty"))
    }

    /// Whether it was not there before.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.made.last().is_some_and(|last| last == self.cgroup.path())
    }

    /// Gives the cgroup to the user that the program runs as, if it sees it as a root of its own and may write there
    /// (config-linux.md#cgroup-ownership).
    ///
    /// # Errors
    /// `kernel`; that it is not ours to give is none, for the specification only recommends it.
    pub fn give(&self, spec: &Spec) -> Result<()> {
        let writable = |mount: &Mount| {
            let is_cgroup = matches!(mount.fs_type.as_deref(), Some("cgroup" | "cgroup2"));
            is_cgroup && !mount.options.iter().any(|option| option == "ro")
        };
        let Some(linux) = &spec.linux else { return Ok(()) };
        if !spec.makes("cgroup") || !spec.makes("user") || !spec.mounts.iter().any(writable) {
            return Ok(());
        }
        let inside = spec.process.as_ref().map_or(0, |process| process.user.uid);
        let mapped = linux.uid_mappings.iter().find_map(|map| {
            let offset = inside.checked_sub(map.container_id)?;
            (offset < map.size).then(|| map.host_id.checked_add(offset)).flatten()
        });
        let Some(owner) = mapped.filter(|uid| *uid != rustix::process::geteuid().as_raw()) else {
            return Ok(());
        };
        let owner = Some(Uid::from_raw(owner));
        let list = match read_host(Path::new("/sys/kernel/cgroup/delegate"), 4096) {
            Ok(list) => String::from_utf8_lossy(&list).into_owned(),
            Err(_) => DELEGATED.to_owned(), // before Linux 4.15, or without /sys
        };
        for file in list.lines().chain([""]) {
            match rustix::fs::chownat(&self.cgroup, file, owner, None, AtFlags::EMPTY_PATH) {
                // ENOENT: of a controller that is not here.
                Ok(()) | Err(Errno::NOENT | Errno::PERM) => {}
                Err(errno) => return Err(errno).at("chown", self.cgroup.path().join(file)),
            }
        }
        Ok(())
    }
}

/// Undo of a failed make: nothing was in them, so what cannot be removed is another's by now.
fn remove_all(made: &[PathBuf]) {
    for path in made.iter().rev() {
        let _ = rustix::fs::rmdir(path);
    }
}

/// Where cgroup2 is mounted.
///
/// # Errors
/// `kernel` if the list of mounts cannot be read.
pub fn find_mount() -> Result<Option<PathBuf>> {
    for path in MOUNTS {
        let is_cgroup2 = |fs: rustix::fs::StatFs| fs.f_type.cast_unsigned() == CGROUP2_SUPER_MAGIC;
        if rustix::fs::statfs(path).is_ok_and(is_cgroup2) {
            return Ok(Some(PathBuf::from(path)));
        }
    }
    let mounts = read_host(Path::new("/proc/self/mountinfo"), 16 << 20)?;
    let mounts = String::from_utf8_lossy(&mounts);
    Ok(mounts.lines().find_map(|line| {
        let (head, tail) = line.split_once(" - ")?;
        let path = tail.starts_with("cgroup2 ").then(|| head.split(' ').nth(4)).flatten()?;
        Some(PathBuf::from(path))
    }))
}

/// Our own cgroup below the mount; None if it is outside of what our cgroup namespace shows.
///
/// # Errors
/// `kernel`.
pub fn own_cgroup() -> Result<Option<String>> {
    let text = read_host(Path::new("/proc/self/cgroup"), 65536)?;
    Ok(parse_own(&String::from_utf8_lossy(&text)).map(str::to_owned))
}

pub(super) fn parse_own(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::")).filter(|path| !path.starts_with("/.."))
}

/// The cgroups that `path` may be meant below, the preferred first.
fn parents<'a>(path: &str, own: Option<&'a str>) -> Vec<&'a str> {
    if path.starts_with('/') {
        return vec!["/"];
    }
    match own {
        None => Vec::new(),
        Some("/") => vec!["/"],
        Some(own) => vec![own.rsplit_once('/').map_or("/", |(above, _)| above), own],
    }
}

/// `base` and `path` below it, whichever way `path` begins.
pub(super) fn join(base: &Path, path: &str) -> PathBuf {
    path.split('/')
        .filter(|part| !part.is_empty())
        .fold(base.to_owned(), |base, part| base.join(part))
}

/// The directories on the way that are not there yet, the topmost first.
fn missing(mount: &Path, target: &Path) -> Vec<PathBuf> {
    let above = target.ancestors().take_while(|path| path.starts_with(mount));
    let absent = above.filter(|path| rustix::fs::access(*path, Access::EXISTS).is_err());
    let mut missing: Vec<PathBuf> = absent.map(Path::to_owned).collect();
    missing.reverse();
    missing
}

fn make_all(
    mount: &Path,
    target: &Path,
    made: &mut Vec<PathBuf>,
) -> std::result::Result<(), Errno> {
    match rustix::fs::mkdir(target, Mode::from_raw_mode(0o755)) {
        Ok(()) => {
            made.push(target.to_owned());
            Ok(())
        }
        Err(Errno::EXIST) => Ok(()),
        Err(Errno::NOENT) if target.starts_with(mount) && target != mount => {
            make_all(mount, target.parent().unwrap_or(mount), made)?;
            make_all(mount, target, made)
        }
        // The kernel names what is wrong with a directory that exists by EROFS or EACCES, too.
        Err(errno) if rustix::fs::access(target, Access::EXISTS).is_err() => Err(errno),
        Err(_) => Ok(()),
    }
}

pub(super) fn open(path: &Path) -> std::result::Result<Cgroup, Errno> {
    Cgroup::open(path).map_err(|error| Errno::from_raw_os_error(error.errno.unwrap_or(libc::EIO)))
}

/// Whether we may put a process there: that takes the right to write cgroup.procs of the nearest cgroup above both it and
/// our own (cgroup-v2.rst, Delegation Containment), as well as its own.
fn check_entrance(
    mount: &Path,
    target: &Path,
    own: Option<&str>,
    was_there: bool,
) -> std::result::Result<(), Errno> {
    let procs = |dir: &Path| {
        rustix::fs::accessat(CWD, dir.join("cgroup.procs"), Access::WRITE_OK, AtFlags::EACCESS)
    };
    if was_there {
        procs(target)?;
    }
    let own = join(mount, own.ok_or(Errno::NOENT)?);
    procs(target.ancestors().find(|above| own.starts_with(above)).unwrap_or(mount))
}

/// Refuses a path that leads elsewhere, or could not be one line of a record.
///
/// # Errors
/// `invalid_spec`.
pub fn check_path(field: &str, path: &str) -> Result<()> {
    path.split('/').filter(|part| !part.is_empty()).try_for_each(|part| check_name(field, part))
}

/// Refuses what is not one component.
///
/// # Errors
/// `invalid_spec`.
pub fn check_name(field: &str, name: &str) -> Result<()> {
    let is_bad =
        matches!(name, "" | "." | "..") || name.contains(|c: char| c == '/' || c.is_control());
    if !is_bad {
        return Ok(());
    }
    let shown = name.escape_debug().to_string();
    Err(Error::new(Code::InvalidSpec, field, shown, "is no name of a cgroup or of a file in one"))
}
