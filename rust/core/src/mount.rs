//! One mount of `config.json`: its options parsed by table, made detached, then attached by descriptor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};

use crate::error::{At, Code, Error, Result};
use crate::spec::Mount;
use crate::sys::mount::{MountAttr, mount_setattr};

/// linux/mount.h.
pub const RDONLY: u64 = 0x01;
const NOSUID: u64 = 0x02;
const NODEV: u64 = 0x04;
const NOEXEC: u64 = 0x08;
const ATIME: u64 = 0x70;
const NOATIME: u64 = 0x10;
const STRICTATIME: u64 = 0x20;
const NODIRATIME: u64 = 0x80;
const NOSYMFOLLOW: u64 = 0x0020_0000;

/// Option, bits to set, bits to clear. With an `r` before it, recursively (runtime-spec config.md#mounts).
const ATTRIBUTES: [(&str, u64, u64); 15] = [
    ("ro", RDONLY, 0),
    ("rw", 0, RDONLY),
    ("nosuid", NOSUID, 0),
    ("suid", 0, NOSUID),
    ("nodev", NODEV, 0),
    ("dev", 0, NODEV),
    ("noexec", NOEXEC, 0),
    ("exec", 0, NOEXEC),
    ("noatime", NOATIME, ATIME),
    ("strictatime", STRICTATIME, ATIME),
    ("relatime", 0, ATIME),
    ("nodiratime", NODIRATIME, 0),
    ("diratime", 0, NODIRATIME),
    ("nosymfollow", NOSYMFOLLOW, 0),
    ("symfollow", 0, NOSYMFOLLOW),
];

/// Option, MS_* propagation, whether recursive.
const PROPAGATION: [(&str, u64, bool); 8] = [
    ("private", libc::MS_PRIVATE, false),
    ("rprivate", libc::MS_PRIVATE, true),
    ("slave", libc::MS_SLAVE, false),
    ("rslave", libc::MS_SLAVE, true),
    ("shared", libc::MS_SHARED, false),
    ("rshared", libc::MS_SHARED, true),
    ("unbindable", libc::MS_UNBINDABLE, false),
    ("runbindable", libc::MS_UNBINDABLE, true),
];

/// mount(8) words that say what the kernel does anyway.
const DEFAULTS: [&str; 6] = ["defaults", "async", "nomand", "norelatime", "nostrictatime", "loud"];

/// The options of one mount, sorted by who applies them.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// None: a new file system. Some(recursive): a bind.
    pub bind: Option<bool>,
    /// For this mount alone.
    pub attr: MountAttr,
    /// For this mount and all below it.
    pub recursive: MountAttr,
    /// MS_* and whether recursive.
    pub propagation: Option<(u64, bool)>,
    /// Copy what the image has at the destination into the new tmpfs.
    pub copy_up: bool,
    /// What the file system itself is told: `key[=value]`.
    pub data: Vec<String>,
}

impl Options {
    /// Sorts the options of a mount.
    ///
    /// # Errors
    /// `unsupported` for ID-mapped mounts, which the kernel denies outside the file system's own namespace.
    pub fn parse(mount: &Mount) -> Result<Self> {
        let mut options = Self::default();
        if mount.fs_type.as_deref() == Some("bind") {
            options.bind = Some(false);
        }
        for option in &mount.options {
            options.add(option, &mount.destination)?;
        }
        if !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty() {
            return Err(unsupported_idmap(&mount.destination));
        }
        Ok(options)
    }

    fn add(&mut self, option: &str, destination: &str) -> Result<()> {
        if let Some(&(_, set, clear)) = ATTRIBUTES.iter().find(|(name, ..)| *name == option) {
            merge(&mut self.attr, set, clear);
        } else if let Some(&(_, set, clear)) = option
            .strip_prefix('r')
            .and_then(|rest| ATTRIBUTES.iter().find(|(name, ..)| *name == rest))
        {
            merge(&mut self.recursive, set, clear);
        } else if let Some(&(_, flag, all)) = PROPAGATION.iter().find(|(name, ..)| *name == option)
        {
            self.propagation = Some((flag, all));
        } else {
            match option {
                "bind" => self.bind = Some(self.bind.unwrap_or(false)),
                "rbind" => self.bind = Some(true),
                "idmap" | "ridmap" => return Err(unsupported_idmap(destination)),
                "tmpcopyup" => self.copy_up = true,
                _ if DEFAULTS.contains(&option) => {}
                _ => self.data.push(option.to_owned()),
            }
        }
        Ok(())
    }
}

fn merge(attr: &mut MountAttr, set: u64, clear: u64) {
    attr.attr_set = (attr.attr_set & !clear) | set;
    // The atime bits are one number to the kernel, cleared as a whole before any is set.
    attr.attr_clr |= clear | if set & ATIME == 0 { 0 } else { ATIME };
    attr.attr_clr &= !(set & !ATIME);
}

fn unsupported_idmap(destination: &str) -> Error {
    Error::new(
        Code::Unsupported,
        "mounts",
        destination,
        "ID-mapped mounts need privileges over the file system",
    )
}

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
    let configure = || -> std::result::Result<OwnedFd, Errno> {
        if !source.is_empty() {
            rustix::mount::fsconfig_set_string(&context, "source", source)?;
        }
        for option in data {
            match option.split_once('=') {
                Some((key, value)) => rustix::mount::fsconfig_set_string(&context, key, value)?,
                None => rustix::mount::fsconfig_set_flag(&context, option.as_str())?,
            }
        }
        rustix::mount::fsconfig_create(&context)?;
        rustix::mount::fsmount(
            &context,
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::from_bits_retain(u32::try_from(attr).unwrap_or(0)),
        )
    };
    configure().map_err(|errno| {
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
    rustix::mount::open_tree(source, "", flags).at("bind", name)
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

/// Sets attributes and propagation of a mount that nobody else can see yet.
///
/// # Errors
/// `kernel`; EPERM where a locked flag would be cleared (the flags of a parent's mount stay on).
pub fn set_attributes(mount: BorrowedFd<'_>, options: &Options, destination: &str) -> Result<()> {
    for (attr, recursive) in [(&options.attr, false), (&options.recursive, true)] {
        if attr.attr_set != 0 || attr.attr_clr != 0 {
            mount_setattr(mount, recursive, attr).at("set mount options of", destination)?;
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> Options {
        let mount = Mount {
            destination: "/x".to_owned(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            ..Mount::default()
        };
        Options::parse(&mount).unwrap()
    }

    #[test]
    fn the_last_word_wins() {
        let options = parse(&["ro", "rw", "noexec"]);
        assert_eq!(options.attr.attr_set, NOEXEC);
        assert_eq!(options.attr.attr_clr, RDONLY);
    }

    #[test]
    fn atime_is_one_number() {
        let options = parse(&["noatime", "strictatime"]);
        assert_eq!(options.attr.attr_set, STRICTATIME);
        assert_eq!(options.attr.attr_clr, ATIME);
    }

    #[test]
    fn recursive_words_are_not_binds() {
        let options = parse(&["rbind", "rro", "rslave", "size=1m"]);
        assert_eq!(options.bind, Some(true));
        assert_eq!(options.recursive.attr_set, RDONLY);
        assert_eq!(options.propagation, Some((libc::MS_SLAVE, true)));
        assert_eq!(options.data, ["size=1m"]);
    }
}
