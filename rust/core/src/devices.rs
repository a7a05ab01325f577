//! `/dev` without mknod: the host's nodes bound in, links and the pseudo-terminal multiplexer
//! (runtime-spec config-linux.md#default-devices, runtime-linux.md#dev-symbolic-links).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{At, Code, Error, Result};
use crate::mount::{attach, clone_tree};
use crate::paths::{make_mount_point, open_host, stat};
use crate::spec::Device;

/// Name, major, minor: what a node must be before it is trusted.
const DEFAULT_DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

const LINKS: [(&str, &str); 6] = [
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
];

/// Opens the host's device and proves that it is that device.
///
/// CVE-2025-31133, CVE-2026-88265: a node that is something else would be bound over masked paths or become
/// stdio; the descriptor is checked, and the descriptor is what is used.
///
/// # Errors
/// `denied` naming the node.
pub fn open_device(path: &Path, major: u32, minor: u32) -> Result<OwnedFd> {
    let node = open_host(path, OFlags::PATH | OFlags::NOFOLLOW)?;
    let stat = stat(&node, path)?;
    let is_char = FileType::from_raw_mode(stat.st_mode).is_char_device();
    let is_it =
        rustix::fs::major(stat.st_rdev) == major && rustix::fs::minor(stat.st_rdev) == minor;
    if is_char && is_it {
        return Ok(node);
    }
    let message = format!("is not the character device {major}:{minor}");
    Err(Error::new(Code::Denied, "device", path.to_string_lossy(), message))
}

/// The host's `/dev/null`, proven.
///
/// # Errors
/// `denied`.
pub fn open_null() -> Result<OwnedFd> {
    open_device(Path::new("/dev/null"), 1, 3)
}

/// Fills an empty `/dev` that is ours: default devices and links.
///
/// CVE-2026-41579: everything is made relative to the descriptor of the tmpfs just mounted there, so a symlink
/// of the image at `/dev` was followed, inside, before and never matters again.
///
/// # Errors
/// `kernel` naming the node.
pub fn populate(dev: BorrowedFd<'_>) -> Result<()> {
    for (name, major, minor) in DEFAULT_DEVICES {
        let source = open_device(&Path::new("/dev").join(name), major, minor)?;
        bind_node(dev, name, source.as_fd())?;
    }
    for (name, target) in LINKS {
        match rustix::fs::symlinkat(target, dev, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).at("symlink", Path::new("/dev").join(name)),
        }
    }
    Ok(())
}

/// Binds an opened node at `name` in the directory `dev`.
///
/// # Errors
/// `kernel`.
pub fn bind_node(dev: BorrowedFd<'_>, name: &str, source: BorrowedFd<'_>) -> Result<()> {
    let shown = format!("/dev/{name}");
    let flags =
        OFlags::CREATE | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let target = rustix::fs::openat(dev, name, flags, Mode::from_raw_mode(0o600))
        .at("create", shown.as_str())?;
    let node = clone_tree(source, false, &shown)?;
    attach(node.as_fd(), target.as_fd(), &shown)
}

/// Binds a device of `linux.devices`: the kernel denies mknod in a user namespace, a bind needs no privilege.
///
/// # Errors
/// `not_found` if the host has no such node, `invalid_spec` if it is another one, `unsupported` for FIFOs.
pub fn bind_extra(root: BorrowedFd<'_>, device: &Device) -> Result<()> {
    let path = Path::new(&device.path);
    if !matches!(device.kind.as_str(), "c" | "u" | "b") {
        let message = format!("type {} cannot be made without mknod", device.kind);
        return Err(Error::new(Code::Unsupported, "linux.devices", device.path.clone(), message));
    }
    let source = open_host(path, OFlags::PATH)?;
    let found = stat(&source, path)?;
    let (major, minor) = (rustix::fs::major(found.st_rdev), rustix::fs::minor(found.st_rdev));
    if device.major.is_some_and(|want| want != i64::from(major))
        || device.minor.is_some_and(|want| want != i64::from(minor))
    {
        let message = format!("the host's node is {major}:{minor}");
        return Err(Error::new(Code::InvalidSpec, "linux.devices", device.path.clone(), message));
    }
    let target = make_mount_point(root, path, false)?;
    let node = clone_tree(source.as_fd(), false, &device.path)?;
    attach(node.as_fd(), target.as_fd(), &device.path)
}
