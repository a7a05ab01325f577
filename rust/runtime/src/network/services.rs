//! What the node runs for as long as it lives: the runtime's service, a kubelet. Started anew when it ends.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pyrt_core::create::host_pid;
use pyrt_core::paths::{c_string, open_host, read_all};
use pyrt_core::sys::spawn::{Command, spawn};
use pyrt_core::{At, Code, Error, Result};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, WaitStatus, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// The largest list: environments are in it.
const DOCUMENT_BYTES: usize = 8 << 20;
/// Before what has ended is started anew: the first time, and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(10)];
/// What has lived so long has not failed at once.
const SETTLED: Duration = Duration::from_secs(10);
/// A log that has become larger begins anew: it is in the memory of the machine.
const LOG_BYTES: u64 = 8 << 20;

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    name: String,
    argv: Vec<String>,
    env: Vec<String>,
    /// Where its output goes; emptied when the node starts.
    log: PathBuf,
}

/// One of them.
pub(super) struct Service {
    wish: Wish,
    process: Option<OwnedFd>,
    log: Option<OwnedFd>,
    pid: u32,
    restarts: u64,
    /// How it ended, the last time.
    exit_code: Option<i32>,
    started: Instant,
    /// When it is to be started.
    due: Option<Instant>,
    pause: Duration,
}

/// What is told of one.
#[derive(Serialize)]
pub(super) struct Told<'a> {
    name: &'a str,
    /// 0 while it does not run.
    pid: u32,
    restarts: u64,
    exit_code: Option<i32>,
    log: &'a Path,
}

impl Service {
    /// Those that are asked for (`--services FD`, a list in JSON).
    pub(super) fn read(file: &OwnedFd) -> Result<Vec<Self>> {
        let text = read_all(file, Path::new("services"), DOCUMENT_BYTES)?;
        let wishes: Vec<Wish> = serde_json::from_slice(&text).map_err(|error| {
            Error::new(Code::InvalidSpec, "argument", "--services", error.to_string())
        })?;
        let now = Instant::now();
        let service = |wish| Self {
            wish,
            process: None,
            log: None,
            pid: 0,
            restarts: 0,
            exit_code: None,
            started: now,
            due: None,
            pause: PAUSES[0],
        };
        Ok(wishes.into_iter().map(service).collect())
    }

    /// Starts it, in the node.
    pub(super) fn start(&mut self, is_first: bool) -> Result<()> {
        let strings = |list: &[String], field: &str| {
            list.iter().map(|text| c_string(text.as_ref(), field)).collect::<Result<Vec<CString>>>()
        };
        let (args, env) = (strings(&self.wish.argv, "argv")?, strings(&self.wish.env, "env")?);
        let program = args.first().ok_or_else(|| {
            Error::new(Code::InvalidSpec, "service", &*self.wish.name, "has no command")
        })?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC;
        let flags = if is_first { flags | OFlags::TRUNC } else { flags };
        let log = rustix::fs::open(&self.wish.log, flags, Mode::RUSR | Mode::WUSR)
            .at("open", &self.wish.log)?;
        let null = open_host(Path::new("/dev/null"), OFlags::RDONLY)?;
        let command = Command {
            program,
            args: &args,
            env: &env,
            stdio: [null.as_fd(), log.as_fd(), log.as_fd()],
            keep: &[],
        };
        self.due = None;
        self.started = Instant::now();
        let process = spawn(&command).at("exec", &self.wish.argv[0])?;
        let fdinfo = open_host(Path::new("/proc/self/fdinfo"), OFlags::PATH | OFlags::DIRECTORY);
        self.pid =
            fdinfo.and_then(|fdinfo| host_pid(&process, fdinfo.as_fd())).inspect_err(|_| {
                // Its end could not be told from an orphan's.
                let _ = pidfd_send_signal(&process, Signal::KILL);
            })?;
        (self.process, self.log) = (Some(process), Some(log));
        Ok(())
    }

    /// Whether this is its process.
    pub(super) fn is(&self, pid: Pid) -> bool {
        self.process.is_some() && i64::from(self.pid) == i64::from(pid.as_raw_nonzero().get())
    }

    /// Its process has ended, and been reaped.
    pub(super) fn end(&mut self, status: WaitStatus) {
        let ended = status.terminating_signal().map(|signal| 128 + signal);
        (self.process, self.pid) = (None, 0);
        self.exit_code = status.exit_status().or(ended);
    }

    /// Keeps its log from growing without end.
    pub(super) fn shorten_log(&self) {
        if let Some(log) = &self.log {
            let _ = shorten(log); // tried again
        }
    }

    /// Sees that it is started anew, at once or, if it never lives long, later and later.
    pub(super) fn settle(&mut self) {
        if self.started.elapsed() >= SETTLED {
            self.pause = PAUSES[0];
        }
        self.due = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(PAUSES[1]);
    }

    /// When it is to be started, if it is.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Starts it anew, if it is time to; whether something has changed.
    pub(super) fn revive(&mut self) -> bool {
        if self.due.is_none_or(|due| due > Instant::now()) {
            return false;
        }
        self.restarts += 1;
        if self.start(false).is_err() {
            self.settle(); // what it needs may be back later; the log and the state say that it does not run
        }
        true
    }

    /// Asks it to end; whether there is something to wait for.
    pub(super) fn stop(&mut self) -> bool {
        self.due = None;
        let Some(process) = &self.process else { return false };
        pidfd_send_signal(process, Signal::TERM).is_ok()
    }

    pub(super) fn tell(&self) -> Told<'_> {
        Told {
            name: &self.wish.name,
            pid: self.pid,
            restarts: self.restarts,
            exit_code: self.exit_code,
            log: &self.wish.log,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.process.is_some()
    }
}

/// Empties a log that has become too large. Whoever writes to it appends, and goes on at its new end.
pub(super) fn shorten(log: &OwnedFd) -> rustix::io::Result<()> {
    if rustix::fs::fstat(log)?.st_size.cast_unsigned() > LOG_BYTES {
        rustix::fs::ftruncate(log, 0)?;
    }
    Ok(())
}
