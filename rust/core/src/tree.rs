//! Whole directory trees: removed, given to another owner, copied with owners shifted.
//!
//! A container may have made what is removed here, and may still be writing into it: no symbolic link is
//! followed, no mount is entered (a mount left over in a bundle is somebody's data), depth is bounded by
//! nothing but the disk, so nothing here recurses.

mod chown;
mod compare;
mod copy;
mod measure;
mod merge;
mod remove;
mod share;
mod shift;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

pub use chown::chown;
pub use compare::{Change, compare};
pub use copy::{copy_contents, copy_shifted};
pub use measure::measure;
pub use remove::{remove, remove_path};
pub use share::{METACOPY, REDIRECT, Shared, Source, share_shifted};
pub use shift::IdMap;
pub(crate) use shift::outside;

/// Neither out of the directory, nor through a link, nor into another file system.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

pub(crate) fn open_directory(parent: impl AsFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat2(parent, if path.is_empty() { b"." } else { path }, flags, Mode::empty(), BENEATH)
}

/// Names in a directory with their types, `.` and `..` left out.
pub(crate) fn entries(directory: &OwnedFd) -> Result<Vec<(Vec<u8>, FileType)>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push((name.to_vec(), entry.file_type()));
        }
    }
    Ok(names)
}

/// `parent/name`, or `name` at the top.
pub(crate) fn below(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}
