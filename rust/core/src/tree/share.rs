//! An image's layers with other owners, and no byte of their data copied.
//!
//! What is made is one tree of metadata: every file of the merged layers, with its owner shifted, its length and no
//! content. Two attributes, which overlayfs reads, say where the content is: `user.overlay.metacopy`, and
//! `user.overlay.redirect` with a path in a *data-only* lower layer (overlayfs.rst#data-only-lower-layers). That is a
//! flat folder beside each unpacked layer with one more hard link to each of its files.
//!
//! - One tree, not one for each layer: overlayfs follows such a file only from the lowest layer that is not data-only
//!   (fs/overlayfs/namei.c, `do_ovl_lookup`: with another layer below, `ovl_check_follow_redirect` refuses).
//! - A folder of links, not the layer itself: the value is kept in the inode if it is short (24 bytes beside what else
//!   is there, on ext4), and in a block of its own, a file's worth of disk for each file, if it is not.
//! - Paths in a folder begin with a piece of the layer's name, since overlayfs looks in one folder after the other.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, XattrFlags, fchmod, fdatasync, fsetxattr,
    ftruncate, futimens, linkat, mkdirat, open, statat,
};
use rustix::io::Errno;

use super::merge::Merged;
use super::shift::{Entry, IdMap, Names, Shift, times};
use super::{below, open_directory};
use crate::create::end;
use crate::paths::c_string;
use crate::sys::files::{has_attributes, set_maker};
use crate::sys::fork::{Fork, exit_now, fork_single};
use crate::{At, Code, Error, Result, channel};

/// The attribute of a file whose content is elsewhere.
pub const METACOPY: &str = "user.overlay.metacopy";
/// The attribute that says where.
pub const REDIRECT: &str = "user.overlay.redirect";

/// Bytes of a layer's name that its paths begin with: short enough for the inode, long enough to differ.
const PREFIX: usize = 12;

/// An unpacked layer and its folder of links.
#[derive(Clone, Debug)]
pub struct Source {
    /// The layer.
    pub layer: PathBuf,
    /// The folder, made if it is missing.
    pub data: PathBuf,
}

/// What was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Shared {
    /// Files whose data is the layer's.
    pub shared: u64,
    /// Files that were copied: the container's root could not have read the layer's.
    pub copied: u64,
}

/// Makes `destination`, which must not exist, the metadata of `sources` (top first) with every owner mapped.
///
/// Keeps modes, times, extended attributes (file capabilities among them), hard links, symbolic links and fifos;
/// whiteouts and opaque directories have had their effect. Nobody may be at work on the layers but others who do the
/// same: the links are made where they are missing, and one that is there is the right one.
///
/// The process is only for this: it has no umask, its capabilities outlive a change of its user
/// (SECBIT_NO_SETUID_FIXUP), and what it makes afterwards may be another's.
///
/// # Errors
/// `denied` for an owner outside the maps; `kernel` naming the entry. What has been made stays for the caller to remove.
pub fn share_shifted(
    sources: &[Source],
    destination: &Path,
    uids: &[IdMap],
    gids: &[IdMap],
) -> Result<Shared> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open_root = |path: &Path| open(path, flags, Mode::empty()).at("open", path);
    let layers: Vec<_> =
        sources.iter().map(|source| open_root(&source.layer)).collect::<Result<_>>()?;
    let folders = sources.iter().map(Folder::open).collect::<Result<_>>()?;
    mkdirat(rustix::fs::CWD, destination, Mode::RWXU).at("mkdir", destination)?;
    let shift = Shift { uids, gids };
    let to = open_root(destination)?;
    let maker = Cell::new(None);
    Share { sources, layers, folders, to, destination, shift, maker }.run()
}

/// A folder of links, open.
struct Folder {
    fd: OwnedFd,
    /// `/PREFIX/`: what the redirects to it begin with.
    prefix: Vec<u8>,
}

impl Folder {
    fn open(source: &Source) -> Result<Self> {
        let name = source.layer.file_name().unwrap_or_default().as_bytes();
        let prefix = &name[..name.len().min(PREFIX)];
        let path = source.data.join(OsStr::from_bytes(prefix));
        for directory in [&source.data, &path] {
            match rustix::fs::mkdir(directory, Mode::RWXU) {
                Err(Errno::EXIST) => {}
                made => {
                    made.at("mkdir", directory)?;
                    // Whoever the container's root is, it looks a file up here. (Our umask is not its wish.)
                    rustix::fs::chmod(directory, Mode::from_raw_mode(0o755))
                        .at("chmod", directory)?;
                }
            }
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = open(&path, flags, Mode::empty()).at("open", &path)?;
        Ok(Self { fd, prefix: [b"/", prefix, b"/"].concat() })
    }

    /// The redirect to a file of the layer, which gets its link if it has none; `None` if it can have no more links.
    fn redirect(
        &self,
        directory: &OwnedFd,
        name: &[u8],
        stat: &Stat,
    ) -> Result<Option<Vec<u8>>, Errno> {
        // By inode: whoever comes with another map finds the same name. A store that was moved to another file system
        // has other inodes under these names; then the next free one is taken.
        for attempt in 0u32.. {
            let link = match attempt {
                0 => format!("{:x}", stat.st_ino),
                _ => format!("{:x}.{attempt}", stat.st_ino),
            };
            match linkat(directory, name, &self.fd, link.as_str(), AtFlags::empty()) {
                Err(Errno::EXIST) => {
                    let known = statat(&self.fd, link.as_str(), AtFlags::SYMLINK_NOFOLLOW)?;
                    if (known.st_dev, known.st_ino) != (stat.st_dev, stat.st_ino) {
                        continue;
                    }
                }
                Err(Errno::MLINK) => return Ok(None),
                made => made?,
            }
            return Ok(Some([self.prefix.as_slice(), link.as_bytes()].concat()));
        }
        Ok(None)
    }
}

struct Share<'a> {
    /// For errors.
    sources: &'a [Source],
    layers: Vec<OwnedFd>,
    folders: Vec<Folder>,
    to: OwnedFd,
    /// For errors.
    destination: &'a Path,
    shift: Shift<'a>,
    /// Whose is what we make now.
    maker: Cell<Option<(Uid, Gid)>>,
}

/// A directory of the merged layers.
struct Directory {
    path: Vec<u8>,
    /// The layers that have a part of it, top first.
    layers: Vec<usize>,
}

#[derive(Default)]
struct Progress {
    /// Those met, parents before children.
    directories: Vec<Directory>,
    /// Files with more than one name, by layer and inode, and where the first is. (The folder's link is one of two.)
    links: HashMap<(usize, u64), Vec<u8>>,
    done: Shared,
}

impl Share<'_> {
    /// Half of the work is done in a process beside us: making an inode is what takes the time.
    fn run(&self) -> Result<Shared> {
        let (ours, theirs) = channel::pair()?;
        let Fork::Parent { pidfd, .. } = fork_single(0, None).at("clone", "share")? else {
            drop(ours);
            let done = self.work(1, &theirs);
            // With nobody listening there is nobody to tell.
            let _ = channel::send(&theirs, &told(&done), &[]);
            exit_now(0);
        };
        drop(theirs);
        let done = self.work(0, &ours).and_then(|done| hear(&ours).map(|_| done));
        end(pidfd.as_fd()); // it has said all, or is not to go on
        done
    }

    /// One half of the work: files, and when the other has made its own, directories, since what is made in one
    /// changes its time. What both have done.
    fn work(&self, half: u64, other: &OwnedFd) -> Result<Shared> {
        let made = self.make(half);
        let (directories, done) = match made {
            Ok(Progress { directories, done, .. }) => (directories, Ok(done)),
            Err(error) => (Vec::new(), Err(error)),
        };
        let _ = channel::send(other, &told(&done), &[]); // whoever is gone is missed in the next line
        let (own, theirs) = (done?, hear(other)?);
        let half = usize::from(half == 1);
        for Directory { path, layers } in directories.iter().skip(half).step_by(2) {
            let names = self.names(layers[0], path);
            let from = open_directory(&self.layers[layers[0]], path).at("open", names.origin())?;
            let to = open_directory(&self.to, path).at("open", names.target())?;
            self.shift.finish(&from, &to, names)?;
        }
        Ok(Shared { shared: own.shared + theirs.shared, copied: own.copied + theirs.copied })
    }

    /// Makes all directories, which the other half does as well, and the files whose inode's number is even, or odd: all
    /// names of one file fall to the same half.
    fn make(&self, half: u64) -> Result<Progress> {
        let mut progress = Progress::default();
        let mut found = VecDeque::from([Directory {
            path: Vec::new(),
            layers: (0..self.layers.len()).collect(),
        }]);
        while let Some(directory) = found.pop_front() {
            let (path, layers) = (&directory.path, &directory.layers);
            let here = self.names(layers[0], path);
            let from = Merged::open(&self.layers, layers, path).at("open", here.origin())?;
            let to = open_directory(&self.to, path).at("open", here.target())?;
            for (name, entry) in from.read().at("read", here.origin())? {
                let path = below(path, &name);
                let names = self.names(entry.layer, &path);
                if entry.kind == FileType::Directory {
                    match mkdirat(&to, name.as_slice(), Mode::RWXU) {
                        Err(Errno::EXIST) => {} // by the other half
                        made => made.at("mkdir", names.target())?,
                    }
                    found.push_back(Directory { path, layers: entry.parts });
                } else if entry.inode % 2 == half {
                    let Some(from) = from.part(entry.layer) else { continue };
                    let stat = statat(from, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW)
                        .at("stat", names.origin())?;
                    let made = Entry { from, to: &to, name: &name, names, stat };
                    self.entry(&made, entry.layer, &mut progress)?;
                }
            }
            progress.directories.push(directory);
        }
        Ok(progress)
    }

    fn entry(&self, entry: &Entry<'_>, layer: usize, progress: &mut Progress) -> Result<()> {
        let has_names = entry.stat.st_nlink > 1;
        let key = (layer, entry.stat.st_ino);
        if has_names && let Some(first) = progress.links.get(&key) {
            return linkat(&self.to, first.as_slice(), entry.to, entry.name, AtFlags::empty())
                .at("link", entry.names.target());
        }
        match entry.kind() {
            FileType::RegularFile => match self.redirect(entry, layer)? {
                Some(redirect) => {
                    self.file(entry, &redirect)?;
                    progress.done.shared += 1;
                }
                None => {
                    // Few and small, and nothing else will make them again.
                    let copy = self.shift.file(entry)?;
                    fdatasync(&copy).at("sync", entry.names.target())?;
                    progress.done.copied += 1;
                }
            },
            _ => self.shift.special(entry)?,
        }
        if has_names {
            progress.links.insert(key, entry.names.path.to_vec());
        }
        Ok(())
    }

    /// Where the content of a file will be found, "" for one that has none; `None` for one to be copied.
    fn redirect(&self, entry: &Entry<'_>, layer: usize) -> Result<Option<Vec<u8>>> {
        if !self.shift.may_read(&entry.stat) {
            return Ok(None);
        }
        if entry.stat.st_size == 0 {
            return Ok(Some(Vec::new()));
        }
        let folder = &self.folders[layer];
        folder.redirect(entry.from, entry.name, &entry.stat).at("link", entry.names.origin())
    }

    fn file(&self, entry: &Entry<'_>, redirect: &[u8]) -> Result<()> {
        let names = entry.names;
        let target = || names.target();
        let (uid, gid) = self.shift.owner(&entry.stat, names)?;
        self.become_maker(uid, gid)?;
        let mode = Mode::from_raw_mode(entry.stat.st_mode & 0o777);
        let to = entry.make(mode)?; // its owner's, and with its mode: two calls less for each of many thousands
        if !redirect.is_empty() {
            ftruncate(&to, entry.stat.st_size.cast_unsigned()).at("truncate", target())?;
            for (name, value) in [(METACOPY, b"".as_slice()), (REDIRECT, redirect)] {
                fsetxattr(&to, name, value, XattrFlags::empty())
                    .at("set attributes of", target())?;
            }
        }
        self.attributes(entry, &to)?;
        if entry.stat.st_mode & 0o7000 != 0 {
            let mode = Mode::from_raw_mode(entry.stat.st_mode & 0o7777);
            fchmod(&to, mode).at("chmod", target())?;
        }
        futimens(&to, &times(&entry.stat)).at("set times of", target())
    }

    /// Whose is what we make from now on.
    fn become_maker(&self, uid: Uid, gid: Gid) -> Result<()> {
        if self.maker.replace(Some((uid, gid))) == Some((uid, gid))
            || set_maker(uid.as_raw(), gid.as_raw())
        {
            return Ok(());
        }
        let id = format!("{}:{}", uid.as_raw(), gid.as_raw());
        Err(Error::kernel("become", id, libc::EINVAL))
    }

    /// Most files have none: asked by name, since opening each would cost as much as all the rest.
    fn attributes(&self, entry: &Entry<'_>, to: &OwnedFd) -> Result<()> {
        let name = c_string(OsStr::from_bytes(entry.name), "name")?;
        match has_attributes(entry.from.as_fd(), &name) {
            Ok(false) => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(()),
            // Without that call it is opened, and asked.
            Err(error) if error.raw_os_error() != Some(libc::ENOSYS) => {
                return Err(error).at("list attributes of", entry.names.origin());
            }
            _ => {}
        }
        let from = entry.open()?;
        self.shift.attributes(&from, to).at("copy attributes of", entry.names.target())
    }

    fn names<'a>(&'a self, layer: usize, path: &'a [u8]) -> Names<'a> {
        Names { source: &self.sources[layer].layer, destination: self.destination, path }
    }
}

/// What one half tells the other.
fn told(done: &Result<Shared>) -> Vec<u8> {
    let told = match done {
        Ok(done) => serde_json::to_vec(done),
        Err(error) => serde_json::to_vec(error),
    };
    told.unwrap_or_default()
}

/// What the other half has done, or its error.
fn hear(other: &OwnedFd) -> Result<Shared> {
    let report = channel::receive_message(other, &mut Vec::new()).at("share", "receive")?;
    serde_json::from_slice(&report).map_err(|_| {
        serde_json::from_slice(&report)
            .unwrap_or_else(|_| Error::new(Code::Kernel, "share", "", "the other half was ended"))
    })
}
