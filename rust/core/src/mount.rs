//! One mount of `config.json`: made detached, then attached by descriptor.

mod idmap;
mod options;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags,
};

use crate::error::{At, Error, Result};
use crate::sys::mount::{MountAttr, mount_setattr};

pub use idmap::map_ids;
pub use options::{NODEV, NOEXEC, NOSUID, Options, RDONLY, known, propagation};

/// Makes a file system that is mounted nowhere yet: data first, then the flags of the mount.
///
/// # Errors
/// `kernel`, with what the file system itself said where it says something.
pub fn make_filesystem(
    fs_type: &str,
    source: &str,
    data: &[String],
    attr: u64,
    destination: &str,
) -> Result<OwnedFd> {
    let step = "mount";
    let context =
        rustix::mount::fsopen(fs_type, FsOpenFlags::FSOPEN_CLOEXEC).at(step, destination)?;
    let make = || -> std::result::Result<OwnedFd, Errno> {
        if !source.is_empty() {
            rustix::mount::fsconfig_set_string(&context, "source", source)?;
        }
        configure(&context, data)?;
        rustix::mount::fsconfig_create(&context)?;
        rustix::mount::fsmount(
            &context,
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::from_bits_retain(u32::try_from(attr).unwrap_or(0)),
        )
    };
    make().map_err(|errno| {
        let error = Error::kernel(step, destination, errno.raw_os_error());
        explain(&context, error)
    })
}

/// Adds the file system's own words, which the context queues as `e message`.
pub(crate) fn explain(context: &OwnedFd, mut error: Error) -> Error {
    let mut buffer = [0_u8; 512];
    while let Ok(count) = rustix::io::read(context, &mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..count]);
        if let Some(message) = text.trim_end().strip_prefix("e ") {
            error.message = format!("{} ({message})", error.message);
        }
        if count == 0 {
            break;
        }
    }
    error
}

/// Tells the file system of a mount what to change.
///
/// # Errors
/// `kernel`; EPERM where it was mounted from another user namespace.
pub fn reconfigure(mount: BorrowedFd<'_>, data: &[String], destination: &str) -> Result<()> {
    let step = "remount";
    let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
    let context = rustix::mount::fspick(mount, "", flags).at(step, destination)?;
    configure(&context, data)
        .and_then(|()| rustix::mount::fsconfig_reconfigure(&context))
        .at(step, destination)
        .map_err(|error| explain(&context, error))
}

fn configure(context: &OwnedFd, data: &[String]) -> std::result::Result<(), Errno> {
    data.iter().try_for_each(|option| match option.split_once('=') {
        Some((key, value)) => rustix::mount::fsconfig_set_string(context, key, value),
        None => rustix::mount::fsconfig_set_flag(context, option.as_str()),
    })
}

/// A detached copy of the mount at `source`, with all below it if `recursive`.
///
/// # Errors
/// `kernel`; EINVAL where mounts below are locked by a parent namespace and `recursive` is false.
pub fn clone_tree(source: BorrowedFd<'_>, recursive: bool, name: &str) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    rustix::mount::open_tree(source, "", flags).at("bind", name).map_err(|error| match error.errno {
        Some(libc::EINVAL) if !recursive => {
            error.with_hint("use rbind: what is mounted below the source cannot be left out by a user namespace")
        }
        _ => error,
    })
}

/// Attaches a detached mount on the file or directory that `target` holds.
///
/// CVE-2021-30465: both ends are descriptors; nothing can be swapped between the check and the mount.
///
/// # Errors
/// `kernel` with the destination as subject.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>, destination: &str) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", target, "", flags).at("mount", destination)
}

/// Sets the attributes of a mount.
///
/// A bind keeps the flags of what it shows, and takes on those that were asked for: so flags that are locked by the
/// namespace above ours stay as they are, unless the document says in so many words that they must not.
///
/// # Errors
/// `kernel`; EPERM where a locked flag would be cleared, naming it.
pub fn set_attributes(mount: BorrowedFd<'_>, options: &Options, destination: &str) -> Result<()> {
    for (attr, recursive) in [(&options.attr, false), (&options.recursive, true)] {
        if attr.attr_set != 0 || attr.attr_clr != 0 {
            mount_setattr(mount, recursive, attr)
                .at("set mount options of", destination)
                .map_err(|error| explain_locked(error, mount, attr))?;
        }
    }
    Ok(())
}

/// Which flags the kernel would not let go of. The first four of statfs(2) and mount_setattr(2) are the same bits.
fn explain_locked(mut error: Error, mount: BorrowedFd<'_>, attr: &MountAttr) -> Error {
    let Ok(stat) = rustix::fs::fstatfs(mount) else { return error };
    if error.errno != Some(libc::EPERM) {
        return error;
    }
    let locked = stat.f_flags.cast_unsigned() & attr.attr_clr;
    let names = [(RDONLY, "ro"), (NOSUID, "nosuid"), (NODEV, "nodev"), (NOEXEC, "noexec")];
    let names: Vec<&str> =
        names.iter().filter(|(flag, _)| locked & flag != 0).map(|(_, name)| *name).collect();
    let names = if names.is_empty() { "an atime flag".to_owned() } else { names.join(",") };
    error.message = [
        &error.message,
        " (the host's mount has ",
        &names,
        ", and a user namespace cannot clear it)",
    ]
    .concat();
    error
}

/// Sets propagation, which only means something once the mount is in a namespace.
///
/// # Errors
/// `kernel`.
pub fn set_propagation(
    mount: BorrowedFd<'_>,
    flag: u64,
    recursive: bool,
    name: &str,
) -> Result<()> {
    let attr = MountAttr { propagation: flag, ..MountAttr::default() };
    mount_setattr(mount, recursive, &attr).at("set propagation of", name)
}

/// Attributes for a new file system: what fsmount takes, the clearing words being its default anyway.
#[must_use]
pub fn new_attributes(options: &Options) -> u64 {
    (options.attr.attr_set | options.recursive.attr_set) & !RDONLY
}

/// Makes the mount at `path` (and all below it) read-only by a bind onto itself.
///
/// # Errors
/// `kernel`.
pub fn make_readonly(target: impl AsFd, path: &Path) -> Result<()> {
    let name = path.to_string_lossy();
    let tree = clone_tree(target.as_fd(), true, &name)?;
    let attr = MountAttr { attr_set: RDONLY, ..MountAttr::default() };
    mount_setattr(tree.as_fd(), true, &attr).at("make read-only", path)?;
    attach(tree.as_fd(), target.as_fd(), &name)
}
