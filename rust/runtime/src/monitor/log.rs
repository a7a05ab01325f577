//! The k8s-file log: `TIME STREAM F|P TEXT`, a partial line marked `P`, rotated by size.

use std::fmt::Write as _;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use pyrt_core::bundle::LogConfig;
use pyrt_core::paths::write_all;
use pyrt_core::state::now;
use pyrt_core::{At, Error, Result};
use rustix::fs::{Mode, OFlags};

/// Where output is written.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    max_size_bytes: u64,
    file: OwnedFd,
    size_bytes: u64,
    /// The first refusal; the container is not ended for it, and exit.json tells it.
    pub(crate) error: Option<Error>,
}

impl Log {
    pub(crate) fn open(config: &LogConfig) -> Result<Self> {
        let file = open(&config.path, OFlags::APPEND)?;
        let size_bytes = u64::try_from(rustix::fs::fstat(&file).at("stat", &config.path)?.st_size);
        Ok(Self {
            path: config.path.clone(),
            max_size_bytes: config.max_size_bytes,
            file,
            size_bytes: size_bytes.unwrap_or(0),
            error: None,
        })
    }

    /// Goes on in what is at the path now, a new file if nothing is; in the old one if that fails.
    pub(crate) fn reopen(&mut self) -> Result<()> {
        self.file = open(&self.path, OFlags::APPEND)?;
        self.size_bytes = 0;
        Ok(())
    }

    /// Writes what came from one stream; several lines may share the time at which they were read.
    pub(crate) fn write(&mut self, stream: &str, data: &[u8]) {
        let time = now();
        // conmon's form of UTC, which the readers of this format expect.
        let time = format!("{}+00:00", time.trim_end_matches('Z'));
        let mut text = Vec::with_capacity(data.len() + 64);
        for line in data.split_inclusive(|&byte| byte == b'\n') {
            let is_full = line.ends_with(b"\n");
            let mut head = String::new();
            // Writing to a String cannot fail.
            let _ = write!(head, "{time} {stream} {} ", if is_full { 'F' } else { 'P' });
            text.extend_from_slice(head.as_bytes());
            text.extend_from_slice(line);
            if !is_full {
                text.push(b'\n');
            }
        }
        if let Err(error) = self.append(&text) {
            self.error.get_or_insert(error);
        }
    }

    fn append(&mut self, text: &[u8]) -> Result<()> {
        let added = text.len() as u64;
        if self.max_size_bytes > 0
            && self.size_bytes > 0
            && self.size_bytes + added > self.max_size_bytes
        {
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            rustix::fs::rename(&self.path, &old).at("rotate", &self.path)?;
            self.file = open(&self.path, OFlags::EXCL)?;
            self.size_bytes = 0;
        }
        write_all(&self.file, text).at("write", &self.path)?;
        self.size_bytes += added;
        Ok(())
    }
}

fn open(path: &PathBuf, extra: OFlags) -> Result<OwnedFd> {
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path, flags | extra, Mode::from_raw_mode(0o600)).at("open", path)
}
