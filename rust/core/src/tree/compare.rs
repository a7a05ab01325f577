//! What the top one of several layers changes: added, changed, deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fgetxattr, open, statat};
use rustix::io::Errno;

use super::{below, entries, open_directory};
use crate::{At, Result};

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// It, or something below it, is another.
    Changed,
    /// It is gone.
    Deleted,
}

impl Change {
    /// The letter that `diff` prints.
    #[must_use]
    pub fn letter(self) -> u8 {
        match self {
            Self::Added => b'A',
            Self::Changed => b'C',
            Self::Deleted => b'D',
        }
    }
}

/// What the overlay directory `upper` changes of the layers `lower`, top first; paths relative to the root, in order.
///
/// A directory is changed if anything below it is. (overlayfs.rst, Whiteouts and opaque directories.)
///
/// # Errors
/// `kernel` naming the entry.
pub fn compare(upper: &Path, lower: &[PathBuf]) -> Result<BTreeMap<Vec<u8>, Change>> {
    let root = |path: &Path| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        open(path, flags, Mode::empty()).at("open", path)
    };
    let mut comparison = Comparison {
        upper: root(upper)?,
        lower: lower.iter().map(|path| root(path)).collect::<Result<_>>()?,
        changes: BTreeMap::new(),
    };
    comparison.run()?;
    Ok(comparison.changes)
}

struct Comparison {
    upper: OwnedFd,
    lower: Vec<OwnedFd>,
    changes: BTreeMap<Vec<u8>, Change>,
}

impl Comparison {
    fn run(&mut self) -> Result<()> {
        let all = (0..self.lower.len()).collect();
        let mut waiting: Vec<(Vec<u8>, Vec<usize>)> = vec![(Vec::new(), all)];
        while let Some((path, layers)) = waiting.pop() {
            let directory = match open_directory(&self.upper, &path) {
                Err(Errno::NOENT) => continue, // gone meanwhile
                other => other.at("open", os(&path))?,
            };
            let parts = self.parts(&path, &layers)?;
            let mut names = BTreeSet::new();
            for (name, _) in entries(&directory).at("read", os(&path))? {
                let below = below(&path, &name);
                let stat = match statat(&directory, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => continue,
                    other => other.at("stat", os(&below))?,
                };
                let known = find(&parts, &name, &below)?;
                if self.entry(&below, &stat, known.as_ref()) {
                    waiting.push((below, parts.iter().map(|(layer, _)| *layer).collect()));
                }
                names.insert(name);
            }
            if is_opaque(&directory, &path)? {
                self.hidden(&path, &parts, &names)?;
            }
        }
        Ok(())
    }

    /// Notes what became of one entry of the upper directory; true for a directory to go down into.
    fn entry(&mut self, path: &[u8], stat: &Stat, known: Option<&Stat>) -> bool {
        let is_directory = kind(stat) == FileType::Directory;
        match known {
            _ if is_whiteout(stat) => {
                if known.is_some() {
                    self.note(path, Change::Deleted);
                }
            }
            None => self.note(path, Change::Added),
            // Copied up because of something below it.
            Some(known) if is_directory && is_same(stat, known) => {}
            Some(_) => self.note(path, Change::Changed),
        }
        is_directory
    }

    /// What lower layers have in an opaque directory is gone, unless it was made anew.
    fn hidden(
        &mut self,
        path: &[u8],
        parts: &[(usize, OwnedFd)],
        names: &BTreeSet<Vec<u8>>,
    ) -> Result<()> {
        for (_, part) in parts {
            for (name, _) in entries(part).at("read", os(path))? {
                let path = below(path, &name);
                if !names.contains(&name) && find(parts, &name, &path)?.is_some() {
                    self.note(&path, Change::Deleted);
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, path: &[u8], change: Change) {
        self.changes.insert(path.to_vec(), change);
        let mut above = path;
        while let Some(at) = above.iter().rposition(|byte| *byte == b'/') {
            above = &above[..at];
            self.changes.entry(above.to_vec()).or_insert(Change::Changed);
        }
    }

    /// The directory `path` in those of `layers` in which it shows, top first.
    fn parts(&self, path: &[u8], layers: &[usize]) -> Result<Vec<(usize, OwnedFd)>> {
        let mut parts = Vec::new();
        for &layer in layers {
            let directory = match open_directory(&self.lower[layer], path) {
                Err(Errno::NOENT) => continue,
                // A file, a link or a whiteout: what is below it does not show.
                Err(Errno::NOTDIR | Errno::LOOP) => break,
                other => other.at("open", os(path))?,
            };
            let hides = is_opaque(&directory, path)?;
            parts.push((layer, directory));
            if hides {
                break;
            }
        }
        Ok(parts)
    }
}

/// What the layers show under a name; `None` for nothing.
fn find(parts: &[(usize, OwnedFd)], name: &[u8], path: &[u8]) -> Result<Option<Stat>> {
    for (_, part) in parts {
        match statat(part, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            Ok(stat) if is_whiteout(&stat) => return Ok(None),
            other => return other.map(Some).at("stat", os(path)),
        }
    }
    Ok(None)
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn is_whiteout(stat: &Stat) -> bool {
    kind(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn is_same(one: &Stat, other: &Stat) -> bool {
    let facts =
        |stat: &Stat| (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_mtime, stat.st_mtime_nsec);
    facts(one) == facts(other)
}

fn is_opaque(directory: &OwnedFd, path: &[u8]) -> Result<bool> {
    let mut value = [0; 4];
    match fgetxattr(directory, "user.overlay.opaque", value.as_mut_slice()) {
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(false),
        other => Ok(value[..other.at("read attributes of", os(path))?] == *b"y"),
    }
}

fn os(path: &[u8]) -> &Path {
    if path.is_empty() { Path::new("/") } else { Path::new(OsStr::from_bytes(path)) }
}
