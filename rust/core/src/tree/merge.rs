//! Layers laid over one another, read as overlayfs would show them (overlayfs.rst): without a mount, so by anybody.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType, fgetxattr, statat};
use rustix::io::Errno;

use super::open_directory;

/// The attribute of a directory that hides what lower layers have in it.
const OPAQUE: &str = "user.overlay.opaque";

/// What a name in a merged directory stands for.
pub(super) struct Found {
    /// The layer that has it; of several that have the directory, the top one.
    pub(super) layer: usize,
    pub(super) kind: FileType,
    pub(super) inode: u64,
    /// The layers that have a part of it, top first, if it is a directory.
    pub(super) parts: Vec<usize>,
    /// Hidden by what is above: no more parts.
    is_closed: bool,
    is_whiteout: bool,
}

/// A directory of the merged tree, open in every layer that shows in it.
pub(super) struct Merged {
    /// Layer and directory, top first.
    parts: Vec<(usize, OwnedFd)>,
}

impl Merged {
    /// Opens `path` in those of the layers `roots` that `layers` names, down to the first that hides the rest.
    pub(super) fn open(roots: &[OwnedFd], layers: &[usize], path: &[u8]) -> Result<Self, Errno> {
        let mut parts = Vec::with_capacity(layers.len());
        for &layer in layers {
            let fd = open_directory(&roots[layer], path)?;
            let hides = is_opaque(&fd)?;
            parts.push((layer, fd));
            if hides {
                break;
            }
        }
        Ok(Self { parts })
    }

    /// What `layer` has of it, which is one of its parts.
    pub(super) fn part(&self, layer: usize) -> Option<&OwnedFd> {
        self.parts.iter().find_map(|(known, fd)| (*known == layer).then_some(fd))
    }

    /// Everything in it, by name. Only what could be a whiteout is looked at: asking for the status of each would take
    /// as long as all the rest.
    pub(super) fn read(&self) -> Result<BTreeMap<Vec<u8>, Found>, Errno> {
        let mut names: BTreeMap<Vec<u8>, Found> = BTreeMap::new();
        for (layer, fd) in &self.parts {
            for entry in Dir::read_from(fd)? {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if name == b"." || name == b".." {
                    continue;
                }
                let (mut kind, mut is_whiteout) = (entry.file_type(), false);
                if matches!(kind, FileType::Unknown | FileType::CharacterDevice) {
                    let stat = statat(fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    kind = FileType::from_raw_mode(stat.st_mode);
                    is_whiteout = kind == FileType::CharacterDevice && stat.st_rdev == 0;
                }
                let is_directory = kind == FileType::Directory;
                match names.entry(name.to_vec()) {
                    Entry::Vacant(place) => {
                        place.insert(Found {
                            layer: *layer,
                            kind,
                            inode: entry.ino(),
                            parts: vec![*layer],
                            is_closed: !is_directory,
                            is_whiteout,
                        });
                    }
                    Entry::Occupied(mut place) => {
                        let above = place.get_mut();
                        if above.is_closed {
                            continue;
                        }
                        if is_directory {
                            above.parts.push(*layer);
                        } else {
                            above.is_closed = true;
                        }
                    }
                }
            }
        }
        names.retain(|_, found| !found.is_whiteout);
        Ok(names)
    }
}

fn is_opaque(directory: &OwnedFd) -> Result<bool, Errno> {
    let mut value = [0; 1];
    match fgetxattr(directory, OPAQUE, value.as_mut_slice()) {
        Ok(_) => Ok(value == *b"y"),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(false),
        Err(errno) => Err(errno),
    }
}
