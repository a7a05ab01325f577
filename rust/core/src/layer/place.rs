//! Where a member goes: its path made harmless, and what is done to a name in an open directory.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps, XattrFlags, fsetxattr, openat,
    statat,
};
use rustix::io::Errno;

use super::archive::{Member, Timestamp};
use super::bad;
use crate::{At, Code, Error, Result};

/// A name in an open directory, with the whole path for errors.
#[derive(Clone)]
pub(super) struct Place<'a> {
    pub(super) dir: Rc<OwnedFd>,
    pub(super) name: &'a [u8],
    pub(super) path: &'a [u8],
}

impl Place<'_> {
    pub(super) fn stat(&self) -> Result<Stat> {
        statat(&self.dir, self.name, AtFlags::SYMLINK_NOFOLLOW).at("stat", os(self.path))
    }

    pub(super) fn open(&self, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        openat(&self.dir, self.name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode)
            .at("open", os(self.path))
    }
}

/// Attributes that would act on our own mechanism, or that no user may set: trusted ones, labels of this
/// machine's security modules, and what overlayfs and pyrt keep for themselves.
pub(super) fn is_foreign(name: &[u8]) -> bool {
    let own = [b"user.overlay.".as_slice(), b"user.pyrt.", b"trusted."];
    let labels =
        [b"security.selinux".as_slice(), b"security.ima", b"security.evm", b"security.SMACK64"];
    own.iter().any(|prefix| name.starts_with(prefix)) || labels.contains(&name)
}

/// The path without what does not move it: relative to the destination, one slash between names.
pub(super) fn beneath(path: &[u8]) -> Result<Vec<u8>> {
    let mut clean = Vec::with_capacity(path.len());
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => return Err(bad(path, "has .. in its name")),
            _ => {}
        }
        if !clean.is_empty() {
            clean.push(b'/');
        }
        clean.extend_from_slice(part);
    }
    Ok(clean)
}

/// Parent and last name of a clean path; `None` of the root.
pub(super) fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.is_empty() {
        return None;
    }
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => Some((&path[..at], &path[at + 1..])),
        None => Some((b"", path)),
    }
}

pub(super) fn os(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path))
}

pub(super) fn times(mtime: Timestamp) -> Timestamps {
    let time = Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds as _ };
    Timestamps { last_access: time, last_modification: time }
}

pub(super) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Marks a directory as opaque: overlayfs shows nothing of lower layers in it.
pub(super) fn hide_lower(fd: &OwnedFd, path: &[u8]) -> Result<()> {
    fsetxattr(fd, "user.overlay.opaque", b"y", XattrFlags::empty())
        .at("set user.overlay.opaque of", os(path))
}

pub(super) fn chown_error(errno: Errno, member: &Member, path: &[u8]) -> Error {
    let path = String::from_utf8_lossy(path).into_owned();
    if errno != Errno::INVAL {
        return Error::kernel("chown", path, errno.raw_os_error());
    }
    let message =
        format!("owner {}:{} does not exist in the user namespace", member.uid, member.gid);
    let mut error = Error::new(Code::Denied, "chown", path, message)
        .with_hint("give this user more subordinate IDs in /etc/subuid and /etc/subgid");
    error.errno = Some(libc::EINVAL);
    error
}

pub(super) fn link_error(errno: Errno, path: &[u8], target: &[u8]) -> Error {
    let target = String::from_utf8_lossy(target);
    match errno {
        Errno::NOENT => {
            bad(path, format!("is a hard link to {target}, which is not in this layer"))
        }
        Errno::LOOP | Errno::NOTDIR => {
            bad(path, format!("is a hard link to {target}, which is not below a directory"))
        }
        errno => Error::kernel("link", String::from_utf8_lossy(path), errno.raw_os_error()),
    }
}
