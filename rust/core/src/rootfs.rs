//! The container's tree: the root, its mounts in order, then pivot. Everything is opened once and held.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, UnmountFlags};

use crate::bundle::Rootfs;
use crate::error::{At, Code, Error, Result};
use crate::mount::{self, Options, attach, clone_tree};
use crate::paths::{
    is_dir, make_dirs, make_mount_point, open_host, open_in_root, try_open_in_root, write_all,
};
use crate::spec::{Linux, Mount, Spec};
use crate::{devices, tree};

/// Host paths, opened with the identity init was born with: the user's own, whatever the map. A home of mode
/// 0700 is closed to the container's root of `--userns=nomap`, and open to its user.
pub struct Sources {
    /// Where the root is attached, or the root itself.
    root: OwnedFd,
    /// Layers of the overlay, top first; then upper and work.
    overlay: Option<Overlay>,
    /// One per mount of the document, for binds.
    binds: Vec<Option<OwnedFd>>,
}

struct Overlay {
    lower: Vec<OwnedFd>,
    upper: OwnedFd,
    work: OwnedFd,
    volatile: bool,
}

impl Sources {
    /// Opens them all, in the mount namespace in which they will be used.
    ///
    /// # Errors
    /// `not_found` or `kernel` naming the path.
    pub fn open(spec: &Spec, bundle: &Path, rootfs: Option<&Rootfs>) -> Result<Self> {
        let root = spec.root.as_ref().map_or("", |root| root.path.as_str());
        // CVE-2025-54867: resolved once, here; what is mounted is this descriptor.
        let root = open_host(&bundle.join(root), OFlags::PATH | OFlags::DIRECTORY)?;
        let dir = |path: &PathBuf| open_host(path, OFlags::PATH | OFlags::DIRECTORY);
        let overlay = match rootfs {
            None => None,
            Some(rootfs) => Some(Overlay {
                lower: rootfs.lower.iter().map(dir).collect::<Result<_>>()?,
                upper: dir(&rootfs.upper)?,
                work: dir(&rootfs.work)?,
                volatile: rootfs.volatile,
            }),
        };
        let binds =
            spec.mounts.iter().map(|mount| open_bind(mount, bundle)).collect::<Result<_>>()?;
        Ok(Self { root, overlay, binds })
    }

    /// Mounts the root and everything of the document below it; returns the root.
    ///
    /// # Errors
    /// `kernel` naming the mount.
    pub fn build(&self, spec: &Spec) -> Result<OwnedFd> {
        let slash = open_host(Path::new("/"), OFlags::PATH | OFlags::DIRECTORY)?;
        // What we mount must not reach the host, and what it mounts may still reach rslave binds.
        mount::set_propagation(slash.as_fd(), libc::MS_SLAVE, true, "/")?;
        let root = self.mount_root()?;
        for (mount, source) in spec.mounts.iter().zip(&self.binds) {
            mount_one(root.as_fd(), mount, source.as_ref())?;
        }
        if let Some(linux) = &spec.linux {
            for device in &linux.devices {
                devices::bind_extra(root.as_fd(), device)?;
            }
        }
        Ok(root)
    }

    fn mount_root(&self) -> Result<OwnedFd> {
        let root = match &self.overlay {
            Some(overlay) => overlay.mount()?,
            None => clone_tree(self.root.as_fd(), true, "root")?,
        };
        attach(root.as_fd(), self.root.as_fd(), "/")?;
        // pivot_root refuses a new root whose mount is shared.
        mount::set_propagation(root.as_fd(), libc::MS_PRIVATE, false, "/")?;
        Ok(root)
    }
}

impl Overlay {
    fn mount(&self) -> Result<OwnedFd> {
        let step = "mount overlay";
        let context =
            rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).at(step, "/")?;
        // By descriptor: the layers were opened by the user, and no path of the host can be too long or hold
        // a character that the option's grammar means otherwise.
        let set = |key: &str, value: &str| {
            rustix::mount::fsconfig_set_string(&context, key, value).at(step, key)
        };
        let link = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
        for lower in &self.lower {
            match rustix::mount::fsconfig_set_string(&context, "lowerdir+", link(lower)) {
                // Linux 6.1 to 6.4 know only the joined form.
                Err(Errno::INVAL) => {
                    let joined: Vec<String> = self.lower.iter().map(link).collect();
                    set("lowerdir", &joined.join(":"))?;
                    break;
                }
                result => result.at(step, "lowerdir")?,
            }
        }
        set("upperdir", &link(&self.upper))?;
        set("workdir", &link(&self.work))?;
        rustix::mount::fsconfig_set_flag(&context, "userxattr").at(step, "userxattr")?;
        if self.volatile {
            rustix::mount::fsconfig_set_flag(&context, "volatile").at(step, "volatile")?;
        }
        rustix::mount::fsconfig_create(&context)
            .at(step, "/")
            .map_err(|error| mount::explain(&context, error))?;
        rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
            .at(step, "/")
    }
}

fn open_bind(mount: &Mount, bundle: &Path) -> Result<Option<OwnedFd>> {
    if Options::parse(mount)?.bind.is_none() {
        return Ok(None);
    }
    let source = bundle.join(mount.source.as_deref().unwrap_or_default());
    open_host(&source, OFlags::PATH).map(Some)
}

fn mount_one(
    root: std::os::fd::BorrowedFd<'_>,
    mount: &Mount,
    source: Option<&OwnedFd>,
) -> Result<()> {
    let name = mount.destination.as_str();
    let path = destination(name)?;
    let mut options = Options::parse(mount)?;
    let fs_type = mount.fs_type.as_deref().unwrap_or_default();
    let fd = match source {
        Some(source) => {
            let tree = clone_tree(source.as_fd(), options.bind == Some(true), name)?;
            mount::set_attributes(tree.as_fd(), &options, name)?;
            tree
        }
        None => {
            // runtime-spec config-linux.md: `cgroup` is whatever the host has; ours is version 2.
            let fs_type = if fs_type == "cgroup" { "cgroup2" } else { fs_type };
            let attr = mount::new_attributes(&options);
            let label = mount.source.as_deref().unwrap_or(fs_type);
            mount::make_filesystem(fs_type, label, &options.data, attr, name)?
        }
    };
    let is_tree = match source {
        Some(source) => is_dir(source, &path)?,
        None => true,
    };
    check_special(root, &path, fs_type)?;
    if options.copy_up {
        copy_up(root, &path, fd.as_fd(), &options.data)?;
    }
    let target = make_mount_point(root, &path, is_tree)?;
    attach(fd.as_fd(), target.as_fd(), name)?;
    if source.is_none() && path == Path::new("/dev") && fs_type == "tmpfs" {
        devices::populate(fd.as_fd())?;
    }
    if source.is_none() && (options.attr.attr_set | options.recursive.attr_set) & mount::RDONLY != 0
    {
        options.attr.attr_set = mount::RDONLY;
        // /dev keeps writable until its mount points below are made; see `seal`.
        if path != Path::new("/dev") {
            mount::set_attributes(fd.as_fd(), &options, name)?;
        }
    }
    let propagation = options.propagation.unwrap_or((libc::MS_PRIVATE, true));
    mount::set_propagation(fd.as_fd(), propagation.0, propagation.1, name)
}

/// Fills a new tmpfs with what the image has at its place, owner and mode of the directory included, unless the
/// mode was asked for. Where the image has nothing, the tmpfs stays as it is.
fn copy_up(
    root: std::os::fd::BorrowedFd<'_>,
    path: &Path,
    tmpfs: std::os::fd::BorrowedFd<'_>,
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

/// The destination as a path from the root, free of `.` and `..`.
fn destination(text: &str) -> Result<PathBuf> {
    let mut path = PathBuf::from("/");
    for component in Path::new(text).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            Component::ParentDir => {
                let message = "contains ..";
                return Err(Error::new(Code::InvalidSpec, "mounts.destination", text, message));
            }
        }
    }
    if path == Path::new("/") {
        return Err(Error::new(Code::InvalidSpec, "mounts.destination", text, "is the root"));
    }
    Ok(path)
}

/// CVE-2019-16884, CVE-2023-27561: a symlink of the image at /proc or /sys would move what we trust.
fn check_special(root: std::os::fd::BorrowedFd<'_>, path: &Path, fs_type: &str) -> Result<()> {
    let is_special = path == Path::new("/proc") || path == Path::new("/sys");
    if !is_special {
        return Ok(());
    }
    if path == Path::new("/proc") && !matches!(fs_type, "proc" | "bind" | "") {
        let message = format!("{fs_type} must not be mounted on /proc");
        return Err(Error::new(Code::InvalidSpec, "mounts", "/proc", message));
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
        Ok(_) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno).at("mount", path),
    }
}

/// Masked and read-only paths, after all mounts: a later mount would uncover them.
///
/// # Errors
/// `kernel` naming the path.
pub fn protect(root: &OwnedFd, spec: &Spec, linux: &Linux) -> Result<()> {
    for path in &linux.readonly_paths {
        match try_open_in_root(root.as_fd(), Path::new(path), OFlags::PATH) {
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            result => mount::make_readonly(result.at("open", path)?, Path::new(path))?,
        }
    }
    let null = devices::open_null()?;
    let mut empty: Option<OwnedFd> = None;
    for path in &linux.masked_paths {
        let target = match try_open_in_root(root.as_fd(), Path::new(path), OFlags::PATH) {
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            result => result.at("open", path)?,
        };
        let mask = if is_dir(&target, Path::new(path))? {
            // One empty read-only tmpfs serves them all: a superblock each would cost more than the rest. The first
            // place gets it and the others its clones: before Linux 6.15 what is attached nowhere cannot be cloned.
            match &empty {
                Some(shared) => clone_tree(shared.as_fd(), false, path)?,
                None => {
                    let data = ["nr_blocks=1".to_owned(), "nr_inodes=1".to_owned()];
                    let first =
                        mount::make_filesystem("tmpfs", "tmpfs", &data, mount::RDONLY, path)?;
                    attach(first.as_fd(), target.as_fd(), path)?;
                    empty = Some(first);
                    continue;
                }
            }
        } else {
            clone_tree(null.as_fd(), false, path)?
        };
        attach(mask.as_fd(), target.as_fd(), path)?;
    }
    seal(root, spec)
}

/// What must be read-only but had to be written until now: `/dev` where asked, and the root.
fn seal(root: &OwnedFd, spec: &Spec) -> Result<()> {
    let attr = crate::sys::mount::MountAttr { attr_set: mount::RDONLY, ..Default::default() };
    let is_readonly_dev = |mount: &&Mount| {
        destination(&mount.destination).is_ok_and(|path| path == Path::new("/dev"))
            && mount.options.iter().any(|option| option == "ro")
    };
    if spec.mounts.iter().any(|mount| is_readonly_dev(&mount)) {
        let dev = open_in_root(root.as_fd(), Path::new("/dev"), OFlags::PATH)?;
        crate::sys::mount::mount_setattr(dev.as_fd(), false, &attr).at("make read-only", "/dev")?;
    }
    if spec.root.as_ref().is_some_and(|root| root.readonly) {
        // CVE-2026-115521: by descriptor, so no /proc of the image has a say.
        crate::sys::mount::mount_setattr(root.as_fd(), false, &attr).at("make read-only", "/")?;
    }
    Ok(())
}

/// Makes the container's root ours and lets the host's tree go; without `pivots` it is only covered, for an initial
/// ramfs cannot be left (runc's `--no-pivot`).
///
/// # Errors
/// `kernel`.
pub fn pivot(root: &OwnedFd, pivots: bool) -> Result<()> {
    rustix::process::fchdir(root).at("chdir", "/")?;
    if !pivots {
        let slash = open_host(Path::new("/"), OFlags::PATH | OFlags::DIRECTORY)?;
        attach(root.as_fd(), slash.as_fd(), "/")?;
        rustix::process::chroot(".").at("chroot", "/")?;
        return rustix::process::chdir("/").at("chdir", "/");
    }
    // With both arguments ".", the old root ends up stacked on the new one; no directory is needed for it.
    rustix::process::pivot_root(".", ".").at("pivot_root", "/")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).at("umount", "old root")?;
    rustix::process::chdir("/").at("chdir", "/")
}

/// Writes `linux.sysctl` through the procfs that we mounted ourselves.
///
/// CVE-2025-52881: beneath its root, over no mount and no symlink, so nothing can redirect the write.
///
/// # Errors
/// `kernel` naming the parameter.
pub fn set_sysctls(root: &OwnedFd, linux: &Linux) -> Result<()> {
    if linux.sysctl.is_empty() {
        return Ok(());
    }
    let proc = open_in_root(root.as_fd(), Path::new("/proc"), OFlags::PATH | OFlags::DIRECTORY)?;
    let magic = rustix::fs::fstatfs(&proc).at("statfs", "/proc")?.f_type;
    if magic != libc::PROC_SUPER_MAGIC {
        return Err(Error::new(Code::InvalidSpec, "linux.sysctl", "/proc", "is not procfs"));
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    for (key, value) in &linux.sysctl {
        let path = format!("sys/{}", key.replace('.', "/"));
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file =
            rustix::fs::openat2(&proc, path, flags, Mode::empty(), resolve).at("sysctl", key)?;
        write_all(&file, value.as_bytes()).at("sysctl", key)?;
    }
    Ok(())
}

/// Makes the working directory where the image lacks it.
///
/// # Errors
/// `kernel`.
pub fn make_directory(root: &OwnedFd, path: &str) -> Result<()> {
    make_dirs(root.as_fd(), &destination(path)?).map(drop)
}
