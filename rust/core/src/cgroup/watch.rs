//! Waiting for what happens to a cgroup: a process killed for want of memory, and the end of the last one.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::cgroup::{Cgroup, keyed};
use crate::error::{At, Result};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The kernel killed a process because memory.max, here or further down, was reached.
    Oom,
    /// No process is left.
    Empty,
    /// Nothing until then.
    Nothing,
}

/// Two files that are read again when the kernel says that they changed. Counted are not the notices, which the kernel
/// folds together, but what the files say.
#[derive(Debug)]
pub struct Watch {
    events: Option<OwnedFd>,
    memory: Option<OwnedFd>,
    kills: u64,
}

impl Watch {
    /// Begins to watch: kills before now are not told.
    ///
    /// # Errors
    /// `kernel`.
    pub fn open(cgroup: &Cgroup) -> Result<Self> {
        let open = |name: &str| {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match rustix::fs::openat(cgroup.as_fd(), name, flags, Mode::empty()) {
                Err(Errno::NOENT | Errno::NODEV) => Ok(None),
                file => file.at("open", cgroup.path().join(name)).map(Some),
            }
        };
        let mut watch =
            Self { events: open("cgroup.events")?, memory: open("memory.events")?, kills: 0 };
        watch.kills = watch.count("oom_kill")?.unwrap_or_default();
        Ok(watch)
    }

    /// Waits until something happens, or until `end`.
    ///
    /// # Errors
    /// `kernel`.
    pub fn wait(&mut self, end: Instant) -> Result<Event> {
        loop {
            // Reading also arms the next poll, so nothing is lost between the two.
            let kills = self.count("oom_kill")?.unwrap_or_default();
            if kills > self.kills {
                self.kills = kills;
                return Ok(Event::Oom);
            }
            if read(self.events.as_ref())?.and_then(|text| keyed(&text, "populated")) != Some(1) {
                return Ok(Event::Empty);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Event::Nothing);
            }
            let mut waiting: Vec<PollFd<'_>> = [&self.events, &self.memory]
                .into_iter()
                .flatten()
                .map(|file| PollFd::new(file, PollFlags::PRI))
                .collect();
            let timeout = Timespec {
                tv_sec: left.as_secs().cast_signed(),
                tv_nsec: left.subsec_nanos().into(),
            };
            match rustix::event::poll(&mut waiting, Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).at("poll", "cgroup.events"),
            }
        }
    }

    fn count(&self, key: &str) -> Result<Option<u64>> {
        Ok(read(self.memory.as_ref())?.and_then(|text| keyed(&text, key)))
    }
}

/// A small file from its beginning; None where there is none, or its cgroup is gone.
fn read(file: Option<&OwnedFd>) -> Result<Option<String>> {
    let Some(file) = file else { return Ok(None) };
    let mut text = [0_u8; 1024];
    match rustix::io::pread(file, &mut text, 0) {
        Err(Errno::NODEV) => Ok(None),
        length => {
            let length = length.at("read", "cgroup.events")?;
            Ok(Some(String::from_utf8_lossy(&text[..length]).into_owned()))
        }
    }
}
