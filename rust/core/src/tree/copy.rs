//! Copying a layer with its owners shifted, for containers whose IDs are not the user namespace's own.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags, chmod,
    chownat, copy_file_range, fchmod, fchown, fgetxattr, flistxattr, fsetxattr, fstat, futimens,
    ioctl_ficlone, linkat, mkdirat, mknodat, open, openat, readlinkat, statat, symlinkat,
    utimensat,
};
use rustix::io::Errno;

use super::{below, entries, open_directory};
use crate::{At, Code, Error, Result};

/// A line of a user namespace's map: ID inside, ID in ours, how many.
pub type IdMap = (u32, u32, u32);

/// Copies the tree `source` to `destination`, which must not exist, with every owner mapped.
///
/// Keeps contents (shared blocks where the file system can), holes, modes, times, extended attributes (file
/// capabilities and overlayfs' marks among them), hard links, symbolic links, fifos and whiteouts. Other devices
/// are left out, as unpacking does. On failure what has been made stays for the caller to remove.
///
/// # Errors
/// `denied` for an owner outside the maps; `kernel` naming the entry.
pub fn copy_shifted(
    source: &Path,
    destination: &Path,
    uids: &[IdMap],
    gids: &[IdMap],
) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let from = open(source, flags, Mode::empty()).at("open", source)?;
    mkdirat(rustix::fs::CWD, destination, Mode::RWXU).at("mkdir", destination)?;
    let to = open(destination, flags, Mode::empty()).at("open", destination)?;
    let copy = Copy { from, to, source, destination, uids, gids };
    copy.run()
}

/// Copies what is in one directory into another that is there already, owners as they are: what an image has at
/// the place of a new tmpfs (`tmpcopyup`). The other directory takes the mode and times of the first.
///
/// # Errors
/// `kernel` naming the entry.
pub fn copy_contents(from: OwnedFd, to: OwnedFd, path: &Path) -> Result<()> {
    let same = [(0, 0, u32::MAX)];
    let copy = Copy { from, to, source: path, destination: path, uids: &same, gids: &same };
    copy.run()
}

struct Copy<'a> {
    from: OwnedFd,
    to: OwnedFd,
    /// For errors.
    source: &'a Path,
    /// For errors.
    destination: &'a Path,
    uids: &'a [IdMap],
    gids: &'a [IdMap],
}

/// One entry: the directories that it is and will be in.
struct Entry<'a> {
    from: &'a OwnedFd,
    to: &'a OwnedFd,
    name: &'a [u8],
    /// Beneath both roots.
    path: &'a [u8],
    stat: Stat,
}

impl Copy<'_> {
    fn run(&self) -> Result<()> {
        // Files with more than one name, and where the first was copied to.
        let mut links: HashMap<(u64, u64), Vec<u8>> = HashMap::new();
        // Directories in the order in which they were met: parents before children.
        let mut directories = vec![Vec::new()];
        let mut at = 0;
        while at < directories.len() {
            let directory = directories[at].clone();
            at += 1;
            let from =
                open_directory(&self.from, &directory).at("open", self.origin(&directory))?;
            let to = open_directory(&self.to, &directory).at("open", self.target(&directory))?;
            for (name, _) in entries(&from).at("read", self.origin(&directory))? {
                let path = below(&directory, &name);
                let stat = statat(&from, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW)
                    .at("stat", self.origin(&path))?;
                let entry = Entry { from: &from, to: &to, name: &name, path: &path, stat };
                if self.entry(&entry, &mut links)? {
                    directories.push(path);
                }
            }
        }
        // Children before parents, since making a child would change its parent's time.
        for directory in directories.iter().rev() {
            let from = open_directory(&self.from, directory).at("open", self.origin(directory))?;
            let to = open_directory(&self.to, directory).at("open", self.target(directory))?;
            self.finish(&from, &to, directory)?;
        }
        Ok(())
    }

    /// Copies one entry; true if it is a directory, which is filled and finished later.
    fn entry(&self, entry: &Entry<'_>, links: &mut HashMap<(u64, u64), Vec<u8>>) -> Result<bool> {
        let kind = FileType::from_raw_mode(entry.stat.st_mode);
        if kind == FileType::Directory {
            mkdirat(entry.to, entry.name, Mode::RWXU).at("mkdir", self.target(entry.path))?;
            return Ok(true);
        }
        if entry.stat.st_nlink > 1 {
            let key = (entry.stat.st_dev, entry.stat.st_ino);
            if let Some(first) = links.get(&key) {
                linkat(&self.to, first.as_slice(), entry.to, entry.name, AtFlags::empty())
                    .at("link", self.target(entry.path))?;
                return Ok(false);
            }
            links.insert(key, entry.path.to_vec());
        }
        match kind {
            FileType::RegularFile => self.file(entry)?,
            FileType::Symlink => {
                let target = readlinkat(entry.from, entry.name, Vec::new())
                    .at("readlink", self.origin(entry.path))?;
                symlinkat(target, entry.to, entry.name).at("symlink", self.target(entry.path))?;
                self.finish_special(entry)?;
            }
            FileType::Fifo => self.node(entry, FileType::Fifo)?,
            FileType::CharacterDevice if entry.stat.st_rdev == 0 => self.node(entry, kind)?,
            _ => {}
        }
        Ok(false)
    }

    fn file(&self, entry: &Entry<'_>) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let from = openat(entry.from, entry.name, flags, Mode::empty())
            .at("open", self.origin(entry.path))?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let to = openat(entry.to, entry.name, flags, Mode::RUSR | Mode::WUSR)
            .at("make", self.target(entry.path))?;
        if ioctl_ficlone(&to, &from).is_err() {
            let length = entry.stat.st_size.cast_unsigned();
            copy_data(&from, &to, length).at("copy", self.target(entry.path))?;
        }
        self.finish(&from, &to, entry.path)
    }

    fn node(&self, entry: &Entry<'_>, kind: FileType) -> Result<()> {
        mknodat(entry.to, entry.name, kind, Mode::RUSR | Mode::WUSR, 0)
            .at("make", self.target(entry.path))?;
        self.finish_special(entry)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(entry.to, entry.name, flags, Mode::empty())
            .at("open", self.target(entry.path))?;
        let mode = Mode::from_raw_mode(entry.stat.st_mode & 0o7777);
        chmod(format!("/proc/self/fd/{}", fd.as_raw_fd()), mode)
            .at("chmod", self.target(entry.path))
    }

    /// Owner, attributes, mode and times, in the order that keeps set-ID bits and capabilities (chown clears both).
    fn finish(&self, from: &OwnedFd, to: &OwnedFd, path: &[u8]) -> Result<()> {
        let stat = fstat(from).at("stat", self.origin(path))?;
        let (uid, gid) = self.owner(&stat, path)?;
        fchown(to, Some(uid), Some(gid)).at("chown", self.target(path))?;
        copy_attributes(from, to).at("copy attributes of", self.target(path))?;
        fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777)).at("chmod", self.target(path))?;
        futimens(to, &times(&stat)).at("set times of", self.target(path))
    }

    /// As [`Copy::finish`], of what cannot be opened.
    fn finish_special(&self, entry: &Entry<'_>) -> Result<()> {
        let (uid, gid) = self.owner(&entry.stat, entry.path)?;
        chownat(entry.to, entry.name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .at("chown", self.target(entry.path))?;
        utimensat(entry.to, entry.name, &times(&entry.stat), AtFlags::SYMLINK_NOFOLLOW)
            .at("set times of", self.target(entry.path))
    }

    fn owner(&self, stat: &Stat, path: &[u8]) -> Result<(Uid, Gid)> {
        let ids = (shift(self.uids, stat.st_uid), shift(self.gids, stat.st_gid));
        let (Some(uid), Some(gid)) = ids else {
            let message = format!(
                "owner {}:{} has no place in the container's map",
                stat.st_uid, stat.st_gid
            );
            return Err(Error::new(
                Code::Denied,
                "shift",
                self.origin(path).to_string_lossy(),
                message,
            )
            .with_hint("give this user more subordinate IDs in /etc/subuid and /etc/subgid"));
        };
        Ok((Uid::from_raw(uid), Gid::from_raw(gid)))
    }

    fn origin(&self, path: &[u8]) -> PathBuf {
        self.source.join(OsStr::from_bytes(path))
    }

    fn target(&self, path: &[u8]) -> PathBuf {
        self.destination.join(OsStr::from_bytes(path))
    }
}

/// Where the container's `id` lives in our namespace.
pub(crate) fn shift(map: &[IdMap], id: u32) -> Option<u32> {
    map.iter().find_map(|&(inside, outside, count)| {
        let offset = id.checked_sub(inside).filter(|offset| *offset < count)?;
        outside.checked_add(offset)
    })
}

fn times(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime as _, tv_nsec: stat.st_atime_nsec as _ },
        last_modification: Timespec {
            tv_sec: stat.st_mtime as _,
            tv_nsec: stat.st_mtime_nsec as _,
        },
    }
}

/// Copies what is data and leaves what is hole.
fn copy_data(from: &OwnedFd, to: &OwnedFd, length: u64) -> Result<(), Errno> {
    let mut end = 0;
    while end < length {
        let start = match rustix::fs::seek(from, rustix::fs::SeekFrom::Data(end)) {
            Err(Errno::NXIO) => break,
            // No notion of holes: all is data.
            Err(Errno::INVAL) => end,
            other => other?,
        };
        end = match rustix::fs::seek(from, rustix::fs::SeekFrom::Hole(start)) {
            Err(Errno::INVAL) => length,
            other => other?,
        };
        copy_range(from, to, start, end)?;
    }
    rustix::fs::ftruncate(to, length)
}

fn copy_range(from: &OwnedFd, to: &OwnedFd, start: u64, end: u64) -> Result<(), Errno> {
    let (mut offset_in, mut offset_out) = (start, start);
    while offset_in < end {
        let part = usize::try_from((end - offset_in).min(1 << 30)).unwrap_or(1 << 30);
        match copy_file_range(from, Some(&mut offset_in), to, Some(&mut offset_out), part) {
            // Cut short meanwhile.
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => {
                return copy_through_memory(from, to, offset_in, end);
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn copy_through_memory(from: &OwnedFd, to: &OwnedFd, start: u64, end: u64) -> Result<(), Errno> {
    let open = |fd: &OwnedFd| fd.try_clone().map(File::from);
    let copy = || -> std::io::Result<()> {
        let (mut source, mut sink) = (open(from)?, open(to)?);
        source.seek(SeekFrom::Start(start))?;
        sink.seek(SeekFrom::Start(start))?;
        let mut buffer = vec![0; 128 << 10];
        let mut left = end - start;
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let n = source.read(&mut buffer[..part])?;
            if n == 0 {
                break;
            }
            sink.write_all(&buffer[..n])?;
            left -= n as u64;
        }
        Ok(())
    };
    copy().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

fn copy_attributes(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    let mut names = vec![0; 64 << 10]; // XATTR_LIST_MAX
    let length = match flistxattr(from.as_fd(), names.as_mut_slice()) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        other => other?,
    };
    let mut value = vec![0; 64 << 10]; // XATTR_SIZE_MAX
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        // Labels are the machine's to give.
        if name == b"security.selinux" {
            continue;
        }
        let length = fgetxattr(from.as_fd(), name, value.as_mut_slice())?;
        fsetxattr(to.as_fd(), name, &value[..length], XattrFlags::empty())?;
    }
    Ok(())
}
