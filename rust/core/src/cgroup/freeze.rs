//! All processes of a cgroup at once: stopped, set going, killed.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::cgroup::{Cgroup, absent, keyed};
use crate::error::{At, Code, Error, Result};

/// How long the kernel may take to stop all processes: one in an uninterruptible sleep is stopped when it wakes.
const FREEZE_LIMIT: Duration = Duration::from_secs(10);

/// How often all processes are killed one by one where the kernel may not be asked to do it at once.
const KILL_ROUNDS: u32 = 100;

impl Cgroup {
    /// Stops all processes in it and below it; returns when all are stopped.
    ///
    /// # Errors
    /// `kernel`; then they run again.
    pub fn freeze(&self) -> Result<()> {
        self.set_frozen("1")?;
        let result = match self.wait_for("frozen", 1, FREEZE_LIMIT) {
            Ok(true) => return Ok(()),
            Ok(false) => {
                let message = "not all processes stopped within 10 s";
                Err(Error::new(Code::Conflict, "freeze", self.path().to_string_lossy(), message))
            }
            Err(error) => Err(error),
        };
        // The first error is the one to tell; a thaw that fails would have to be tried again anyway.
        let _ = self.set_frozen("0");
        result
    }

    /// Sets all of them going.
    ///
    /// # Errors
    /// `kernel`; `conflict` if a cgroup above is frozen, so that nothing goes.
    pub fn thaw(&self) -> Result<()> {
        self.set_frozen("0")?;
        if self.wait_for("frozen", 0, FREEZE_LIMIT)? {
            return Ok(());
        }
        let message = "still frozen: so is a cgroup above it";
        Err(Error::new(Code::Conflict, "thaw", self.path().to_string_lossy(), message))
    }

    /// Whether [`Cgroup::freeze`] was done and not undone.
    ///
    /// # Errors
    /// `kernel`.
    pub fn is_frozen(&self) -> Result<bool> {
        Ok(self.number("cgroup.freeze")? == Some(1))
    }

    fn set_frozen(&self, value: &str) -> Result<()> {
        match self.write("cgroup.freeze", value) {
            Err(Errno::NOENT) => Err(absent("freeze", self, "cgroup.freeze")),
            result => result.at("freeze", self.path()),
        }
    }

    /// Kills all processes in it and below it. They are dead or dying afterwards; [`Cgroup::wait_empty`] waits.
    ///
    /// # Errors
    /// `kernel`, `conflict`.
    pub fn kill(&self) -> Result<()> {
        match self.write("cgroup.kill", "1") {
            // Made by another user, as a scope of systemd is, which delegates cgroup.procs but not this one.
            Err(Errno::ACCESS | Errno::PERM | Errno::NOENT | Errno::OPNOTSUPP) => self.kill_each(),
            result => result.at("kill", self.path()),
        }
    }

    /// Kills them one by one, until none is left.
    ///
    /// # Errors
    /// As [`Cgroup::kill`]; `conflict` if processes multiply faster than they are killed.
    pub fn kill_each(&self) -> Result<()> {
        for _ in 0..KILL_ROUNDS {
            self.signal(Signal::KILL)?;
            if self.wait_empty(Duration::from_millis(20))? {
                return Ok(());
            }
        }
        let message = "its processes multiply faster than they can be killed";
        Err(Error::new(Code::Conflict, "kill", self.path().to_string_lossy(), message))
    }

    /// Sends a signal to all processes that are in it and below it now.
    ///
    /// # Errors
    /// `kernel`; ESRCH is none: it ended by itself.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let mut held = Vec::new();
        for pid in self.processes()? {
            if let Some(fd) = open_process(pid)? {
                held.push((pid, fd));
            }
        }
        // A pid may have ended and been given to another process before we held it. One that is in the cgroup
        // afterwards, too, is in it now that it is held.
        let still = self.processes()?;
        for (_, fd) in held.iter().filter(|(pid, _)| still.contains(pid)) {
            match rustix::process::pidfd_send_signal(fd, signal) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => return Err(errno).at("kill", self.path()),
            }
        }
        Ok(())
    }

    /// Waits until no process is in it or below it; whether that came true in time.
    ///
    /// # Errors
    /// `kernel`.
    pub fn wait_empty(&self, limit: Duration) -> Result<bool> {
        self.wait_for("populated", 0, limit)
    }

    /// Waits until `key` in cgroup.events is `value`, which the kernel tells by POLLPRI; a removed cgroup is empty and
    /// not frozen.
    fn wait_for(&self, key: &str, value: u64, limit: Duration) -> Result<bool> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = self.path().join("cgroup.events");
        let events = match rustix::fs::openat(self.as_fd(), "cgroup.events", flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NODEV) => return Ok(value == 0),
            events => events.at("open", &path)?,
        };
        let end = Instant::now() + limit;
        loop {
            let mut text = [0_u8; 256];
            // Reading also arms the next poll.
            let length = match rustix::io::pread(&events, &mut text, 0) {
                Err(Errno::NODEV) => return Ok(value == 0),
                length => length.at("read", &path)?,
            };
            if keyed(&String::from_utf8_lossy(&text[..length]), key) == Some(value) {
                return Ok(true);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let timeout = rustix::event::Timespec {
                tv_sec: left.as_secs().cast_signed(),
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut waiting = [PollFd::new(&events, PollFlags::PRI)];
            match rustix::event::poll(&mut waiting, Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).at("poll", &path),
            }
        }
    }
}

/// Holds a process; None if it is gone.
fn open_process(pid: u32) -> Result<Option<OwnedFd>> {
    let Some(pid) = Pid::from_raw(pid.cast_signed()) else { return Ok(None) };
    match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => Ok(Some(fd)),
        // EINVAL: the leader of a group whose threads live on is a zombie and listed as 0; not reached by us.
        Err(Errno::SRCH | Errno::INVAL) => Ok(None),
        Err(errno) => Err(errno).at("pidfd_open", pid.as_raw_nonzero().to_string()),
    }
}
