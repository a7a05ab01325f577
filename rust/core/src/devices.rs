//! `/dev` without mknod: the host's nodes bound in, links and the pseudo-terminal multiplexer
//! (runtime-spec config-linux.md#default-devices, runtime-linux.md#dev-symbolic-links).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use crate::error::{At, Code, Error, Result};
use crate::mount::{attach, clone_tree};
use crate::paths::{make_dirs, make_mount_point, open_host, stat, try_open_in_root};
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

/// Fills `/dev`: default devices and links.
///
/// CVE-2026-41579: everything is made relative to the descriptor of the directory, which is a tmpfs of ours or was looked
/// up beneath the root: a symlink of the image at `/dev` was followed, inside, and never matters again.
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
/// `kernel`; `denied` if the image has something else there.
pub fn bind_node(dev: BorrowedFd<'_>, name: &str, source: BorrowedFd<'_>) -> Result<()> {
    let shown = ["/dev/", name].concat();
    let look = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(dev, name, look, Mode::empty());
    let target = match open() {
        Err(Errno::NOENT) => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDONLY | OFlags::CLOEXEC;
            match rustix::fs::openat(dev, name, flags, Mode::from_raw_mode(0o600)) {
                Ok(_) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno).at("create", shown.as_str()),
            }
            open()
        }
        result => result,
    };
    let target = target.at("open", shown.as_str())?;
    // CVE-2026-88264, CVE-2025-52565: never where a symlink of the image leads.
    if FileType::from_raw_mode(stat(&target, Path::new(&shown))?.st_mode).is_symlink() {
        return Err(Error::new(Code::Denied, "device", shown, "is a symlink in the image"));
    }
    let node = clone_tree(source, false, &shown)?;
    attach(node.as_fd(), target.as_fd(), &shown)
}

/// Adds a device of `linux.devices`: the kernel denies mknod in a user namespace, but for a FIFO, and a bind needs no
/// privilege. A bound node has the owner and mode that it has on the host; nobody inside may change them.
///
/// # Errors
/// `not_found` if the host has no such node, `invalid_spec` if it, or what the image has there, is another one.
pub fn add(root: BorrowedFd<'_>, device: &Device) -> Result<()> {
    let path = &entry_path(device)?;
    let want = match device.kind.as_str() {
        "p" => return make_fifo(root, path, device),
        "b" => FileType::BlockDevice,
        _ => FileType::CharacterDevice,
    };
    match try_open_in_root(root, path, OFlags::PATH) {
        Err(Errno::NOENT) => {}
        found => {
            let found = stat(found.at("open", path)?, path)?;
            let kind = FileType::from_raw_mode(found.st_mode);
            // An empty file is a mount point, of an earlier container of this root.
            let is_place = kind.is_file() && found.st_size == 0;
            if !is_place && !is_device(&found, want, device) {
                return Err(refuse(device, "the image has something else there"));
            }
        }
    }
    let source = match find_node(device, want) {
        Ok(source) => source,
        Err(error) => return make_node(root, path, device, want).map_err(|own| join(own, error)),
    };
    let target = make_mount_point(root, path, false)?;
    let node = clone_tree(source.as_fd(), false, &device.path)?;
    attach(node.as_fd(), target.as_fd(), &device.path)
}

/// What is left where the host has no node to bind; the kernel says EPERM, except to the machine's root.
fn make_node(root: BorrowedFd<'_>, path: &Path, device: &Device, want: FileType) -> Result<()> {
    let parent = make_dirs(root, path.parent().unwrap_or(Path::new("/")))?;
    let mode = Mode::from_raw_mode(device.file_mode.unwrap_or(0o666) & 0o7777);
    let number = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
    let (Some(major), Some(minor)) = (number(device.major), number(device.minor)) else {
        return Err(refuse(device, "major and minor are no numbers of a device"));
    };
    let number = rustix::fs::makedev(major, minor);
    let name = path.file_name().unwrap_or_default();
    rustix::fs::mknodat(&parent, name, want, mode, number).at("linux.devices", path)
}

/// Why neither would do.
fn join(own: Error, bind: Error) -> Error {
    if own.errno == Some(libc::EEXIST) {
        return bind; // the mount point is there already
    }
    let message = [&own.message, " (and to bind: ", &bind.message, ")"].concat();
    Error { message, ..own }
}

/// The host's node: at the same path, or at the one that udev or the kernel gives this number.
fn find_node(device: &Device, want: FileType) -> Result<OwnedFd> {
    let (Some(major), Some(minor)) = (device.major, device.minor) else {
        return Err(refuse(device, "needs major and minor"));
    };
    let kind = if want == FileType::BlockDevice { "block" } else { "char" };
    let numbered = ["/dev/", kind, "/", &major.to_string(), ":", &minor.to_string()].concat();
    let default = DEFAULT_DEVICES
        .iter()
        .find(|(_, a, b)| kind == "char" && (i64::from(*a), i64::from(*b)) == (major, minor))
        .map(|(name, ..)| ["/dev/", name].concat());
    let candidates = [Some(device.path.clone()), Some(numbered), default];
    let mut first = None;
    for path in candidates.iter().flatten().map(Path::new) {
        match open_host(path, OFlags::PATH) {
            Ok(node) if is_device(&stat(&node, path)?, want, device) => return Ok(node),
            Ok(_) => {
                let message = "the host's node there is another one";
                first = first.or(Some(refuse(device, message)));
            }
            Err(error) => {
                first = first.or(Some(Error { step: "linux.devices".to_owned(), ..error }));
            }
        }
    }
    Err(first.unwrap_or_else(|| refuse(device, "the host has no such node")))
}

fn is_device(found: &Stat, want: FileType, device: &Device) -> bool {
    FileType::from_raw_mode(found.st_mode) == want
        && device.major == Some(rustix::fs::major(found.st_rdev).into())
        && device.minor == Some(rustix::fs::minor(found.st_rdev).into())
}

/// The one kind that needs no privilege, so it is made as asked for.
fn make_fifo(root: BorrowedFd<'_>, path: &Path, device: &Device) -> Result<()> {
    let parent = make_dirs(root, path.parent().unwrap_or(Path::new("/")))?;
    let name = path.file_name().unwrap_or_default();
    let mode = Mode::from_raw_mode(device.file_mode.unwrap_or(0o666) & 0o7777);
    match rustix::fs::mknodat(&parent, name, FileType::Fifo, mode, 0) {
        Ok(()) => {}
        Err(Errno::EXIST) => {
            let found = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW);
            if FileType::from_raw_mode(found.at("stat", path)?.st_mode).is_fifo() {
                return Ok(());
            }
            return Err(refuse(device, "the image has something else there"));
        }
        Err(errno) => return Err(errno).at("mknod", path),
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fifo = rustix::fs::openat(&parent, name, flags, Mode::empty()).at("open", path)?;
    let (uid, gid) = (device.uid.map(Uid::from_raw), device.gid.map(Gid::from_raw));
    rustix::fs::chownat(&fifo, "", uid, gid, AtFlags::EMPTY_PATH).at("chown", path)?;
    // Without our umask, and without what chown takes away.
    rustix::fs::chmodat(&parent, name, mode, AtFlags::empty()).at("chmod", path)
}

fn entry_path(device: &Device) -> Result<PathBuf> {
    let path = PathBuf::from(&device.path);
    let is_plain = path.is_absolute()
        && path.file_name().is_some()
        && !path.components().any(|part| part == Component::ParentDir);
    if is_plain { Ok(path) } else { Err(refuse(device, "is not the absolute path of a file")) }
}

/// Refuses a device that cannot be.
///
/// # Errors
/// `invalid_spec` naming the path.
pub fn check(device: &Device) -> Result<()> {
    entry_path(device)?;
    match device.kind.as_str() {
        "p" => Ok(()),
        "c" | "u" | "b" if device.major.is_some() && device.minor.is_some() => Ok(()),
        "c" | "u" | "b" => Err(refuse(device, "needs major and minor")),
        _ => Err(refuse(device, "is of no type that there is: c, b, u or p")),
    }
}

fn refuse(device: &Device, message: &str) -> Error {
    Error::new(Code::InvalidSpec, "linux.devices", device.path.as_str(), message)
}
