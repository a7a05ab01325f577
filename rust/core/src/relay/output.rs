//! Output on its way to a descriptor of the user, which may take it slowly, or never.

use std::os::fd::BorrowedFd;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::error::{At, Result};

/// What a pipe or terminal that poll calls writable takes without making us wait (pipe(7): PIPE_BUF).
const STEP_BYTES: usize = 4096;

/// One chunk. Nothing more is read for the user until it is written: signals and the end are heard meanwhile.
pub(super) struct Pending<'a> {
    fd: BorrowedFd<'a>,
    data: Vec<u8>,
    written: usize,
}

impl<'a> Pending<'a> {
    /// None if there is nothing to write, or nowhere.
    pub(super) fn new(fd: Option<BorrowedFd<'a>>, data: Vec<u8>) -> Option<Self> {
        fd.filter(|_| !data.is_empty()).map(|fd| Self { fd, data, written: 0 })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'a> {
        self.fd
    }

    /// Writes what poll said there is room for; true when all is written.
    pub(super) fn advance(&mut self) -> Result<bool> {
        let mut rest = &self.data[self.written..];
        let kind = rustix::fs::fstat(self.fd).map(|stat| FileType::from_raw_mode(stat.st_mode));
        if !kind.is_ok_and(FileType::is_file) {
            rest = &rest[..rest.len().min(STEP_BYTES)];
        }
        match rustix::io::write(self.fd, rest) {
            Ok(count) => self.written += count,
            // The user's descriptor may be non-blocking, and shared with others.
            Err(Errno::AGAIN | Errno::INTR) => {}
            // A reader that is gone (`| head`) ends nothing but this stream's use.
            Err(Errno::PIPE) => self.written = self.data.len(),
            Err(errno) => return Err(errno).at("write", "output"),
        }
        Ok(self.written == self.data.len())
    }
}
