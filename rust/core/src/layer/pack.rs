//! A directory becomes a layer, or any tree an archive: the way back of [`super::unpack`].
//!
//! The tree is a container's: it may change under us, and hold any name. No symbolic link is followed, no mount is
//! entered, nothing but files is opened, and what is read is written in the order of its names.

use std::collections::HashMap;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, fgetxattr, flistxattr, fstat, openat, readlinkat, statat,
};
use rustix::io::Errno;
use serde::Serialize;

use super::ownership::NOTED;
use super::place::{os, split};
use super::writer::{Entry, Writer};
use crate::tree::{IdMap, below, entries, open_directory};
use crate::{At, Code, Error, Result};

/// Bytes read at once.
const BUFFER: usize = 128 << 10;

/// VFS_CAP_REVISION_2 and 3 with their lengths (capabilities(7)).
const CAP_V3: (u32, usize) = (0x0300_0000, 24);
const CAP_V2: (u32, usize) = (0x0200_0000, 20);
const CAP_REVISION: u32 = 0xff00_0000;

/// How a tree is read.
#[derive(Clone, Debug, Default)]
pub struct Packing {
    /// It is the writable directory of an overlay: its marks become the whiteouts of image-spec layer.md.
    pub is_upper: bool,
    /// What the top is called in the archive; empty: its content stands there by itself, below `./` for an upper.
    pub name: Vec<u8>,
    /// Container ID, ID here, count: owners are written as the container knows them. Empty: as they are.
    pub uids: Vec<IdMap>,
    /// As `uids`.
    pub gids: Vec<IdMap>,
    /// There is only one ID: owners are in `user.pyrt.owner`.
    pub single_id: bool,
    /// Paths that are left out where an empty file or directory is all they are: mount points.
    pub mount_points: Vec<Vec<u8>>,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Packed {
    /// Members of the archive.
    pub entries: u64,
    /// Bytes of all files.
    pub size: u64,
}

/// Writes `top`, a directory or a file open for reading, as a tar archive to `sink`.
///
/// Sockets, and devices that are no whiteouts, are left out: no archive of ours can bring them back.
///
/// # Errors
/// `kernel` naming the entry or the archive; `denied` for an owner outside the maps.
///
/// References: image-spec layer.md, pax(1), overlayfs.rst.
pub fn pack(top: &OwnedFd, sink: impl Write, packing: &Packing) -> Result<Packed> {
    let mut pack = Pack {
        top,
        packing,
        writer: Writer::new(sink),
        packed: Packed::default(),
        links: HashMap::new(),
        parent: None,
        buffer: vec![0; BUFFER],
    };
    let stat = fstat(top).at("stat", "/")?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        pack.tree(&stat)?;
    } else {
        let mut entry = pack.describe(&stat, b"")?;
        entry.path.clone_from(&packing.name);
        entry.xattrs = pack.attributes(top.as_fd(), b"")?;
        pack.file(entry, top.as_fd(), b"")?;
    }
    pack.writer.finish()?;
    Ok(pack.packed)
}

struct Pack<'a, W: Write> {
    top: &'a OwnedFd,
    packing: &'a Packing,
    writer: Writer<W>,
    packed: Packed,
    /// Files with more than one name: what the first was called.
    links: HashMap<(u64, u64), Vec<u8>>,
    /// The directory that was opened last.
    parent: Option<(Vec<u8>, Rc<OwnedFd>)>,
    buffer: Vec<u8>,
}

impl<W: Write> Pack<'_, W> {
    fn tree(&mut self, stat: &Stat) -> Result<()> {
        if !self.packing.name.is_empty() || self.packing.is_upper {
            let mut entry = self.describe(stat, b"")?;
            entry.flag = b'5';
            entry.path = if self.packing.name.is_empty() {
                b".".to_vec()
            } else {
                self.packing.name.clone()
            };
            entry.xattrs = self.attributes(self.top.as_fd(), b"")?;
            self.begin(&entry)?;
        }
        // What is still to be written, the next last: parents before children, names in order.
        let mut waiting = self.children(b"")?;
        while let Some(path) = waiting.pop() {
            if self.one(&path)? {
                waiting.extend(self.children(&path)?);
            }
        }
        Ok(())
    }

    /// The paths of what is in a directory, the first last; an opaque one's mark is written.
    fn children(&mut self, path: &[u8]) -> Result<Vec<Vec<u8>>> {
        let directory = match open_directory(self.top, path) {
            // Gone meanwhile, or a mount, whose content is not this tree's.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => return Ok(Vec::new()),
            other => other.at("open", os(path))?,
        };
        if self.packing.is_upper && is_opaque(&directory, path)? {
            let name = below(path, b".wh..wh..opq");
            self.begin(&mark(&name))?;
        }
        let mut names = entries(&directory).at("read", os(path))?;
        names.sort_by(|(one, _), (other, _)| other.cmp(one));
        Ok(names.into_iter().map(|(name, _)| below(path, &name)).collect())
    }

    /// Writes one entry; true if it is a directory, whose content is to follow.
    fn one(&mut self, path: &[u8]) -> Result<bool> {
        let Some((above, name)) = split(path) else { return Ok(false) };
        let Some(parent) = self.directory(above)? else { return Ok(false) };
        let stat = match statat(&*parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(false),
            other => other.at("stat", os(path))?,
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if self.is_mount_point(&parent, name, path, &stat)? {
            return Ok(false);
        }
        if kind == FileType::CharacterDevice && stat.st_rdev == 0 && self.packing.is_upper {
            let hidden = below(above, &[b".wh.", name].concat());
            return self.begin(&mark(&hidden)).map(|()| false);
        }
        if !matches!(
            kind,
            FileType::RegularFile | FileType::Directory | FileType::Symlink | FileType::Fifo
        ) {
            return Ok(false);
        }
        let mut entry = self.describe(&stat, path)?;
        if kind != FileType::Directory && stat.st_nlink > 1 {
            let first = self.links.entry((stat.st_dev, stat.st_ino));
            if let std::collections::hash_map::Entry::Occupied(first) = first {
                entry.link.clone_from(first.get());
                entry.flag = b'1';
                return self.begin(&entry).map(|()| false);
            }
            first.or_insert_with(|| entry.path.clone());
        }
        match kind {
            FileType::Symlink => {
                entry.link = match readlinkat(&*parent, name, Vec::new()) {
                    Err(Errno::NOENT | Errno::INVAL) => return Ok(false),
                    other => other.at("readlink", os(path))?.into_bytes(),
                };
                self.begin(&entry)?;
            }
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK;
                let Some(fd) = reopen(&parent, name, path, flags)? else { return Ok(false) };
                entry.xattrs = self.attributes(fd.as_fd(), path)?;
                self.own(&mut entry, fd.as_fd(), path)?;
                self.file(entry, fd.as_fd(), path)?;
            }
            FileType::Directory => {
                if let Some(fd) = reopen(&parent, name, path, OFlags::RDONLY | OFlags::DIRECTORY)? {
                    entry.xattrs = self.attributes(fd.as_fd(), path)?;
                    self.own(&mut entry, fd.as_fd(), path)?;
                }
                self.begin(&entry)?;
                return Ok(true);
            }
            _ => self.begin(&entry)?,
        }
        Ok(false)
    }

    fn begin(&mut self, entry: &Entry) -> Result<()> {
        self.packed.entries += 1;
        self.writer.begin(entry)
    }

    /// A file, as long as it was when it was looked at: it may be written to meanwhile.
    fn file(&mut self, mut entry: Entry, fd: BorrowedFd<'_>, path: &[u8]) -> Result<()> {
        let stat = fstat(fd).at("stat", os(path))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(()); // replaced since
        }
        entry.flag = b'0';
        entry.size = stat.st_size.cast_unsigned();
        self.begin(&entry)?;
        let mut left = entry.size;
        while left > 0 {
            let part = left.min(self.buffer.len() as u64) as usize;
            let count =
                rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut self.buffer[..part]))
                    .at("read", os(path))?;
            if count == 0 {
                // Cut short since: what is missing is zeros, as tar(1) has it.
                self.buffer[..part].fill(0);
            }
            let count = if count == 0 { part } else { count };
            self.writer.write(&self.buffer[..count])?;
            left -= count as u64;
        }
        self.packed.size += entry.size;
        self.writer.pad(entry.size)
    }

    /// What stat(2) tells of an entry.
    fn describe(&self, stat: &Stat, path: &[u8]) -> Result<Entry> {
        let flag = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => b'5',
            FileType::Symlink => b'2',
            FileType::Fifo => b'6',
            _ => b'0',
        };
        let name = &self.packing.name;
        let is_single = self.packing.single_id;
        Ok(Entry {
            path: if name.is_empty() { path.to_vec() } else { below(name, path) },
            flag,
            mode: stat.st_mode & 0o7777,
            uid: if is_single { 0 } else { inside(&self.packing.uids, stat.st_uid, path)? },
            gid: if is_single { 0 } else { inside(&self.packing.gids, stat.st_gid, path)? },
            mtime: stat.st_mtime,
            ..Entry::default()
        })
    }

    /// The owner that unpacking noted, where there is only one ID.
    fn own(&self, entry: &mut Entry, fd: BorrowedFd<'_>, path: &[u8]) -> Result<()> {
        if self.packing.single_id
            && let Some(text) = attribute(fd, b"user.pyrt.owner", path)?
        {
            let text = String::from_utf8_lossy(&text).into_owned();
            let ids = text.split_once(':');
            let ids = ids.and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
            (entry.uid, entry.gid) = ids.unwrap_or_default();
        }
        Ok(())
    }

    /// Those that an archive keeps: the user's, but for overlayfs' and ours, and file capabilities.
    fn attributes(&self, fd: BorrowedFd<'_>, path: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut names = vec![0; 64 << 10]; // XATTR_LIST_MAX
        let length = match flistxattr(fd, names.as_mut_slice()) {
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            other => other.at("list attributes of", os(path))?,
        };
        let mut found = Vec::new();
        for name in names[..length].split(|byte| *byte == 0) {
            if let Some(plain) = name.strip_prefix(NOTED.as_bytes()) {
                let value = attribute(fd, name, path)?.filter(|_| plain.starts_with(b"system."));
                found.extend(value.map(|value| (plain.to_vec(), value)));
                continue;
            }
            let is_users = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
            let is_capability = name == b"security.capability";
            if (is_users || is_capability)
                && let Some(mut value) = attribute(fd, name, path)?
            {
                if is_capability {
                    self.unroot(&mut value);
                }
                found.push((name.to_vec(), value));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Capabilities that the container's own root gave say so with its ID here (version 3): in an archive that is
    /// what version 2 means.
    fn unroot(&self, value: &mut Vec<u8>) {
        let word = |value: &[u8], at: usize| {
            value.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes)
        };
        let root = self.packing.uids.iter().find(|(inside, ..)| *inside == 0);
        let root = root.map_or(0, |(_, outside, _)| *outside);
        let Some(magic) = word(value, 0) else { return };
        if value.len() == CAP_V3.1
            && magic & CAP_REVISION == CAP_V3.0
            && word(value, CAP_V2.1) == Some(root)
        {
            value.truncate(CAP_V2.1);
            value[..4].copy_from_slice(&((magic & !CAP_REVISION) | CAP_V2.0).to_le_bytes());
        }
    }

    /// Whether an entry is there only because something was mounted on it.
    fn is_mount_point(
        &self,
        parent: &OwnedFd,
        name: &[u8],
        path: &[u8],
        stat: &Stat,
    ) -> Result<bool> {
        if !self.packing.mount_points.iter().any(|known| known == path) {
            return Ok(false);
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(stat.st_size == 0),
            FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                let Some(directory) = reopen(parent, name, path, flags)? else { return Ok(true) };
                Ok(entries(&directory).at("read", os(path))?.is_empty())
            }
            _ => Ok(false),
        }
    }

    /// A directory of the tree; `None` if it is gone.
    fn directory(&mut self, path: &[u8]) -> Result<Option<Rc<OwnedFd>>> {
        if let Some((known, fd)) = &self.parent
            && known == path
        {
            return Ok(Some(Rc::clone(fd)));
        }
        let fd = match open_directory(self.top, path) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => return Ok(None),
            other => Rc::new(other.at("open", os(path))?),
        };
        self.parent = Some((path.to_vec(), Rc::clone(&fd)));
        Ok(Some(fd))
    }
}

/// An empty file that says something by its name.
fn mark(path: &[u8]) -> Entry {
    Entry { path: path.to_vec(), flag: b'0', ..Entry::default() }
}

/// Opens an entry; `None` if it is gone or is something else by now.
fn reopen(parent: &OwnedFd, name: &[u8], path: &[u8], flags: OFlags) -> Result<Option<OwnedFd>> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    match openat(parent, name, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::NXIO) => Ok(None),
        other => other.map(Some).at("open", os(path)),
    }
}

fn is_opaque(directory: &OwnedFd, path: &[u8]) -> Result<bool> {
    Ok(attribute(directory.as_fd(), b"user.overlay.opaque", path)?.as_deref() == Some(b"y"))
}

fn attribute(fd: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut value = vec![0; 64 << 10]; // XATTR_SIZE_MAX
    match fgetxattr(fd, name, value.as_mut_slice()) {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        other => {
            value.truncate(other.at("read attributes of", os(path))?);
            Ok(Some(value))
        }
    }
}

/// The container's ID of an owner here.
fn inside(map: &[IdMap], id: u32, path: &[u8]) -> Result<u32> {
    if map.is_empty() {
        return Ok(id);
    }
    let found = map.iter().find_map(|&(inside, outside, count)| {
        let offset = id.checked_sub(outside).filter(|offset| *offset < count)?;
        inside.checked_add(offset)
    });
    found.ok_or_else(|| {
        let path = String::from_utf8_lossy(path);
        let message = format!("its owner {id} has no place in the container's map");
        Error::new(Code::Denied, "pack", path, message)
    })
}

/// What receives the archive refused it.
pub(super) fn sink_error(error: &std::io::Error) -> Error {
    Error::kernel("write", "archive", error.raw_os_error().unwrap_or(libc::EIO))
}
