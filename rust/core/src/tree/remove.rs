//! Removing a tree.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, chmod, fchmod, open, openat, renameat, unlinkat,
};
use rustix::io::Errno;

use super::{entries, open_directory};
use crate::{At, Code, Error, Result};

/// Descriptors held at once; what lies deeper is first moved up.
const MAX_DEPTH: usize = 64;

/// Removes `path` and everything below it. Absent is no error.
///
/// # Errors
/// As [`remove`].
pub fn remove_path(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let Some(name) = path.file_name() else {
        return Err(Error::new(Code::InvalidSpec, "remove", path.to_string_lossy(), "has no name"));
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            match open(parent, flags, Mode::empty()) {
                Err(Errno::NOENT) => return Ok(()),
                other => Some(other.at("open", parent)?),
            }
        }
        _ => None,
    };
    let parent = parent.as_ref().map_or(CWD, AsFd::as_fd);
    Removal { root: path.as_os_str().as_bytes().to_vec() }.run(parent, name.as_bytes())
}

/// Removes `name` in the directory `parent`, and everything below it. Absent is no error.
///
/// # Errors
/// `kernel` naming the first entry that refused, after everything else is gone; EXDEV or EBUSY for a mount point,
/// which is never entered.
pub fn remove(parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    Removal { root: name.to_vec() }.run(parent, name)
}

struct Removal {
    /// For errors.
    root: Vec<u8>,
}

/// A directory that is being emptied.
struct Level {
    fd: OwnedFd,
    /// Its name in the level above.
    name: Vec<u8>,
    /// Entries to remove; the last first.
    left: Vec<(Vec<u8>, FileType)>,
    /// Something in it stays, so it stays.
    is_kept: bool,
}

impl Level {
    /// unlinkat(2) in this directory, opening it to ourselves if it is closed: it goes anyway.
    fn unlink(&self, name: &[u8], flags: AtFlags) -> Result<(), Errno> {
        match unlinkat(&self.fd, name, flags) {
            Err(Errno::ACCESS) if fchmod(&self.fd, Mode::RWXU).is_ok() => {
                unlinkat(&self.fd, name, flags)
            }
            other => other,
        }
    }
}

impl Removal {
    fn run(&self, parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
        match unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR) => {}
            other => return other.at("unlink", self.path(&[], name)),
        }
        let Some(top) = self.enter(parent, name, &[])? else {
            return Ok(());
        };
        let mut levels = vec![top];
        // Names for what is moved up are counted; one that is taken moves the count on.
        let mut moved = 0u64;
        // What can go should go; the first refusal is the one to tell.
        let mut failure = None;
        while let Some(level) = levels.last_mut() {
            let step = match level.left.pop() {
                Some((name, kind)) => self.entry(&mut levels, parent, &name, kind, &mut moved),
                None => self.leave(&mut levels, parent),
            };
            if let Err(error) = step {
                failure.get_or_insert(error);
                if let Some(level) = levels.last_mut() {
                    level.is_kept = true;
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Removes one entry of the deepest level, or makes it the deepest level.
    fn entry(
        &self,
        levels: &mut Vec<Level>,
        top: BorrowedFd<'_>,
        name: &[u8],
        kind: FileType,
        moved: &mut u64,
    ) -> Result<()> {
        if kind != FileType::Directory
            && let Some(level) = levels.last()
        {
            match level.unlink(name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                // A file system that does not tell types.
                Err(Errno::ISDIR) => {}
                other => other.at("unlink", self.path(levels, name))?,
            }
        }
        if levels.len() >= MAX_DEPTH {
            self.move_up(levels, name, moved)?;
        } else if let Some(next) = self.enter(top, name, levels)? {
            levels.push(next);
        }
        Ok(())
    }

    /// Opens a directory to empty it; `None` if it was empty, or is gone. `top` is where the whole tree lies.
    fn enter(&self, top: BorrowedFd<'_>, name: &[u8], above: &[Level]) -> Result<Option<Level>> {
        // Saves opening the many that are empty, and overlayfs' `work`, which nobody but root may open.
        let removed = match above.last() {
            Some(level) => level.unlink(name, AtFlags::REMOVEDIR),
            None => unlinkat(top, name, AtFlags::REMOVEDIR),
        };
        let parent = above.last().map_or(top, |level| level.fd.as_fd());
        match removed {
            Ok(()) | Err(Errno::NOENT) => return Ok(None),
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            other => return other.map(|()| None).at("rmdir", self.path(above, name)),
        }
        let mut opened = open_directory(parent, name);
        if matches!(opened, Err(Errno::ACCESS)) {
            // Ours, but closed even to ourselves. Held first, so that no link can take its place.
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
            opened = openat(parent, name, flags, Mode::empty())
                .and_then(|held| chmod(format!("/proc/self/fd/{}", held.as_raw_fd()), Mode::RWXU))
                .and_then(|()| open_directory(parent, name));
        }
        let fd = match opened {
            Err(Errno::NOENT) => return Ok(None),
            other => other.at("open", self.path(above, name))?,
        };
        let left = entries(&fd).at("read", self.path(above, name))?;
        Ok(Some(Level { fd, name: name.to_vec(), left, is_kept: false }))
    }

    /// Removes the emptied directory, or reads it again if it was filled meanwhile.
    fn leave(&self, levels: &mut Vec<Level>, parent: BorrowedFd<'_>) -> Result<()> {
        let Some(done) = levels.pop() else {
            return Ok(());
        };
        if done.is_kept {
            // Its refusal has been told.
            if let Some(level) = levels.last_mut() {
                level.is_kept = true;
            }
            return Ok(());
        }
        let removed = match levels.last() {
            Some(level) => level.unlink(&done.name, AtFlags::REMOVEDIR),
            None => unlinkat(parent, done.name.as_slice(), AtFlags::REMOVEDIR),
        };
        let above = levels.last().map_or(parent, |level| level.fd.as_fd());
        match removed {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                let fd =
                    open_directory(above, &done.name).at("open", self.path(levels, &done.name))?;
                let left = entries(&fd).at("read", self.path(levels, &done.name))?;
                levels.push(Level { fd, left, name: done.name, is_kept: false });
                Ok(())
            }
            other => other.at("rmdir", self.path(levels, &done.name)),
        }
    }

    /// Moves a directory that lies too deep into the topmost one, to be removed from there.
    fn move_up(&self, levels: &mut [Level], name: &[u8], moved: &mut u64) -> Result<()> {
        let (from, top) = (levels.len() - 1, 0);
        loop {
            let new = format!(".pyrt-remove-{moved}").into_bytes();
            *moved += 1;
            match renameat(&levels[from].fd, name, &levels[top].fd, new.as_slice()) {
                Ok(()) => {
                    levels[top].left.push((new, FileType::Directory));
                    return Ok(());
                }
                Err(Errno::NOENT) => return Ok(()),
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                Err(errno) => return Err(errno).at("rename", self.path(levels, name)),
            }
        }
    }

    fn path(&self, levels: &[Level], name: &[u8]) -> std::path::PathBuf {
        let mut path = self.root.clone();
        for part in levels.iter().skip(1).map(|level| level.name.as_slice()).chain([name]) {
            if !levels.is_empty() {
                path.push(b'/');
                path.extend_from_slice(part);
            }
        }
        OsStr::from_bytes(&path).into()
    }
}
