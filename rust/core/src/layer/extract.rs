//! Members become files beneath the destination.
//!
//! Every path is resolved by openat2(2) beneath the destination with symbolic links refused, so a link
//! that the archive itself has made cannot lead a later member out (or anywhere). Within the last
//! directory names are used with `*at` calls that do not follow links, and files are made with `O_EXCL`.
//!
//! Whiteouts (image-spec layer.md#whiteouts) are made as overlayfs reads them under `userxattr`: a character device
//! 0:0 in place of `.wh.NAME`, and `user.overlay.opaque=y` on the directory of `.wh..wh..opq`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, chownat, fchmod, futimens, linkat, mkdirat,
    mknodat, openat, openat2, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::archive::{Archive, Kind, Member, Timestamp};
use super::place::{
    Place, beneath, chown_error, hide_lower, is_whiteout, link_error, os, split, times,
};
use super::{Limits, bad, limit};
use crate::{At, Result, tree};

/// The kernel keeps the walk beneath `dirfd` and out of symbolic links, magic links and mounts.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// What has been made so far.
#[derive(Default)]
pub(super) struct Written {
    pub(super) size: u64,
    pub(super) skipped_devices: u64,
    pub(super) skipped_xattrs: u64,
}

/// The destination.
pub(super) struct Tree<'a> {
    root: BorrowedFd<'a>,
    pub(super) limits: &'a Limits,
    pub(super) written: Written,
    /// Members come directory by directory, so one remembered descriptor spares most walks.
    parent: Option<(Vec<u8>, Rc<OwnedFd>)>,
    /// Modes and times of directories, given when nothing is made in them any more.
    directories: BTreeMap<Vec<u8>, (u32, Timestamp)>,
    buffer: Vec<u8>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(root: BorrowedFd<'a>, limits: &'a Limits) -> Self {
        Self {
            root,
            limits,
            written: Written::default(),
            parent: None,
            directories: BTreeMap::new(),
            buffer: vec![0; 128 << 10],
        }
    }

    /// Makes one member, replacing an earlier one of the same name.
    pub(super) fn add<R: Read>(&mut self, member: &Member, content: &mut Archive<R>) -> Result<()> {
        let path = beneath(&member.path)?;
        if member.kind == Kind::Device {
            self.written.skipped_devices += 1;
            return Ok(());
        }
        let Some((parent, name)) = split(&path) else {
            return self.root_directory(member);
        };
        let at = Place { dir: self.directory(parent)?, name, path: &path };
        if self.limits.copying.is_none()
            && let Some(hidden) = name.strip_prefix(b".wh.")
        {
            return self.whiteout(&at, parent, hidden);
        }
        match member.kind {
            Kind::Directory => self.make_directory(&at, member),
            Kind::File => self.file(&at, member, content),
            Kind::Symlink => self.symlink(&at, member),
            Kind::HardLink => self.hard_link(&at, member),
            Kind::Fifo | Kind::Device => self.fifo(&at, member),
        }
    }

    /// Gives directories their modes and times, children before parents.
    pub(super) fn finish(mut self) -> Result<Written> {
        self.parent = None;
        for (path, (mode, mtime)) in std::mem::take(&mut self.directories).into_iter().rev() {
            let name = if path.is_empty() { b".".as_slice() } else { &path };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let fd = openat2(self.root, name, flags, Mode::empty(), self.resolution())
                .at("open", os(&path))?;
            fchmod(&fd, Mode::from_raw_mode(mode)).at("chmod", os(&path))?;
            futimens(&fd, &times(mtime)).at("set times of", os(&path))?;
        }
        Ok(self.written)
    }

    /// The archive's `./`.
    fn root_directory(&mut self, member: &Member) -> Result<()> {
        if member.kind != Kind::Directory {
            return Err(bad(&member.path, "names the root, which is a directory"));
        }
        if self.limits.copying.is_some() {
            return Ok(()); // it is there, and is not the archive's to change
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(self.root, ".", flags, Mode::empty()).at("open", "/")?;
        self.own(&fd, member, b"/")?;
        self.attributes(&fd, member, b"/")?;
        self.directories.insert(Vec::new(), (member.mode, member.mtime));
        Ok(())
    }

    /// A descriptor of the directory `path`, which is made with its parents if the archive did not.
    fn directory(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>> {
        if let Some((known, fd)) = &self.parent
            && known == path
        {
            return Ok(Rc::clone(fd));
        }
        // Up to what is there, then down again: a path may have thousands of names, so nothing here recurses.
        let (mut missing, mut at) = (Vec::new(), path);
        let mut fd = loop {
            match self.open_directory(at) {
                Err(Errno::LOOP) => {
                    return Err(bad(at, "is a symbolic link, and a member lies below it"));
                }
                Err(errno @ (Errno::NOENT | Errno::NOTDIR)) => {
                    missing.push(at);
                    at = split(at).ok_or(errno).at("open", os(at))?.0;
                }
                other => break Rc::new(other.at("open", os(at))?),
            }
        };
        while let Some(path) = missing.pop() {
            fd = Rc::new(self.make_missing(fd, path)?);
        }
        self.parent = Some((path.to_vec(), Rc::clone(&fd)));
        Ok(fd)
    }

    /// Makes a directory that the archive did not list, in its parent.
    fn make_missing(&mut self, parent: Rc<OwnedFd>, path: &[u8]) -> Result<OwnedFd> {
        let name = split(path).map_or(path, |(_, name)| name);
        let at = Place { dir: parent, name, path };
        let make = || mkdirat(&at.dir, name, Mode::RWXU);
        let mut hides_lower = false;
        if let Err(errno) = make() {
            if errno != Errno::EXIST {
                return Err(errno).at("mkdir", os(path));
            }
            if !is_whiteout(&at.stat()?) {
                return Err(bad(path, "is not a directory, and a member lies below it"));
            }
            // Whited out in this layer: a directory again, and what lower layers have in it is hidden.
            self.remove(&at)?;
            make().at("mkdir", os(path))?;
            hides_lower = true;
        }
        let fd = at.open(OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        if hides_lower {
            hide_lower(&fd, path)?;
        }
        // Nothing says whose it is: root's, as everybody does. Its time is when it was made.
        fchmod(&fd, Mode::from_raw_mode(0o755)).at("chmod", os(path))?;
        Ok(fd)
    }

    fn open_directory(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let name = if path.is_empty() { b"." } else { path };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat2(self.root, name, flags, Mode::empty(), self.resolution())
    }

    /// A container's tree may have mounts, and a copy goes where the container would find it.
    fn resolution(&self) -> ResolveFlags {
        match self.limits.copying {
            Some(_) => BENEATH.difference(ResolveFlags::NO_XDEV),
            None => BENEATH,
        }
    }

    fn make_directory(&mut self, at: &Place<'_>, member: &Member) -> Result<()> {
        let mut hides_lower = false;
        while let Err(errno) = mkdirat(&at.dir, at.name, Mode::RWXU) {
            if errno != Errno::EXIST {
                return Err(errno).at("mkdir", os(at.path));
            }
            let stat = at.stat()?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                break;
            }
            // Whited out first and made again: what lower layers have below it stays hidden.
            hides_lower = is_whiteout(&stat);
            self.may_replace(at, "a directory")?;
            self.remove(at)?;
        }
        let fd = at.open(OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        self.own(&fd, member, at.path)?;
        self.attributes(&fd, member, at.path)?;
        if hides_lower {
            hide_lower(&fd, at.path)?;
        }
        self.directories.insert(at.path.to_vec(), (member.mode, member.mtime));
        Ok(())
    }

    fn file<R: Read>(
        &mut self,
        at: &Place<'_>,
        member: &Member,
        content: &mut Archive<R>,
    ) -> Result<()> {
        self.written.size = self.written.size.saturating_add(member.size);
        if self.written.size > self.limits.max_bytes {
            return Err(limit("max_bytes", self.limits.max_bytes));
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let fd = self.replacing(at, |at| {
            let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            openat(&at.dir, at.name, flags, Mode::RUSR | Mode::WUSR)
        })?;
        let mut file = File::from(fd);
        match &member.segments {
            None => self.copy(&mut file, content, at.path)?,
            Some(segments) => {
                for &(offset, length) in segments {
                    file.seek(SeekFrom::Start(offset)).at("seek in", os(at.path))?;
                    self.copy_part(&mut file, content, length, at.path)?;
                }
                file.set_len(member.size).at("truncate", os(at.path))?;
            }
        }
        // chown clears set-ID bits and file capabilities, so they come after it; writing sets the time, so it is last.
        self.own(&file, member, at.path)?;
        self.attributes(&file, member, at.path)?;
        fchmod(&file, Mode::from_raw_mode(member.mode)).at("chmod", os(at.path))?;
        futimens(&file, &times(member.mtime)).at("set times of", os(at.path))
    }

    fn copy<R: Read>(
        &mut self,
        file: &mut File,
        content: &mut Archive<R>,
        path: &[u8],
    ) -> Result<()> {
        self.copy_part(file, content, u64::MAX, path)
    }

    fn copy_part<R: Read>(
        &mut self,
        file: &mut File,
        content: &mut Archive<R>,
        mut length: u64,
        path: &[u8],
    ) -> Result<()> {
        while length > 0 {
            let part = length.min(self.buffer.len() as u64) as usize;
            let n = content.read(&mut self.buffer[..part])?;
            if n == 0 {
                break;
            }
            file.write_all(&self.buffer[..n]).at("write", os(path))?;
            length -= n as u64;
        }
        Ok(())
    }

    fn symlink(&mut self, at: &Place<'_>, member: &Member) -> Result<()> {
        if member.link.is_empty() {
            return Err(bad(at.path, "is a symbolic link to nothing"));
        }
        self.replacing(at, |at| symlinkat(member.link.as_slice(), &at.dir, at.name))?;
        self.finish_special(at, member)
    }

    fn fifo(&mut self, at: &Place<'_>, member: &Member) -> Result<()> {
        let mode = Mode::from_raw_mode(0o600);
        self.replacing(at, |at| mknodat(&at.dir, at.name, FileType::Fifo, mode, 0))?;
        self.finish_special(at, member)?;
        // By a descriptor, not by /proc: the tree's own may be mounted there. Both ways, so that opening it waits for nobody.
        let fd = at.open(OFlags::RDWR | OFlags::NONBLOCK, Mode::empty())?;
        fchmod(&fd, Mode::from_raw_mode(member.mode)).at("chmod", os(at.path))
    }

    /// Owner and times of what cannot be opened.
    fn finish_special(&mut self, at: &Place<'_>, member: &Member) -> Result<()> {
        if !self.limits.single_id
            && let Some((uid, gid)) = self.owner(member, at.path)?
        {
            chownat(&at.dir, at.name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|errno| chown_error(errno, member, at.path))?;
        }
        // Such a file can carry labels only, and those are never set.
        self.written.skipped_xattrs += member.xattrs.len() as u64;
        utimensat(&at.dir, at.name, &times(member.mtime), AtFlags::SYMLINK_NOFOLLOW)
            .at("set times of", os(at.path))
    }

    /// A second name for a file of this archive; a symbolic link gets one itself, nothing is followed.
    fn hard_link(&mut self, at: &Place<'_>, member: &Member) -> Result<()> {
        let target = beneath(&member.link)?;
        if target == at.path {
            return Err(bad(at.path, "is a hard link to itself"));
        }
        let Some((parent, name)) = split(&target) else {
            return Err(bad(at.path, "is a hard link to the root"));
        };
        let from =
            self.open_directory(parent).map_err(|errno| link_error(errno, at.path, &target))?;
        self.replacing(at, |at| linkat(&from, name, &at.dir, at.name, AtFlags::empty())).map_err(
            |error| match error.errno {
                Some(errno) => link_error(Errno::from_raw_os_error(errno), at.path, &target),
                None => error,
            },
        )
    }

    fn whiteout(&mut self, at: &Place<'_>, parent: &[u8], hidden: &[u8]) -> Result<()> {
        if hidden == b".wh..opq" {
            let fd = openat(
                &at.dir,
                ".",
                OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )
            .at("open", os(parent))?;
            return hide_lower(&fd, parent);
        }
        if hidden.starts_with(b".wh.") {
            // What AUFS kept for itself (`.wh..wh.plnk`, `.wh..wh.aufs`): not content.
            return Ok(());
        }
        if hidden.is_empty() || hidden == b"." || hidden == b".." {
            return Err(bad(at.path, "is a whiteout of nothing"));
        }
        let target = Place { name: hidden, ..at.clone() };
        match target.stat() {
            // It hides lower layers only; what this layer has, stays. A directory hides what lies below it there.
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                let fd = target.open(OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
                hide_lower(&fd, at.path)
            }
            Ok(_) => Ok(()),
            // Anybody may make this one device (Linux 5.8).
            Err(error) if error.errno == Some(libc::ENOENT) => {
                mknodat(&at.dir, hidden, FileType::CharacterDevice, Mode::empty(), 0)
                    .at("make whiteout", os(at.path))
            }
            Err(error) => Err(error),
        }
    }

    /// Does `make`, and again after removing what had the name.
    fn replacing<T>(
        &mut self,
        at: &Place<'_>,
        make: impl Fn(&Place<'_>) -> std::result::Result<T, Errno>,
    ) -> Result<T> {
        match make(at) {
            Err(Errno::EXIST) => {
                self.remove(at)?;
                make(at).at("make", os(at.path))
            }
            other => other.at("make", os(at.path)),
        }
    }

    fn remove(&mut self, at: &Place<'_>) -> Result<()> {
        match unlinkat(&at.dir, at.name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {
                self.may_replace(at, "no directory")?;
                tree::remove((*at.dir).as_fd(), at.name)?;
                // What was to be done to it, and to what was in it.
                let below = [at.path, b"/"].concat();
                self.directories.retain(|path, _| path != at.path && !path.starts_with(&below));
                self.parent = None;
                Ok(())
            }
            other => other.at("unlink", os(at.path)),
        }
    }
}
