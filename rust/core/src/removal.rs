//! Removing trees: by descriptors, never through a symlink, allocating nothing on the disk.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{At, Result};
use crate::paths::open_host;

/// Removes a file or a tree; one that is absent is no error.
///
/// # Errors
/// `kernel` with the path as subject: EACCES and EPERM where the tree holds what is not ours.
pub fn remove_path(path: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    match open_host(parent, OFlags::PATH | OFlags::DIRECTORY) {
        Err(error) if error.errno == Some(libc::ENOENT) => Ok(()),
        parent => remove_entry(parent?.as_fd(), name).at("remove", path),
    }
}

fn remove_entry(parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(errno) => return Err(errno),
    }
    // Most directories here are empty: overlayfs's work, an upper that nothing was written to.
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    empty_directory(parent, name)?;
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

fn empty_directory(parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(parent, name, flags, Mode::empty());
    let dir = match open() {
        // Without read or search permission for its owner: overlayfs makes work/work so.
        Err(Errno::ACCESS) => {
            rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            open()?
        }
        result => result?,
    };
    let mut failure = None;
    let mut retried = false;
    for entry in Dir::read_from(&dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let name: &OsStr = std::os::unix::ffi::OsStrExt::from_bytes(name.to_bytes());
        let mut result = remove_entry(dir.as_fd(), name);
        if result == Err(Errno::ACCESS) && !retried {
            // The directory itself may not be writable for its owner.
            retried = true;
            if rustix::fs::fchmod(&dir, Mode::RWXU).is_ok() {
                result = remove_entry(dir.as_fd(), name);
            }
        }
        // Go on: what can go should go, and the first refusal is the one to tell.
        failure = failure.or(result.err());
    }
    failure.map_or(Ok(()), Err)
}
