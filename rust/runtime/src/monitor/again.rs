//! Restarting: when the container has ended, the monitor executes itself. It stays the same process, with its lock, its socket
//! and its place in the pod, and forgets the rest; no document is kept in memory for it.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pyrt_core::cgroup::Cgroup;
use pyrt_core::paths::{c_string, write_whole};
use pyrt_core::state::{Exit, now};
use pyrt_core::sys;
use pyrt_core::wire::Frame;
use pyrt_core::{At, Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::FdFlags;
use rustix::process::{Signal, WaitOptions};

use super::Job;
use super::clients::to_json;
use super::container::Container;
use super::course::Then;
use crate::arguments::Arguments;

/// What is left of the life before.
#[derive(Debug, Default)]
pub(super) struct Life {
    pub(super) listener: Option<OwnedFd>,
    /// The connection to the infra monitor of its pod.
    pub(super) member: Option<OwnedFd>,
    /// How often it was restarted, this time included.
    pub(super) restarts: u64,
    /// The pause before this time.
    pub(super) pause_ms: u64,
}

/// That, and the lock, which closing any descriptor of its file would give up.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) alive: OwnedFd,
    pub(super) life: Life,
}

impl Again {
    /// `--restarts N --pause MS --alive FD --listener FD [--member FD] [--cgroup DIR] [--single 1]`
    pub(super) fn parse(args: &Arguments) -> Result<Option<Self>> {
        let Some(restarts) = args.number("restarts")? else { return Ok(None) };
        let life = Life {
            listener: Some(args.needed_descriptor("listener")?),
            member: args.descriptor("member")?,
            restarts,
            pause_ms: args.number("pause")?.unwrap_or(0),
        };
        Ok(Some(Self { alive: args.needed_descriptor("alive")?, life }))
    }
}

/// The cgroup, made anew: what was counted in it was of the life before.
pub(super) fn renew(path: &Path, id: &str) -> Result<PathBuf> {
    // What refuses to go is used again.
    let _ = Cgroup::open(path)?.remove();
    let parent = path.parent().unwrap_or(path);
    Ok(Cgroup::make(parent, id)?.path().to_owned())
}

/// What the monitor must know to begin again.
pub(super) struct Rebirth {
    bundle: PathBuf,
    run_dir: PathBuf,
    cgroup: Option<PathBuf>,
    single_id: bool,
    pub(super) id: String,
}

impl Rebirth {
    pub(super) fn of(job: &Job) -> Self {
        Self {
            bundle: job.bundle.clone(),
            run_dir: job.run_dir.clone(),
            cgroup: job.cgroup.clone(),
            single_id: job.single_id,
            id: job.config.id.clone(),
        }
    }

    /// Ends all that is left below us and executes ourselves; returns only the refusal.
    pub(super) fn execute(&self, container: &Container, alive: BorrowedFd<'_>) -> Error {
        sys::signal::kill_all_others();
        if std::process::id() == 1 {
            while rustix::process::wait(WaitOptions::empty()).is_ok() {}
        }
        let refuse = || -> Result<Error> {
            let mut words = vec!["pyrt-runtime".to_owned(), "monitor".to_owned()];
            let mut say = |name: &str, value: String| words.extend([format!("--{name}"), value]);
            let member = container.pod.member.as_ref().map(AsFd::as_fd);
            let kept = [
                ("alive", Some(alive)),
                ("listener", Some(container.listener.as_fd())),
                ("member", member),
            ];
            for (name, fd) in kept {
                let Some(fd) = fd else { continue };
                rustix::io::fcntl_setfd(fd, FdFlags::empty()).at("fcntl", name)?;
                say(name, fd.as_raw_fd().to_string());
            }
            say("bundle", self.bundle.to_string_lossy().into_owned());
            say("run", self.run_dir.to_string_lossy().into_owned());
            if let Some(cgroup) = &self.cgroup {
                say("cgroup", cgroup.to_string_lossy().into_owned());
            }
            if self.single_id {
                say("single", "1".to_owned());
            }
            say("restarts", (container.course.restarts + 1).to_string());
            say("pause", container.course.pause_ms.to_string());
            let args = words
                .iter()
                .map(|word| c_string(word.as_ref(), "restart"))
                .collect::<Result<Vec<CString>>>()?;
            let error = sys::exec::execve(c"/proc/self/exe", &args, &[]);
            Ok(Error::kernel("restart", "monitor", error.raw_os_error().unwrap_or(0)))
        };
        refuse().unwrap_or_else(|error| error)
    }
}

/// A restart that could not be: exit.json says why.
pub(super) fn give_up(bundle: &OwnedFd, id: &str, error: &Error) {
    let exit = Exit {
        id: id.to_owned(),
        exit_code: 125,
        signal: None,
        reason: "restart failed".to_owned(),
        error: Some(error.clone()),
        started_at: String::new(),
        finished_at: now(),
        restarts: 0,
        by_hand: false,
    };
    // Without room for it the last end is told.
    let _ = write_whole(bundle.as_fd(), "exit.json", &to_json(&exit), 0o600);
}

impl Container {
    /// Starts it, with nobody to tell but exit.json if that fails.
    pub(super) fn start_again(&mut self) {
        match self.start() {
            Ok(()) => {
                self.meter.settle();
                self.tell("restart", "");
            }
            Err(error) => {
                self.failure.get_or_insert(error);
                let _ = rustix::process::pidfd_send_signal(&self.created.pidfd, Signal::KILL);
            }
        }
    }

    /// Between two lives: tells those who wait of the end, and answers, until the pause is over; false if somebody does not
    /// want it to be started again.
    pub(super) fn rest(&mut self, exit: Option<&[u8]>) -> bool {
        let until = Instant::now() + Duration::from_millis(self.course.pause_ms);
        "restarting".clone_into(&mut self.state.status);
        self.state.pid = 0;
        let state = to_json(&self.state);
        if let Err(error) = write_whole(self.run_dir.as_fd(), "state.json", &state, 0o600) {
            self.events.error.get_or_insert(error);
        }
        self.say_goodbye(exit);
        for client in &mut self.clients {
            client.waits = false;
            client.attached = false;
        }
        while self.course.then != Then::End {
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return true;
            }
            let mut fds = vec![PollFd::new(&self.listener, PollFlags::IN)];
            fds.extend(self.clients.iter().map(|client| {
                let mut flags = if client.may_speak() { PollFlags::IN } else { PollFlags::empty() };
                flags.set(PollFlags::OUT, client.has_output());
                PollFd::from_borrowed_fd(client.as_fd(), flags)
            }));
            // EINTR: the moment counts.
            let _ = poll(&mut fds, Some(&timespec(rest)));
            let ready: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
            drop(fds);
            for (index, flags) in ready.iter().skip(1).enumerate() {
                self.serve(index, *flags);
            }
            if !ready[0].is_empty() {
                self.accept();
            }
            for client in self.clients.iter_mut().filter(|client| client.waits) {
                client.push(Frame::Exited, exit.unwrap_or_default(), Vec::new());
                client.waits = false;
            }
            self.drop_clients();
        }
        false
    }
}

/// As poll takes it.
pub(super) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
