//! Probes and hooks: the monitor knows when each is due, and a helper (`pyrt-network probe`), which ends soon, does it and
//! judges. Its exit code is the verdict.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use pyrt_core::paths::{c_string, open_host};
use pyrt_core::sys::spawn::{Command, spawn};
use pyrt_core::sys::usage;
use pyrt_core::wire::{self, Frame};
use pyrt_core::{At, Result};
use rustix::fs::OFlags;
use rustix::process::{Signal, WaitId, WaitIdOptions, WaitOptions};

use super::container::Container;
use super::course::Then;

/// What there is, in the order of the numbers in monitor.json.
const NAMES: [&str; 6] =
    ["healthcheck", "startup", "readiness", "liveness", "post_start", "pre_stop"];
const STARTUP: u64 = 1;
const READINESS: u64 = 2;
const POST_START: u64 = 4;
const PRE_STOP: u64 = 5;

/// What an entry of monitor.json has: which, its first delay, its period (0: only when asked), how long it may take, all in
/// milliseconds, and what follows a failure.
const NUMBERS: usize = 5;

/// A helper ends what takes too long by itself, and has this much more time for that.
const GRACE: Duration = Duration::from_secs(2);

/// One probe or hook.
struct Probe {
    kind: u64,
    delay: Duration,
    period: Duration,
    timeout: Duration,
    on_failure: u64,
    /// When it is due; never, or not before somebody asks.
    next: Option<Instant>,
    /// The helper, and when it has had its time.
    running: Option<(OwnedFd, Instant)>,
}

/// Those of a container.
#[derive(Default)]
pub(super) struct Probes {
    all: Vec<Probe>,
    /// The startup probe has passed, or there is none.
    has_started: bool,
}

impl Probes {
    pub(super) fn of(numbers: &[u64]) -> Self {
        let ms = Duration::from_millis;
        let all = numbers.as_chunks::<NUMBERS>().0.iter();
        let all = all.map(|&[kind, delay, period, timeout, on_failure]| Probe {
            kind,
            delay: ms(delay),
            period: ms(period),
            timeout: ms(timeout),
            on_failure,
            next: None,
            running: None,
        });
        Self { all: all.collect(), has_started: false }
    }

    /// The program runs from now on.
    pub(super) fn begin(&mut self) {
        let now = Instant::now();
        self.has_started = self.all.iter().all(|probe| probe.kind != STARTUP);
        for probe in self.all.iter_mut().filter(|probe| probe.kind != PRE_STOP) {
            let is_timed = !probe.period.is_zero() || probe.kind == POST_START;
            probe.next = is_timed.then(|| now + probe.delay);
        }
    }

    /// Whether the container is not ready as long as a probe has not passed.
    pub(super) fn has_readiness(&self) -> bool {
        self.all.iter().any(|probe| probe.kind == READINESS)
    }

    /// The next thing to be done.
    pub(super) fn due(&self) -> Option<Instant> {
        let waits = |probe: &Probe| match &probe.running {
            Some((_, deadline)) => Some(*deadline),
            None if self.has_started || probe.kind == STARTUP || probe.kind >= POST_START => {
                probe.next
            }
            None => None,
        };
        self.all.iter().filter_map(waits).min()
    }

    /// Somebody wants to know now.
    pub(super) fn ask(&mut self) {
        for probe in self.all.iter_mut().filter(|probe| probe.kind <= STARTUP) {
            probe.next = Some(Instant::now());
        }
    }

    /// What becomes readable when a helper has ended, by its number.
    pub(super) fn sources(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        self.all.iter().enumerate().filter_map(|(index, probe)| {
            let (helper, _) = probe.running.as_ref()?;
            Some((index, helper.as_fd()))
        })
    }
}

impl Container {
    /// Starts the helpers that are due, and ends those that have had their time, which is no verdict.
    pub(super) fn probe(&mut self) {
        let now = Instant::now();
        if self.probes.due().is_none_or(|due| due > now) || self.state.status != "running" {
            return;
        }
        for index in 0..self.probes.all.len() {
            let probe = &mut self.probes.all[index];
            if let Some((helper, deadline)) = &probe.running {
                if *deadline <= now {
                    // ESRCH: it has ended this moment, and is heard of next.
                    let _ = rustix::process::pidfd_send_signal(helper, Signal::KILL);
                    probe.running.as_mut().into_iter().for_each(|running| running.1 = now + GRACE);
                }
                continue;
            }
            let is_held = !self.probes.has_started && probe.kind != STARTUP;
            let is_hook = probe.kind >= POST_START;
            let is_ending = self.course.kill_at.is_some();
            if probe.next.is_none_or(|next| next > now) || (is_held || is_ending) && !is_hook {
                continue;
            }
            let is_repeated = !is_hook && !probe.period.is_zero();
            probe.next = is_repeated.then(|| now + probe.period);
            let (kind, deadline) = (probe.kind, now + probe.timeout + GRACE);
            match self.start_helper(kind) {
                Ok(helper) => self.probes.all[index].running = Some((helper, deadline)),
                Err(error) => {
                    self.events.error.get_or_insert(error);
                }
            }
        }
        self.reap_orphans();
    }

    /// A helper that was killed leaves its children to us, the first process of our namespace; unreaped they would keep the
    /// container's namespace from ending.
    fn reap_orphans(&self) {
        let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if std::process::id() != 1 {
            return;
        }
        while let Ok(Some(_)) = rustix::process::waitid(WaitId::All, peek) {
            let own = self.created.pidfd.as_fd();
            let mut known = self.probes.sources().map(|(_, fd)| fd).chain([own]);
            // One of ours has a place where it is waited for.
            if known.any(has_ended) || rustix::process::wait(WaitOptions::NOHANG).is_err() {
                return;
            }
        }
    }

    fn start_helper(&mut self, kind: u64) -> Result<OwnedFd> {
        let name = usize::try_from(kind).ok().and_then(|kind| NAMES.get(kind)).unwrap_or(&"");
        let fds = self.join_descriptors()?;
        let mut words = vec![self.config.helper.clone(), "probe".to_owned()];
        let mut say = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
        say("--bundle", &self.state.bundle);
        say("--name", name);
        say("--namespaces", &self.joining.namespaces.to_string());
        say("--elapsed-ms", &self.course.elapsed().as_millis().to_string());
        for (name, fd) in ["--init", "--filter", "--usage", "--cgroup"].iter().zip(&fds) {
            say(name, &fd.as_raw_fd().to_string());
        }
        if !self.joining.may_set_groups {
            say("--no-groups", "1");
        }
        let args = words
            .iter()
            .map(|word| c_string(word.as_ref(), "helper"))
            .collect::<Result<Vec<CString>>>()?;
        let null = open_host(Path::new("/dev/null"), OFlags::RDWR)?;
        let keep: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
        let stdio = [null.as_fd(); 3];
        let command = Command { program: &args[0], args: &args, env: &[], stdio, keep: &keep };
        spawn(&command).at("exec", &self.config.helper)
    }

    /// A helper has ended.
    pub(super) fn hear_verdict(&mut self, index: usize) {
        let Some((helper, _)) = self.probes.all[index].running.take() else { return };
        let code = usage::wait(helper.as_fd()).ok().and_then(|ended| ended.code);
        let (kind, on_failure) = (self.probes.all[index].kind, self.probes.all[index].on_failure);
        match (kind, code) {
            (PRE_STOP, _) => drop(self.signal(self.config.stop_signal)),
            (STARTUP, Some(0)) => {
                self.probes.has_started = true;
                self.probes.all[index].next = None;
            }
            (READINESS, Some(code @ (0 | 1))) => self.tell_ready(code == 0),
            _ => {}
        }
        if code == Some(1) && kind != PRE_STOP {
            self.follow_failure(on_failure);
        }
    }

    fn follow_failure(&mut self, on_failure: u64) {
        let then = match on_failure {
            0 => return,
            1 => {
                // ESRCH: it has ended already.
                let _ = rustix::process::pidfd_send_signal(&self.created.pidfd, Signal::KILL);
                return;
            }
            2 => Then::Restart,
            3 => Then::End,
            _ => Then::Policy,
        };
        let grace = Duration::try_from_secs_f64(self.config.stop_timeout_s).unwrap_or_default();
        // What failed has ended, or will be killed.
        let _ = self.begin_end(then, grace);
    }

    /// Runs the hook before the stop; false if there is none.
    pub(super) fn begin_pre_stop(&mut self) -> bool {
        let hook = self.probes.all.iter_mut().find(|probe| probe.kind == PRE_STOP);
        let has_hook = hook.is_some();
        hook.into_iter().for_each(|hook| hook.next = Some(Instant::now()));
        has_hook
    }

    /// Tells the monitor that holds the pod's namespaces.
    pub(super) fn tell_ready(&mut self, is_ready: bool) {
        let Some(member) = &self.pod.member else { return };
        if self.pod.said_ready == Some(is_ready) {
            return;
        }
        self.pod.said_ready = Some(is_ready);
        let text = format!("{{\"op\":\"ready\",\"value\":{is_ready}}}");
        // One that is gone is told nothing. Its answer is as short as it can be.
        if wire::send(member, Frame::Request, text.as_bytes(), &[]).is_ok() {
            let _ = wire::receive(member);
        }
    }
}

fn has_ended(pidfd: BorrowedFd<'_>) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut look = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
    poll(&mut look, Some(&now)).is_ok_and(|count| count > 0)
}
