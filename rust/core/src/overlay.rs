//! The overlay that is a container's root: layers, data behind them, a writable directory (overlayfs.rst).
//!
//! Always with `userxattr`: a user namespace may not have `trusted.` attributes. Everything is opened first and handed
//! over by descriptor: no path of the host can be too long or hold a character that the option's grammar means
//! otherwise, and who mounts need not be who may open.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use crate::bundle::Rootfs;
use crate::error::{At, Result};
use crate::mount;
use crate::paths::{open_host, write_all};
use crate::tree::{METACOPY, REDIRECT};

const STEP: &str = "mount overlay";
const FDS: &str = "/proc/self/fd";
/// Bytes of an option (fsconfig(2)).
const LONGEST: usize = 255;

/// An overlay's directories, open.
pub struct Overlay {
    /// Layers, top first.
    lower: Vec<OwnedFd>,
    /// Where files of a layer made by [`crate::tree::share_shifted`] have their data.
    data: Vec<OwnedFd>,
    /// None: read-only.
    writable: Option<Writable>,
}

struct Writable {
    upper: OwnedFd,
    work: OwnedFd,
    volatile: bool,
}

impl Overlay {
    /// Opens them all, as whoever the caller is.
    ///
    /// # Errors
    /// `not_found` or `kernel` naming the path.
    pub fn open(rootfs: &Rootfs) -> Result<Self> {
        let dir = |path: &PathBuf| open_host(path, OFlags::PATH | OFlags::DIRECTORY);
        Ok(Self {
            lower: rootfs.lower.iter().map(dir).collect::<Result<_>>()?,
            data: rootfs.data.iter().map(dir).collect::<Result<_>>()?,
            writable: Some(Writable {
                upper: dir(&rootfs.upper)?,
                work: dir(&rootfs.work)?,
                volatile: rootfs.volatile,
            }),
        })
    }

    /// Mounts it, attached nowhere yet, in the caller's mount namespace.
    ///
    /// # Errors
    /// `kernel`, with overlayfs' own words where it has any.
    pub fn mount(&self) -> Result<OwnedFd> {
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).at(STEP, "/")?;
        let here = self.configure(context.as_fd())?;
        let made = fsconfig_create(&context).at(STEP, "/");
        if let Some(here) = here {
            rustix::process::fchdir(here).at("chdir", "")?;
        }
        made.map_err(|error| mount::explain(&context, error))?;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).at(STEP, "/")
    }

    /// Says what is to be mounted. Names may be relative to where we are then: what is returned is where we were.
    fn configure(&self, context: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
        let set = |key: &str, value: &str| fsconfig_set_string(context, key, value).at(STEP, key);
        let link = |fd: &OwnedFd| format!("{FDS}/{}", fd.as_raw_fd());
        let here = self.set_lower(&set)?;
        // Linux 6.8. The older form, `lowerdir=…::…`, is not needed: before 6.16 no such layer is made ([`shares_data`]).
        for data in &self.data {
            set("datadir+", &link(data))?;
        }
        fsconfig_set_flag(context, "userxattr").at(STEP, "userxattr")?;
        let Some(writable) = &self.writable else { return Ok(here) };
        set("upperdir", &link(&writable.upper))?;
        set("workdir", &link(&writable.work))?;
        if writable.volatile {
            fsconfig_set_flag(context, "volatile").at(STEP, "volatile")?;
        }
        Ok(here)
    }

    /// The layers, in one option where they fit: Linux before 6.7 knows no other form, and before 6.5 takes any option
    /// and refuses at the end.
    fn set_lower(&self, set: &dyn Fn(&str, &str) -> Result<()>) -> Result<Option<OwnedFd>> {
        let join = |before: &str| {
            let link = |fd: &OwnedFd| format!("{before}{}", fd.as_raw_fd());
            self.lower.iter().map(link).collect::<Vec<_>>().join(":")
        };
        let whole = join(&format!("{FDS}/"));
        let short = join("");
        if self.data.is_empty() && whole.len() <= LONGEST {
            set("lowerdir", &whole)?;
        } else if self.data.is_empty() && short.len() <= LONGEST {
            let here = open_host(Path::new("."), OFlags::PATH | OFlags::DIRECTORY)?;
            rustix::process::chdir(FDS).at("chdir", FDS)?;
            set("lowerdir", &short)?;
            return Ok(Some(here));
        } else {
            for lower in &self.lower {
                set("lowerdir+", &format!("{FDS}/{}", lower.as_raw_fd()))?;
            }
        }
        Ok(None)
    }
}

/// Whether this kernel, on the file system of `directory`, gives a file in a user namespace the data of another one in a
/// data-only layer: Linux 6.16 does. Tried, not read off a version: distributions carry patches back.
///
/// The caller is root of its user namespace and has a mount namespace of its own. `directory` is there and empty, and
/// stays for the caller to remove with what is in it.
///
/// # Errors
/// `kernel` for what has nothing to do with overlays: no room, no right to write.
pub fn shares_data(directory: &Path) -> Result<bool> {
    let make = |name: &str| -> Result<OwnedFd> {
        let path = directory.join(name);
        rustix::fs::mkdir(&path, Mode::RWXU).at("mkdir", &path)?;
        open_host(&path, OFlags::RDONLY | OFlags::DIRECTORY)
    };
    let (metadata, data) = (make("metadata")?, make("data")?);
    let create = |directory: &OwnedFd| {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        rustix::fs::openat(directory, "file", flags, Mode::RUSR | Mode::WUSR).at("make", "file")
    };
    write_all(create(&data)?, b"data").at("write", "file")?;
    let file = create(&metadata)?;
    rustix::fs::ftruncate(&file, 4).at("truncate", "file")?;
    let attributes = [(METACOPY, b"".as_slice()), (REDIRECT, b"/file")];
    for (name, value) in attributes {
        match rustix::fs::fsetxattr(&file, name, value, XattrFlags::empty()) {
            // A file system without attributes of users.
            Err(Errno::OPNOTSUPP) => return Ok(false),
            result => result.at("set attribute of", "file")?,
        }
    }
    let overlay = Overlay { lower: vec![metadata], data: vec![data], writable: None };
    // Whatever refuses from here on, the mount or the file: layers of this kind would be of no use.
    let Ok(mounted) = overlay.mount() else { return Ok(false) };
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::openat(&mounted, "file", flags, Mode::empty()) else {
        return Ok(false);
    };
    let mut content = [0; 8];
    Ok(rustix::io::read(&file, &mut content).is_ok_and(|count| content[..count] == *b"data"))
}
