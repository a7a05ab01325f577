//! Files of lines that many write to and nobody keeps open: receipts and events. Each has a bound.

use std::ffi::OsString;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};

use crate::error::{At, Result};
use crate::paths::write_all;

/// Appends whole lines. A file that would grow beyond `max_size_bytes` becomes `<path>.1`, in the place of the one before, so
/// that both have a bound. What a crash has left without an end gets one, so that it spoils no line but itself.
///
/// # Errors
/// `kernel`.
pub fn append(path: &Path, max_size_bytes: u64, lines: &[u8]) -> Result<()> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    loop {
        let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o600)).at("open", path)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive).at("lock", path)?;
        let opened = rustix::fs::fstat(&file).at("stat", path)?;
        // Another writer may have put it away while we waited.
        let named = rustix::fs::stat(path);
        if !named.is_ok_and(|named| (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino))
        {
            continue;
        }
        let size = u64::try_from(opened.st_size).unwrap_or(0);
        if size > 0 && size + lines.len() as u64 > max_size_bytes {
            let mut old = OsString::from(path);
            old.push(".1");
            rustix::fs::rename(path, &old).at("rotate", path)?;
            continue;
        }
        let mut last = [b'\n'];
        if size > 0 {
            rustix::io::pread(&file, &mut last, size - 1).at("read", path)?;
        }
        let end: &[u8] = if last == [b'\n'] { b"" } else { b"\n" };
        let written =
            write_all(&file, end).and_then(|()| write_all(&file, lines)).at("write", path);
        if written.is_err() {
            // Half a line would spoil the next one; a disk too full for the rest lets itself be cut.
            let _ = rustix::fs::ftruncate(&file, size);
        }
        return written;
    }
}

#[cfg(test)]
mod tests {
    use super::append;

    #[test]
    fn two_files_have_a_bound() {
        let dir = std::env::temp_dir().join(format!("pyrt-journal-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let path = dir.join("lines");
        for number in 0..10 {
            append(&path, 16, format!("line {number}\n").as_bytes()).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
        assert_eq!(
            (read("lines").as_str(), read("lines.1").as_str()),
            ("line 8\nline 9\n", "line 6\nline 7\n")
        );
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_torn_line_spoils_no_other() {
        let path = std::env::temp_dir().join(format!("pyrt-torn-{}", std::process::id()));
        std::fs::write(&path, "whole\nto").unwrap();
        append(&path, 100, b"next\n").unwrap();
        append(&path, 100, b"last\n").unwrap();
        let read = std::fs::read_to_string(&path).unwrap();
        assert_eq!(read, "whole\nto\nnext\nlast\n");
        std::fs::remove_file(&path).unwrap();
    }
}
