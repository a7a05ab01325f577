//! One entry of `mounts`: what is mounted, what stands in for it where a user may not, and on what.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::shared;
use crate::error::{At, Code, Error, Result};
use crate::mount::{self, NODEV, NOEXEC, NOSUID, Options, RDONLY, attach, clone_tree};
use crate::paths::{is_dir, make_mount_point, open_host, open_in_root, stat, try_open_in_root};
use crate::spec::{Linux, Mount};
use crate::sys::mount::{MountAttr, mount_setattr};
use crate::{devices, lsm, tree};

/// What a bind may cover below /proc: files of fixed meaning, as lxcfs serves them (runc's list).
const COVERABLE: [&str; 11] = [
    "cpuinfo",
    "diskstats",
    "loadavg",
    "meminfo",
    "net/dev",
    "slabinfo",
    "stat",
    "swaps",
    "sys/crypto/fips_enabled",
    "sys/kernel/ns_last_pid",
    "uptime",
];

/// Mounts one entry beneath `root`; `source` is what it binds.
pub(super) fn mount(
    root: BorrowedFd<'_>,
    mount: &Mount,
    source: Option<&OwnedFd>,
    linux: Option<&Linux>,
) -> Result<()> {
    let name = mount.destination.as_str();
    let path = destination(name)?;
    let options = Options::parse(mount)?;
    if options.remount {
        return remount(root, &path, &options, name);
    }
    let fs_type = match source {
        Some(_) => "",
        None => mount.fs_type.as_deref().unwrap_or_default(),
    };
    let special = check_special(root, &path, source, fs_type)?;
    let tree = match source {
        Some(source) => bind(source.as_fd(), &options, &path, mount)?,
        None => make(root, &path, mount, &options, linux)?,
    };
    if let Some(recursive) = options.idmap {
        mount::map_ids(tree.as_fd(), recursive, mount)?;
    }
    if options.copy_up {
        copy_up(root, &path, tree.as_fd(), &options.data)?;
    }
    let is_tree = source.map_or(Ok(true), |source| is_dir(source, &path))?;
    let target = special.map_or_else(|| make_mount_point(root, &path, is_tree), Ok)?;
    check_covered(&target, &path, fs_type)?;
    attach(tree.as_fd(), target.as_fd(), name)?;
    if path == Path::new("/dev") && fs_type == "tmpfs" {
        devices::populate(tree.as_fd())?;
    }
    let is_readonly = (options.attr.attr_set | options.recursive.attr_set) & RDONLY != 0;
    // /dev keeps writable until its mount points below are made; see `seal`.
    if source.is_none() && is_readonly && path != Path::new("/dev") {
        make_readonly(tree.as_fd(), name)?;
    }
    if options.propagation.is_empty() {
        return mount::set_propagation(tree.as_fd(), libc::MS_PRIVATE, true, name);
    }
    options
        .propagation
        .iter()
        .try_for_each(|&(flag, all)| mount::set_propagation(tree.as_fd(), flag, all, name))
}

fn make_readonly(mount: BorrowedFd<'_>, name: &str) -> Result<()> {
    let attr = MountAttr { attr_set: RDONLY, ..MountAttr::default() };
    mount_setattr(mount, false, &attr).at("make read-only", name)
}

fn bind(source: BorrowedFd<'_>, options: &Options, path: &Path, entry: &Mount) -> Result<OwnedFd> {
    let name = entry.destination.as_str();
    let tree = if options.is_shared() || shared::path_of(entry).is_some() {
        source.try_clone_to_owned().at("dup", name)? // a clone already
    } else {
        clone_tree(source, options.bind == Some(true), name)?
    };
    mount::set_attributes(tree.as_fd(), options, name)?;
    if path == Path::new("/sys") && options.attr.attr_set & RDONLY != 0 {
        // CVE-2023-25809: `runc spec --rootless` binds /sys with `rbind,ro`, and below it are the user's own cgroups.
        let attr = MountAttr { attr_set: RDONLY, ..MountAttr::default() };
        mount_setattr(tree.as_fd(), true, &attr).at("make read-only", name)?;
    }
    Ok(tree)
}

/// A new file system; where the kernel denies one of the machine's views, the host's own, read-only.
fn make(
    root: BorrowedFd<'_>,
    path: &Path,
    mount: &Mount,
    options: &Options,
    linux: Option<&Linux>,
) -> Result<OwnedFd> {
    let name = mount.destination.as_str();
    let fs_type = mount.fs_type.as_deref().unwrap_or_default();
    // config-linux.md: `cgroup` is whatever the host has; ours is version 2.
    let kind = if fs_type == "cgroup" { "cgroup2" } else { fs_type };
    // A cgroup2 that shows the host's root is the host's to write to (CVE-2023-25809).
    let has_own = |kind: &str| {
        linux.is_some_and(|linux| linux.namespaces.iter().any(|namespace| namespace.kind == kind))
    };
    if kind == "cgroup2" && !has_own("cgroup") {
        return show_host(Path::new("/sys/fs/cgroup"), name);
    }
    let mut data = options.data.clone();
    if kind == "tmpfs" && !options.copy_up && !data.iter().any(|word| word.starts_with("mode=")) {
        data.extend(mode_of(root, path)?);
    }
    data.extend(lsm::mount_context(linux, kind)?);
    let label = mount.source.as_deref().unwrap_or(kind);
    let attr = mount::new_attributes(options);
    let made = mount::make_filesystem(kind, label, &data, attr, name);
    let Err(error) = made else { return made };
    match (kind, error.errno) {
        ("cgroup2", Some(libc::EPERM | libc::EBUSY)) => show_host(Path::new("/sys/fs/cgroup"), name),
        // sysfs belongs to a network namespace, and that one to somebody else.
        ("sysfs", Some(libc::EPERM)) => show_host(Path::new("/sys"), name),
        // The group of terminals need not be mapped; then they are the user's alone.
        ("devpts", Some(libc::EINVAL)) if data.iter().any(|word| word.starts_with("gid=")) => {
            data.retain(|word| !word.starts_with("gid="));
            mount::make_filesystem(kind, label, &data, attr, name)
        }
        ("proc", Some(libc::EPERM)) if has_own("pid") => Err(error.with_hint(
            "unmask /proc of the container around this one (podman: --security-opt unmask=ALL), or bind /proc: \
             the kernel gives no new /proc where the old one is partly covered",
        )),
        ("proc", Some(libc::EPERM)) => Err(error.with_hint(
            "bind /proc, or give the container a pid namespace: the one it shares belongs to somebody else",
        )),
        ("mqueue", Some(libc::EPERM)) => Err(error.with_hint(
            "bind /dev/mqueue, or give the container an ipc namespace: the one it shares belongs to somebody else",
        )),
        _ => Err(error),
    }
}

/// The host's view, read-only all the way down.
///
/// CVE-2023-25809: what is mounted below must not be writable either, since it is the host user's own cgroups.
fn show_host(path: &Path, name: &str) -> Result<OwnedFd> {
    let source = open_host(path, OFlags::PATH | OFlags::DIRECTORY)?;
    let tree = clone_tree(source.as_fd(), true, name)?;
    let attr = MountAttr { attr_set: RDONLY | NOSUID | NODEV | NOEXEC, ..MountAttr::default() };
    mount_setattr(tree.as_fd(), true, &attr).at("set mount options of", name)?;
    Ok(tree)
}

/// A tmpfs has the mode of the directory it covers, if that is there and the document says nothing else (as runc).
fn mode_of(root: BorrowedFd<'_>, path: &Path) -> Result<Option<String>> {
    match try_open_in_root(root, path, OFlags::PATH | OFlags::DIRECTORY) {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        directory => {
            let mode = stat(directory.at("open", path)?, path)?.st_mode & 0o7777;
            Ok(Some(format!("mode={mode:o}")))
        }
    }
}

/// `remount`: what is there already is changed, and nothing is put over it.
fn remount(root: BorrowedFd<'_>, path: &Path, options: &Options, name: &str) -> Result<()> {
    let target = open_in_root(root, path, OFlags::PATH)?;
    if !options.data.is_empty() {
        mount::reconfigure(target.as_fd(), &options.data, name)?;
    }
    mount::set_attributes(target.as_fd(), options, name).map_err(|error| match error.errno {
        Some(libc::EINVAL) => error.with_hint("bind it first: nothing is mounted there"),
        _ => error,
    })?;
    options
        .propagation
        .iter()
        .try_for_each(|&(flag, all)| mount::set_propagation(target.as_fd(), flag, all, name))
}

/// Fills a new tmpfs with what the image has at its place, owner and mode of the directory included, unless the
/// mode was asked for. Where the image has nothing, the tmpfs stays as it is.
fn copy_up(
    root: BorrowedFd<'_>,
    path: &Path,
    tmpfs: BorrowedFd<'_>,
    data: &[String],
) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let from = match try_open_in_root(root, path, flags) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        result => result.at("open", path)?,
    };
    let to = open_in_root(tmpfs, Path::new("/"), flags)?;
    tree::copy_contents(from, to.try_clone().at("dup", path)?, path)?;
    let mode = data.iter().rev().find_map(|option| option.strip_prefix("mode="));
    match mode.and_then(|mode| u32::from_str_radix(mode, 8).ok()) {
        Some(mode) => rustix::fs::fchmod(&to, Mode::from_raw_mode(mode)).at("chmod", path),
        None => Ok(()),
    }
}

/// The destination as a path from the root, without `.` and `..`: these are words, as in a path that names no
/// symlink, and symlinks are looked up beneath the root afterwards.
pub(super) fn destination(text: &str) -> Result<PathBuf> {
    let mut path = PathBuf::from("/");
    for component in Path::new(text).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            Component::ParentDir => {
                path.pop();
            }
        }
    }
    if path == Path::new("/") {
        return Err(Error::new(Code::InvalidSpec, "mounts.destination", text, "is the root"));
    }
    Ok(path)
}

/// CVE-2019-16884, CVE-2023-27561: a symlink of the image at /proc or /sys would move what we trust, and so would
/// anything on /proc that is not the root of a procfs.
fn check_special(
    root: BorrowedFd<'_>,
    path: &Path,
    source: Option<&OwnedFd>,
    fs_type: &str,
) -> Result<Option<OwnedFd>> {
    let is_proc = path == Path::new("/proc");
    if !is_proc && path != Path::new("/sys") && !matches!(fs_type, "proc" | "sysfs") {
        return Ok(None);
    }
    if is_proc {
        let is_procfs = match source {
            None => fs_type == "proc",
            Some(source) => {
                let magic = rustix::fs::fstatfs(source).at("statfs", path)?.f_type;
                magic == libc::PROC_SUPER_MAGIC && stat(source, path)?.st_ino == PROC_ROOT_INO
            }
        };
        if !is_procfs {
            let message = "only a procfs may be mounted there";
            return Err(Error::new(Code::InvalidSpec, "mounts", "/proc", message));
        }
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let open = || rustix::fs::openat2(root, path, flags, Mode::empty(), resolve);
    let place = match open() {
        Err(Errno::NOENT) => {
            make_mount_point(root, path, true)?;
            open()
        }
        place => place,
    };
    let place = place.at("mount", path)?;
    if FileType::from_raw_mode(stat(&place, path)?.st_mode).is_dir() {
        return Ok(Some(place)); // what was looked at is what is mounted on
    }
    Err(Errno::NOTDIR).at("mount", path)
}

/// include/linux/proc_ns.h: the inode of a procfs's root, and of nothing else in it.
const PROC_ROOT_INO: u64 = 1;

/// CVE-2019-19921, CVE-2025-52881: nothing is mounted inside of /proc, by whatever path, where we or the program would
/// read or write something else than the kernel.
fn check_covered(target: &OwnedFd, path: &Path, fs_type: &str) -> Result<()> {
    let magic = rustix::fs::fstatfs(target).at("statfs", path)?.f_type;
    if magic != libc::PROC_SUPER_MAGIC {
        return Ok(());
    }
    let is_root = stat(target, path)?.st_ino == PROC_ROOT_INO;
    let below = path.strip_prefix("/proc").ok();
    let is_coverable =
        below.is_some_and(|rest| COVERABLE.iter().any(|known| rest == Path::new(known)));
    if is_coverable || (is_root && (fs_type == "proc" || below == Some(Path::new("")))) {
        return Ok(());
    }
    let message = "is inside of /proc, where nothing may be mounted";
    Err(Error::new(Code::InvalidSpec, "mounts", path.to_string_lossy(), message))
}
