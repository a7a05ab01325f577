//! Compiled filters on disk: `<data>/cache/seccomp/<key>`.
//!
//! ```text
//! magic "pyrtbpf1" · flags u32 · instructions 8 bytes each · sha256 of everything before
//! ```
//!
//! A filter taken from here decides what a container may do, so nobody else may have written it: the
//! directory must be ours and closed to others (crun's cache is guarded the same way), a file is
//! opened without following a link, must be ours, and must hash to what it says. Whatever is wrong is a
//! miss. Files appear by rename, so a reader never sees half of one.

use std::fs::{File, read_dir, remove_file};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, Mode, OFlags, fstat, mkdir, open as open_path, openat, renameat, unlinkat,
};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::Filter;
use super::arch::Arch;
use super::profile::Seccomp;

const MAGIC: &[u8; 8] = b"pyrtbpf1";

/// More profiles than that are not in use at once; then all are dropped and those in use come back.
const LIMIT: usize = 128;

/// 4096 instructions and what surrounds them.
const MAX_BYTES: u64 = 4096 * 8 + 64;

/// A cache directory that has been found to be ours alone.
pub(super) struct Directory {
    fd: OwnedFd,
    path: std::path::PathBuf,
}

/// The file name for a profile: what it says, for whom, by which compiler.
pub(super) fn key(profile: &Seccomp, native: Arch, version: u32) -> String {
    let mut hash = Fields(Sha256::new());
    hash.number(u64::from(version));
    hash.text(&format!("{native:?}"));
    hash.text(&profile.default_action);
    hash.optional(profile.default_errno_ret);
    hash.list(&profile.architectures);
    hash.list(&profile.flags);
    hash.number(profile.syscalls.len() as u64);
    for syscall in &profile.syscalls {
        hash.list(&syscall.names);
        hash.text(&syscall.action);
        hash.optional(syscall.errno_ret);
        hash.number(syscall.args.len() as u64);
        for arg in &syscall.args {
            hash.number(u64::from(arg.index));
            hash.number(arg.value);
            hash.number(arg.value_two);
            hash.text(&arg.op);
        }
    }
    // The listener's path does not change the program, but its absence is refused when compiling.
    hash.number(u64::from(profile.listener_path.as_deref().is_some_and(|path| !path.is_empty())));
    let digest = hash.0.finalize();
    digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        let digits = b"0123456789abcdef";
        text.push(char::from(digits[usize::from(byte >> 4)]));
        text.push(char::from(digits[usize::from(byte & 15)]));
        text
    })
}

/// Hashes fields so that no two different profiles feed the same bytes: every text has its length before it.
struct Fields(Sha256);

impl Fields {
    fn number(&mut self, value: u64) {
        self.0.update(value.to_le_bytes());
    }

    fn text(&mut self, value: &str) {
        self.number(value.len() as u64);
        self.0.update(value);
    }

    fn optional(&mut self, value: Option<u32>) {
        self.number(value.map_or(u64::MAX, u64::from));
    }

    fn list(&mut self, values: &[String]) {
        self.number(values.len() as u64);
        for value in values {
            self.text(value);
        }
    }
}

/// Opens the directory, making it (and its parent) if it is absent; `None` if it is not ours alone.
pub(super) fn open(path: &Path) -> Option<Directory> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    let fd = match open_path(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            // Errors show at the next open.
            let _ = path.parent().map(|parent| mkdir(parent, Mode::RWXU));
            let _ = mkdir(path, Mode::RWXU);
            open_path(path, flags, Mode::empty()).ok()?
        }
        other => other.ok()?,
    };
    let stat = fstat(&fd).ok()?;
    let is_private =
        stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o077 == 0;
    is_private.then(|| Directory { fd, path: path.to_owned() })
}

pub(super) fn read(directory: &Directory, key: &str) -> Option<Filter> {
    // NONBLOCK: a fifo under that name must not stop us.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = openat(&directory.fd, key, flags, Mode::empty()).ok()?;
    let stat = fstat(&fd).ok()?;
    let is_file = stat.st_mode & libc::S_IFMT == libc::S_IFREG;
    if !is_file || stat.st_uid != rustix::process::geteuid().as_raw() || stat.st_mode & 0o022 != 0 {
        return None;
    }
    let mut bytes = Vec::with_capacity(usize::try_from(stat.st_size).ok()?.min(MAX_BYTES as usize));
    File::from(fd).take(MAX_BYTES + 1).read_to_end(&mut bytes).ok()?;
    let (content, digest) = bytes.split_last_chunk::<32>()?;
    if Sha256::digest(content)[..] != digest[..] {
        return None;
    }
    Filter::from_bytes(content.strip_prefix(MAGIC)?)
}

/// Best effort by design: a full disk or a read-only home costs the next start a compilation.
pub(super) fn write(directory: &Directory, key: &str, filter: &Filter) {
    let temporary = format!(".{key}.{}", std::process::id());
    if store(directory, &temporary, key, filter).is_none() {
        let _ = unlinkat(&directory.fd, &temporary, AtFlags::empty());
    }
    trim(directory, key);
}

fn store(directory: &Directory, temporary: &str, key: &str, filter: &Filter) -> Option<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(directory.fd.as_fd(), temporary, flags, Mode::RUSR | Mode::WUSR).ok()?;
    let mut content = MAGIC.to_vec();
    content.extend_from_slice(&filter.to_bytes());
    let digest = Sha256::digest(&content);
    content.extend_from_slice(&digest);
    File::from(fd).write_all(&content).ok()?;
    renameat(&directory.fd, temporary, &directory.fd, key).ok()
}

fn trim(directory: &Directory, keep: &str) {
    let Ok(entries) = read_dir(&directory.path) else {
        return;
    };
    let others: Vec<_> = entries.flatten().filter(|entry| entry.file_name() != keep).collect();
    if others.len() > LIMIT {
        for entry in others {
            let _ = remove_file(entry.path());
        }
    }
}
