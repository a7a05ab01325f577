//! Paths inside a rootfs: resolved beneath it by the kernel, held as descriptors, never named again.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::error::{At, Code, Error, Result};

/// How a path of the container is resolved: as the container would, never outside, never through /proc links.
const IN_ROOT: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// Opens `path` as the container would see it; symlinks and `..` stay beneath `root`.
///
/// # Errors
/// `kernel` with the path as subject.
pub fn open_in_root(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd> {
    try_open_in_root(root, path, flags).at("open", path)
}

/// [`open_in_root`] with the bare errno, for callers that expect ENOENT.
///
/// # Errors
/// openat2(2)'s.
pub fn try_open_in_root(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
) -> std::result::Result<OwnedFd, Errno> {
    // EAGAIN: a rename raced with a `..` walk; the kernel asks us to try again.
    for _ in 0..128 {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), IN_ROOT) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
    Err(Errno::AGAIN)
}

/// Opens a path of the host that we were given, without holding its content.
///
/// # Errors
/// `kernel` with the path as subject; ENOENT is `not_found`.
pub fn open_host(path: &Path, flags: OFlags) -> Result<OwnedFd> {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()).at("open", path).map_err(
        |error| match error.errno {
            Some(libc::ENOENT) => error.with_code(Code::NotFound),
            _ => error,
        },
    )
}

/// Makes `path` and its parents beneath `root` and opens it.
///
/// CVE-2024-45310: each component is resolved beneath the root by descriptor, so a swapped parent can only
/// make a directory inside the container. Symlinks on the way are followed as the container would follow them.
///
/// # Errors
/// `kernel` with the path as subject.
pub fn make_dirs(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd> {
    make(root, path, true, 0)
}

/// The most symlinks that lead nowhere in a row, as in the kernel.
const SYMLINKS: u32 = 40;

/// Makes a directory, or an empty file, and the directories above it.
fn make(root: BorrowedFd<'_>, path: &Path, is_dir: bool, symlinks: u32) -> Result<OwnedFd> {
    let want = if is_dir { OFlags::PATH | OFlags::DIRECTORY } else { OFlags::PATH };
    match try_open_in_root(root, path, want) {
        Err(Errno::NOENT) => {}
        result => return result.at(if is_dir { "mkdir" } else { "open" }, path),
    }
    let above = path.parent().filter(|above| !matches!(above.as_os_str().as_bytes(), b"/" | b""));
    let above = above.unwrap_or(Path::new("/"));
    let parent = make(root, above, true, symlinks)?;
    let name = file_name(path)?;
    let made = if is_dir {
        rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755))
    } else {
        // CVE-2026-88264: O_EXCL, which follows nothing.
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDONLY | OFlags::CLOEXEC;
        rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
    };
    match made {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno).at(if is_dir { "mkdir" } else { "create" }, path),
    }
    match (try_open_in_root(root, path, want), rustix::fs::readlinkat(&parent, name, Vec::new())) {
        // A symlink of the image that leads nowhere, as /etc/resolv.conf to a file below /run: what it names is made
        // where it leads beneath the root, step by step, as any other path.
        (Err(Errno::NOENT), Ok(link)) if symlinks < SYMLINKS => {
            make(root, &above.join(OsStr::from_bytes(link.to_bytes())), is_dir, symlinks + 1)
        }
        (result, _) => result.at("open", path),
    }
}

/// Makes the mount point for a source that is a directory or not, and opens it.
///
/// # Errors
/// `kernel` with the path as subject.
pub fn make_mount_point(root: BorrowedFd<'_>, path: &Path, is_dir: bool) -> Result<OwnedFd> {
    make(root, path, is_dir, 0)
}

/// The last component, which must be a name.
fn file_name(path: &Path) -> Result<&OsStr> {
    path.file_name().ok_or_else(|| {
        Error::new(
            Code::InvalidSpec,
            "mount destination",
            path.to_string_lossy(),
            "does not end in a file name",
        )
    })
}

/// fstat(2), naming what it was about.
///
/// # Errors
/// `kernel`.
pub fn stat(fd: impl AsFd, path: &Path) -> Result<Stat> {
    rustix::fs::fstat(fd).at("stat", path)
}

/// Whether the descriptor is a directory.
///
/// # Errors
/// `kernel`.
pub fn is_dir(fd: impl AsFd, path: &Path) -> Result<bool> {
    Ok(FileType::from_raw_mode(stat(fd, path)?.st_mode).is_dir())
}

/// Replaces the file `name` in `dir` by `data`: a reader, or a crash, sees the old file or the new one.
///
/// # Errors
/// `kernel` with the name as subject; nothing is left behind.
pub fn write_whole(dir: BorrowedFd<'_>, name: &str, data: &[u8], mode: u32) -> Result<()> {
    let temporary = format!(".{name}.{}", rustix::process::getpid().as_raw_nonzero());
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, &temporary, flags, Mode::from_raw_mode(mode))
        .at("create", &temporary)?;
    let result = write_all(&file, data)
        .at("write", name)
        .and_then(|()| rustix::fs::renameat(dir, &temporary, dir, name).at("rename", name));
    if result.is_err() {
        // The first error is the one to tell; a temporary that cannot be unlinked is overwritten next time.
        let _ = rustix::fs::unlinkat(dir, &temporary, AtFlags::empty());
    }
    result
}

/// A file whose room on the disk is taken long before its content is known: what must be told at the end is told on
/// a full disk, too.
#[derive(Debug)]
pub struct Reserved {
    dir: OwnedFd,
    name: &'static str,
    temporary: String,
    file: OwnedFd,
}

impl Reserved {
    /// Takes room for `bytes`; nothing is at `name` yet.
    ///
    /// # Errors
    /// `kernel`: ENOSPC now rather than then.
    pub fn make(dir: BorrowedFd<'_>, name: &'static str, bytes: u64) -> Result<Self> {
        let temporary = format!(".{name}");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(0o600);
        let file = rustix::fs::openat(dir, &temporary, flags | OFlags::CLOEXEC, mode)
            .at("create", &temporary)?;
        match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
            // A file system that cannot promise is not made to.
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno).at("reserve", name),
        }
        let dir = dir.try_clone_to_owned().at("dup", name)?;
        Ok(Self { dir, name, temporary, file })
    }

    /// Writes the content and gives it its name: a reader sees all of it or nothing.
    ///
    /// # Errors
    /// `kernel`.
    pub fn write(self, data: &[u8]) -> Result<()> {
        write_all(&self.file, data).at("write", self.name)?;
        rustix::fs::ftruncate(&self.file, data.len() as u64).at("write", self.name)?;
        rustix::fs::renameat(&self.dir, &self.temporary, &self.dir, self.name)
            .at("rename", self.name)
    }
}

/// write(2) until all is written.
///
/// # Errors
/// write(2)'s.
pub fn write_all(fd: impl AsFd, mut data: &[u8]) -> std::result::Result<(), Errno> {
    while !data.is_empty() {
        let count = rustix::io::retry_on_intr(|| rustix::io::write(&fd, data))?;
        data = &data[count..];
    }
    Ok(())
}

/// `data` as a descriptor, to be handed to another process; read it from the start.
///
/// # Errors
/// `kernel`.
pub fn memory_file(name: &str, data: &[u8]) -> Result<OwnedFd> {
    let file = rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC).at("memfd", name)?;
    write_all(&file, data).at("write", name)?;
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0)).at("seek", name)?;
    Ok(file)
}

/// The whole file, at most `limit` bytes.
///
/// # Errors
/// `kernel`; `invalid_spec` if it is longer.
pub fn read_all(fd: impl AsFd, path: &Path, limit: usize) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    let mut chunk = [0_u8; 16384];
    loop {
        let count =
            rustix::io::retry_on_intr(|| rustix::io::read(&fd, &mut chunk)).at("read", path)?;
        if count == 0 {
            return Ok(data);
        }
        data.extend_from_slice(&chunk[..count]);
        if data.len() > limit {
            return Err(Error::new(
                Code::InvalidSpec,
                "read",
                path.to_string_lossy(),
                format!("longer than {limit} bytes"),
            ));
        }
    }
}

/// Reads a file of the host by path.
///
/// # Errors
/// As [`open_host`] and [`read_all`].
pub fn read_host(path: &Path, limit: usize) -> Result<Vec<u8>> {
    read_all(open_host(path, OFlags::RDONLY)?, path, limit)
}

/// The bytes of a path as the kernel takes them, refusing NUL.
///
/// # Errors
/// `invalid_spec`.
pub fn c_string(text: &OsStr, field: &str) -> Result<std::ffi::CString> {
    std::ffi::CString::new(text.as_bytes()).map_err(|_| {
        Error::new(Code::InvalidSpec, field, text.to_string_lossy(), "contains a NUL byte")
    })
}
