//! One entry of a tree made again elsewhere, with its owner shifted.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags, chmod,
    chownat, copy_file_range, fchmod, fchown, fgetxattr, flistxattr, fsetxattr, fstat, futimens,
    ioctl_ficlone, mknodat, openat, readlinkat, symlinkat, utimensat,
};
use rustix::io::Errno;

use crate::{At, Code, Error, Result};

/// A line of a user namespace's map: ID inside, ID in ours, how many.
pub type IdMap = (u32, u32, u32);

/// The maps of a container's user namespace.
#[derive(Clone, Copy)]
pub(super) struct Shift<'a> {
    pub(super) uids: &'a [IdMap],
    pub(super) gids: &'a [IdMap],
}

/// What an entry is called, for errors.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) source: &'a Path,
    pub(super) destination: &'a Path,
    /// Beneath both.
    pub(super) path: &'a [u8],
}

impl Names<'_> {
    pub(super) fn origin(&self) -> PathBuf {
        self.source.join(OsStr::from_bytes(self.path))
    }

    pub(super) fn target(&self) -> PathBuf {
        self.destination.join(OsStr::from_bytes(self.path))
    }
}

/// One entry: the directories that it is and will be in.
pub(super) struct Entry<'a> {
    pub(super) from: &'a OwnedFd,
    pub(super) to: &'a OwnedFd,
    pub(super) name: &'a [u8],
    pub(super) names: Names<'a>,
    pub(super) stat: Stat,
}

impl Entry<'_> {
    pub(super) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    pub(super) fn open(&self) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(self.from, self.name, flags, Mode::empty()).at("open", self.names.origin())
    }

    pub(super) fn make(&self, mode: Mode) -> Result<OwnedFd> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(self.to, self.name, flags, mode).at("make", self.names.target())
    }
}

impl Shift<'_> {
    /// Copies a file, sharing its blocks where the file system can; the copy.
    pub(super) fn file(&self, entry: &Entry<'_>) -> Result<OwnedFd> {
        let (from, to) = (entry.open()?, entry.make(Mode::RUSR | Mode::WUSR)?);
        if ioctl_ficlone(&to, &from).is_err() {
            let length = entry.stat.st_size.cast_unsigned();
            copy_data(&from, &to, length).at("copy", entry.names.target())?;
        }
        self.finish(&from, &to, entry.names)?;
        Ok(to)
    }

    /// Makes a symbolic link, fifo or whiteout. Other devices are left out, as unpacking does.
    pub(super) fn special(&self, entry: &Entry<'_>) -> Result<()> {
        let names = entry.names;
        match entry.kind() {
            FileType::Symlink => {
                let target = readlinkat(entry.from, entry.name, Vec::new())
                    .at("readlink", names.origin())?;
                symlinkat(target, entry.to, entry.name).at("symlink", names.target())?;
                self.finish_special(entry)
            }
            FileType::Fifo => self.node(entry, FileType::Fifo),
            FileType::CharacterDevice if entry.stat.st_rdev == 0 => self.node(entry, entry.kind()),
            _ => Ok(()),
        }
    }

    fn node(&self, entry: &Entry<'_>, kind: FileType) -> Result<()> {
        let target = || entry.names.target();
        mknodat(entry.to, entry.name, kind, Mode::RUSR | Mode::WUSR, 0).at("make", target())?;
        self.finish_special(entry)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(entry.to, entry.name, flags, Mode::empty()).at("open", target())?;
        let mode = Mode::from_raw_mode(entry.stat.st_mode & 0o7777);
        chmod(format!("/proc/self/fd/{}", fd.as_raw_fd()), mode).at("chmod", target())
    }

    /// Owner, attributes, mode and times, in the order that keeps set-ID bits and capabilities (chown clears both).
    pub(super) fn finish(&self, from: &OwnedFd, to: &OwnedFd, names: Names<'_>) -> Result<()> {
        let stat = fstat(from).at("stat", names.origin())?;
        let (uid, gid) = self.owner(&stat, names)?;
        fchown(to, Some(uid), Some(gid)).at("chown", names.target())?;
        self.attributes(from, to).at("copy attributes of", names.target())?;
        fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777)).at("chmod", names.target())?;
        futimens(to, &times(&stat)).at("set times of", names.target())
    }

    /// As [`Shift::finish`], of what cannot be opened.
    fn finish_special(&self, entry: &Entry<'_>) -> Result<()> {
        let names = entry.names;
        let (uid, gid) = self.owner(&entry.stat, names)?;
        chownat(entry.to, entry.name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .at("chown", names.target())?;
        utimensat(entry.to, entry.name, &times(&entry.stat), AtFlags::SYMLINK_NOFOLLOW)
            .at("set times of", names.target())
    }

    pub(super) fn owner(&self, stat: &Stat, names: Names<'_>) -> Result<(Uid, Gid)> {
        let ids = (outside(self.uids, stat.st_uid), outside(self.gids, stat.st_gid));
        let (Some(uid), Some(gid)) = ids else {
            let message = format!(
                "owner {}:{} has no place in the container's map",
                stat.st_uid, stat.st_gid
            );
            let subject = names.origin().to_string_lossy().into_owned();
            return Err(Error::new(Code::Denied, "shift", subject, message)
                .with_hint("give this user more subordinate IDs in /etc/subuid and /etc/subgid"));
        };
        Ok((Uid::from_raw(uid), Gid::from_raw(gid)))
    }

    /// Whether the container's root may read what is in a file of the layer. Its capabilities count only for files whose
    /// user and group are both IDs of the container; for others it is anybody.
    pub(super) fn may_read(&self, stat: &Stat) -> bool {
        let has = |map: &[IdMap], id: u32| {
            map.iter().any(|&(_, first, count)| id >= first && id - first < count)
        };
        let everybody = (Mode::RGRP | Mode::ROTH).bits();
        (has(self.uids, stat.st_uid) && has(self.gids, stat.st_gid))
            || stat.st_mode & everybody == everybody
    }

    /// Extended attributes, but labels, which are the machine's to give.
    pub(super) fn attributes(&self, from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
        let mut names = vec![0; 64 << 10]; // XATTR_LIST_MAX
        let length = match flistxattr(from.as_fd(), names.as_mut_slice()) {
            Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(()),
            other => other?,
        };
        let mut value = vec![0; 64 << 10]; // XATTR_SIZE_MAX
        for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            if name == b"security.selinux" {
                continue;
            }
            let length = fgetxattr(from.as_fd(), name, value.as_mut_slice())?;
            if name.starts_with(b"system.posix_acl_") {
                self.access_list(&mut value[..length]);
            }
            fsetxattr(to.as_fd(), name, &value[..length], XattrFlags::empty())?;
        }
        Ok(())
    }

    /// Shifts the IDs in an access control list: a version, then tag, permissions and ID of each entry
    /// (linux/posix_acl_xattr.h). One that has no place stays what it is, an ID without a name.
    fn access_list(&self, list: &mut [u8]) {
        const USER: u16 = 2;
        const GROUP: u16 = 8;
        for entry in list.get_mut(4..).unwrap_or_default().as_chunks_mut::<8>().0 {
            let [tag0, tag1, _, _, id @ ..] = entry;
            let map = match u16::from_le_bytes([*tag0, *tag1]) {
                USER => self.uids,
                GROUP => self.gids,
                _ => continue,
            };
            if let Some(shifted) = outside(map, u32::from_le_bytes(*id)) {
                *id = shifted.to_le_bytes();
            }
        }
    }
}

/// Where the container's `id` lives in our namespace.
pub(crate) fn outside(map: &[IdMap], id: u32) -> Option<u32> {
    map.iter().find_map(|&(inside, outside, count)| {
        let offset = id.checked_sub(inside).filter(|offset| *offset < count)?;
        outside.checked_add(offset)
    })
}

pub(super) fn times(stat: &Stat) -> Timestamps {
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
