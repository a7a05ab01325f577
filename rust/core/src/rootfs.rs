//! The container's tree: the root, its mounts in order, then pivot. Everything is opened once and held.

mod entry;
mod shared;

use entry::destination;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use crate::bundle::Rootfs;
use crate::devices;
use crate::error::{At, Code, Error, Result};
use crate::mount::{self, Options, attach, clone_tree};
use crate::overlay::Overlay;
use crate::paths::{is_dir, make_dirs, open_host, open_in_root, try_open_in_root, write_all};
use crate::spec::{Linux, Mount, Spec};

/// Host paths, opened with the identity init was born with: the user's own, whatever the map. A home of mode
/// 0700 is closed to the container's root of `--userns=nomap`, and open to its user.
pub struct Sources {
    /// Where the root is attached, or the root itself.
    root: OwnedFd,
    overlay: Option<Overlay>,
    /// One per mount of the document, for binds.
    binds: Vec<Option<OwnedFd>>,
}

impl Sources {
    /// Opens them all, in the mount namespace in which they will be used; those of the pod's from `theirs`, if that is given.
    ///
    /// # Errors
    /// `not_found` or `kernel` naming the path.
    pub fn open(
        spec: &Spec,
        bundle: &Path,
        rootfs: Option<&Rootfs>,
        theirs: Option<&OwnedFd>,
    ) -> Result<Self> {
        let root = spec.root.as_ref().map_or("", |root| root.path.as_str());
        // CVE-2025-54867: resolved once, here; what is mounted is this descriptor.
        let root = open_host(&bundle.join(root), OFlags::PATH | OFlags::DIRECTORY)?;
        let overlay = rootfs.map(Overlay::open).transpose()?;
        let mut binds =
            spec.mounts.iter().map(|mount| open_bind(mount, bundle)).collect::<Result<Vec<_>>>()?;
        if let Some(theirs) = theirs {
            for (bind, clone) in binds.iter_mut().zip(shared::clone_all(&spec.mounts, theirs)?) {
                *bind = clone.or(bind.take());
            }
        }
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
        let propagation = spec.linux.as_ref().and_then(|linux| linux.rootfs_propagation.as_deref());
        let root = self.mount_root(propagation)?;
        for (mount, source) in spec.mounts.iter().zip(&self.binds) {
            entry::mount(root.as_fd(), mount, source.as_ref(), spec.linux.as_ref())?;
        }
        if !spec.mounts.iter().any(is_dev) {
            // config-linux.md#default-devices: also where the document mounts nothing there.
            let dev = make_dirs(root.as_fd(), Path::new("/dev"))?;
            devices::populate(dev.as_fd())?;
        }
        if let Some(linux) = &spec.linux {
            for device in &linux.devices {
                devices::add(root.as_fd(), device)?;
            }
        }
        Ok(root)
    }

    /// Mounts the root for a look from outside, attached in our own mount namespace, and with `binds` what the document
    /// binds into it where there is a place for it; returns the root. Nothing is made in it.
    ///
    /// # Errors
    /// `kernel` naming the mount.
    pub fn build_idle(&self, spec: &Spec, binds: bool) -> Result<OwnedFd> {
        let slash = open_host(Path::new("/"), OFlags::PATH | OFlags::DIRECTORY)?;
        mount::set_propagation(slash.as_fd(), libc::MS_SLAVE, true, "/")?;
        let root = self.mount_root(None)?;
        for (mount, source) in spec.mounts.iter().zip(&self.binds).filter(|_| binds) {
            let path = destination(&mount.destination)?;
            let is_kernels = ["/dev", "/proc", "/sys"].iter().any(|top| path.starts_with(top));
            if source.is_none() || is_kernels {
                continue;
            }
            if try_open_in_root(root.as_fd(), &path, OFlags::PATH).is_ok() {
                entry::mount(root.as_fd(), mount, source.as_ref(), spec.linux.as_ref())?;
            }
        }
        Ok(root)
    }

    fn mount_root(&self, propagation: Option<&str>) -> Result<OwnedFd> {
        let root = match &self.overlay {
            Some(overlay) => overlay.mount()?,
            None => clone_tree(self.root.as_fd(), true, "root")?,
        };
        attach(root.as_fd(), self.root.as_fd(), "/")?;
        // pivot_root refuses a new root whose mount is shared: `shared` is for later, see `set_propagation`. A slave
        // is one already, of what the host mounts there.
        if !matches!(propagation, Some("slave" | "rslave")) {
            mount::set_propagation(root.as_fd(), libc::MS_PRIVATE, false, "/")?;
        }
        Ok(root)
    }
}

fn open_bind(mount: &Mount, bundle: &Path) -> Result<Option<OwnedFd>> {
    let options = Options::parse(mount)?;
    if options.bind.is_none() || options.remount || shared::path_of(mount).is_some() {
        return Ok(None);
    }
    let source = bundle.join(mount.source.as_deref().unwrap_or_default());
    let source = open_host(&source, OFlags::PATH)?;
    if options.is_shared() {
        // Cloned while it is a peer of the host's own: what is mounted in it is to be seen there.
        return clone_tree(source.as_fd(), options.bind == Some(true), &mount.destination)
            .map(Some);
    }
    Ok(Some(source))
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

fn is_dev(mount: &Mount) -> bool {
    destination(&mount.destination).is_ok_and(|path| path == Path::new("/dev"))
}

/// What must be read-only but had to be written until now: `/dev` where asked, and the root.
fn seal(root: &OwnedFd, spec: &Spec) -> Result<()> {
    let attr = crate::sys::mount::MountAttr { attr_set: mount::RDONLY, ..Default::default() };
    let is_readonly = |mount: &Mount| {
        let options = Options::parse(mount).unwrap_or_default();
        is_dev(mount) && (options.attr.attr_set | options.recursive.attr_set) & mount::RDONLY != 0
    };
    if spec.mounts.iter().any(is_readonly) {
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

/// `linux.rootfsPropagation`, which pivot_root would have refused: from now on the root passes its mounts on, or
/// cannot be bound.
///
/// # Errors
/// `kernel`.
pub fn set_propagation(linux: &Linux) -> Result<()> {
    let word = linux.rootfs_propagation.as_deref().and_then(mount::propagation);
    let Some((flag @ (libc::MS_SHARED | libc::MS_UNBINDABLE), all)) = word else { return Ok(()) };
    let slash = open_host(Path::new("/"), OFlags::PATH | OFlags::DIRECTORY)?;
    mount::set_propagation(slash.as_fd(), flag, all, "/")
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
        let path = ["sys/", &sysctl_path(key)].concat();
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file =
            rustix::fs::openat2(&proc, path, flags, Mode::empty(), resolve).at("sysctl", key)?;
        write_all(&file, value.as_bytes()).at("sysctl", key)?;
    }
    Ok(())
}

/// A parameter as a path below /proc/sys. As sysctl(8): where a slash comes first, dots are part of names (eth0.100).
#[must_use]
pub fn sysctl_path(key: &str) -> String {
    if key.find(['.', '/']).is_some_and(|at| key.as_bytes()[at] == b'/') {
        return key.to_owned();
    }
    let swap = |c: char| match c {
        '.' => '/',
        '/' => '.',
        c => c,
    };
    key.chars().map(swap).collect()
}

/// Makes the working directory where the image lacks it.
///
/// # Errors
/// `kernel`.
pub fn make_directory(root: &OwnedFd, path: &str) -> Result<()> {
    if Path::new(path).components().all(|part| !matches!(part, Component::Normal(_))) {
        return Ok(()); // the root, by whatever name
    }
    make_dirs(root.as_fd(), &destination(path)?).map(drop)
}
