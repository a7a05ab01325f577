//! How much a tree holds.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, open, statat};
use rustix::io::Errno;

use super::{below, entries, open_directory};
use crate::{At, Result};

/// Bytes of all files below `path`, each counted once however many names it has.
///
/// # Errors
/// `kernel` naming the entry.
pub fn measure(path: &Path) -> Result<u64> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = open(path, flags, Mode::empty()).at("open", path)?;
    let mut size = 0u64;
    let mut counted = HashSet::new();
    let mut waiting = vec![Vec::new()];
    while let Some(directory) = waiting.pop() {
        let here = || path.join(OsStr::from_bytes(&directory));
        let fd = match open_directory(&root, &directory) {
            Err(Errno::NOENT | Errno::XDEV) => continue,
            other => other.at("open", here())?,
        };
        for (name, kind) in entries(&fd).at("read", here())? {
            if kind == FileType::Directory {
                waiting.push(below(&directory, &name));
                continue;
            }
            let stat = match statat(&fd, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                other => other.at("stat", here().join(OsStr::from_bytes(&name)))?,
            };
            let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
            if is_file && (stat.st_nlink == 1 || counted.insert((stat.st_dev, stat.st_ino))) {
                size = size.saturating_add(stat.st_size.cast_unsigned());
            }
        }
    }
    Ok(size)
}
