//! Giving a tree to another owner.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, chownat, fchown, open};
use rustix::io::Errno;

use super::{below, entries, open_directory};
use crate::{At, Result};

/// Gives `path` and everything below it to `uid:gid`; links themselves, not what they point to.
///
/// The kernel takes set-ID bits and file capabilities from files that change hands.
///
/// # Errors
/// `kernel` naming the entry; EINVAL for an ID that the user namespace does not have.
pub fn chown(path: &Path, uid: u32, gid: u32) -> Result<()> {
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = match open(path, flags, Mode::empty()) {
        Err(Errno::NOTDIR | Errno::LOOP) => {
            return chownat(rustix::fs::CWD, path, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
                .at("chown", path);
        }
        other => other.at("open", path)?,
    };
    fchown(&root, uid, gid).at("chown", path)?;
    // Paths, not descriptors, wait here, so that a wide tree needs no more descriptors than a narrow one.
    let mut waiting = vec![Vec::new()];
    while let Some(directory) = waiting.pop() {
        let here = || path.join(OsStr::from_bytes(&directory));
        let fd = match open_directory(&root, &directory) {
            // Gone meanwhile, or a mount, which is not part of the tree.
            Err(Errno::NOENT | Errno::XDEV) => continue,
            other => other.at("open", here())?,
        };
        for (name, kind) in entries(&fd).at("read", here())? {
            match chownat(&fd, name.as_slice(), uid, gid, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                other => other.at("chown", here().join(OsStr::from_bytes(&name)))?,
            }
            if kind == FileType::Directory {
                waiting.push(below(&directory, &name));
            }
        }
    }
    Ok(())
}
