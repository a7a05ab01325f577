//! Copying a layer with its owners shifted, for containers whose IDs are not the user namespace's own.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, linkat, mkdirat, open, statat};

use super::shift::{Entry, IdMap, Names, Shift};
use super::{below, entries, open_directory};
use crate::{At, Result};

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
    Copy { from, to, source, destination, shift: Shift { uids, gids } }.run()
}

/// Copies what is in one directory into another that is there already, owners as they are: what an image has at
/// the place of a new tmpfs (`tmpcopyup`). The other directory takes the mode and times of the first.
///
/// # Errors
/// `kernel` naming the entry.
pub fn copy_contents(from: OwnedFd, to: OwnedFd, path: &Path) -> Result<()> {
    let same = [(0, 0, u32::MAX)];
    let shift = Shift { uids: &same, gids: &same };
    Copy { from, to, source: path, destination: path, shift }.run()
}

struct Copy<'a> {
    from: OwnedFd,
    to: OwnedFd,
    /// For errors.
    source: &'a Path,
    /// For errors.
    destination: &'a Path,
    shift: Shift<'a>,
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
            let here = self.names(&directory);
            let from = open_directory(&self.from, &directory).at("open", here.origin())?;
            let to = open_directory(&self.to, &directory).at("open", here.target())?;
            for (name, _) in entries(&from).at("read", here.origin())? {
                let path = below(&directory, &name);
                let names = self.names(&path);
                let stat = statat(&from, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW)
                    .at("stat", names.origin())?;
                let entry = Entry { from: &from, to: &to, name: &name, names, stat };
                if self.entry(&entry, &mut links)? {
                    directories.push(path);
                }
            }
        }
        // Children before parents, since making a child would change its parent's time.
        for directory in directories.iter().rev() {
            let names = self.names(directory);
            let from = open_directory(&self.from, directory).at("open", names.origin())?;
            let to = open_directory(&self.to, directory).at("open", names.target())?;
            self.shift.finish(&from, &to, names)?;
        }
        Ok(())
    }

    /// Copies one entry; true if it is a directory, which is filled and finished later.
    fn entry(&self, entry: &Entry<'_>, links: &mut HashMap<(u64, u64), Vec<u8>>) -> Result<bool> {
        let names = entry.names;
        if entry.kind() == FileType::Directory {
            mkdirat(entry.to, entry.name, Mode::RWXU).at("mkdir", names.target())?;
            return Ok(true);
        }
        if entry.stat.st_nlink > 1 {
            let key = (entry.stat.st_dev, entry.stat.st_ino);
            if let Some(first) = links.get(&key) {
                linkat(&self.to, first.as_slice(), entry.to, entry.name, AtFlags::empty())
                    .at("link", names.target())?;
                return Ok(false);
            }
            links.insert(key, names.path.to_vec());
        }
        match entry.kind() {
            FileType::RegularFile => drop(self.shift.file(entry)?),
            _ => self.shift.special(entry)?,
        }
        Ok(false)
    }

    fn names<'a>(&'a self, path: &'a [u8]) -> Names<'a> {
        Names { source: self.source, destination: self.destination, path }
    }
}
