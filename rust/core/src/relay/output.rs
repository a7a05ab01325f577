//! Bytes on their way to a descriptor that may take them slowly, or never.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use crate::error::{At, Result};
use crate::paths::open_host;

/// What a pipe that poll calls writable takes without making us wait (pipe(7): PIPE_BUF).
const STEP_BYTES: usize = 4096;

/// The user's terminal opened anew, so that writing to it need not wait; none for what is no terminal.
///
/// poll calls a terminal writable that has room for a byte, and a write waits for room for all. The flag that changes
/// that is of the open file, which the user's shell shares.
#[must_use]
pub fn open_anew(fd: Option<BorrowedFd<'_>>) -> Option<OwnedFd> {
    let fd = fd.filter(|fd| rustix::termios::isatty(*fd))?;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    // Another user's terminal (`su`) may be closed to us, and is then written to as it is.
    open_host(Path::new(&path), OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY).ok()
}

/// One chunk. Nothing more is read until it is written: signals and the end are heard meanwhile.
#[derive(Debug)]
pub struct Pending {
    data: Vec<u8>,
    written: usize,
}

impl Pending {
    /// Something to write.
    #[must_use]
    pub fn new(data: Vec<u8>) -> Self {
        Self { data, written: 0 }
    }

    /// Writes to `fd` what poll said there is room for; true when all is written.
    ///
    /// # Errors
    /// write(2)'s; EPIPE is none.
    pub fn advance(&mut self, fd: BorrowedFd<'_>) -> Result<bool> {
        let mut rest = &self.data[self.written..];
        let kind = rustix::fs::fstat(fd).map(|stat| FileType::from_raw_mode(stat.st_mode));
        if !kind.is_ok_and(FileType::is_file) {
            rest = &rest[..rest.len().min(STEP_BYTES)];
        }
        match rustix::io::write(fd, rest) {
            Ok(count) => self.written += count,
            // The descriptor may be non-blocking, and shared with others.
            Err(Errno::AGAIN | Errno::INTR) => {}
            // A reader that is gone (`| head`) ends nothing but this stream's use.
            Err(Errno::PIPE) => self.written = self.data.len(),
            Err(errno) => return Err(errno).at("write", "output"),
        }
        Ok(self.written == self.data.len())
    }
}
