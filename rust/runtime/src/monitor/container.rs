//! One container's life, and the loop that watches it; who is connected is served in [`super::service`], and the end is
//! told in [`super::end`].

use std::os::fd::{AsFd, OwnedFd};

use pyrt_core::bundle::MonitorConfig;
use pyrt_core::create::Created;
use pyrt_core::paths::{Reserved, write_whole};
use pyrt_core::state::{State, now};
use pyrt_core::sys::usage::{self, Ended};
use pyrt_core::wire::{CHUNK_BYTES, Frame};
use pyrt_core::{At, Code, Error, Result, sys};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::AtFlags;
use rustix::io::Errno;
use rustix::process::Signal;

use super::again::timespec;
use super::alert::Alert;
use super::bridged::Bridged;
use super::clients::{Client, to_json};
use super::course::{Course, Then};
use super::events::Events;
use super::history::History;
use super::log::Log;
use super::pod::Pod;
use super::probes::Probes;
use super::receipt::Meter;
use super::stdio::Stdio;

/// Everything the loop watches.
pub(super) struct Container {
    pub(super) id: String,
    pub(super) bundle: OwnedFd,
    /// Its place in bridge networks.
    pub(super) bridged: Option<Bridged>,
    pub(super) run_dir: OwnedFd,
    pub(super) config: MonitorConfig,
    pub(super) state: State,
    pub(super) created: Created,
    /// The cgroup of init and all below it.
    pub(super) cgroup: Option<OwnedFd>,
    pub(super) stdio: Stdio,
    pub(super) log: Option<Log>,
    pub(super) listener: OwnedFd,
    pub(super) clients: Vec<Client>,
    /// The last connection could not be accepted, for want of descriptors.
    pub(super) is_deaf: bool,
    /// Nobody wants it: the lead went before start.
    pub(super) abandoned: bool,
    pub(super) failure: Option<Error>,
    /// exit.json to be; what is removed when it ends needs none.
    pub(super) record: Option<Reserved>,
    pub(super) joining: Joining,
    pub(super) meter: Meter,
    pub(super) events: Events,
    pub(super) alerts: Vec<Alert>,
    /// Of one that runs; none if it is not to be kept, or could not be written.
    pub(super) history: Option<History>,
    pub(super) has_network: bool,
    pub(super) pod: Pod,
    pub(super) course: Course,
    pub(super) probes: Probes,
}

/// What exec must know of the container, kept when the document is gone.
#[derive(serde::Serialize)]
pub(super) struct Joining {
    /// The namespaces that init does not share with the user.
    pub(super) namespaces: u32,
    pub(super) may_set_groups: bool,
    /// The compiled filter, which exec loads without reading the document again.
    #[serde(skip)]
    pub(super) filter: Option<Vec<u8>>,
}

/// More connections than this wait until one ends.
const CLIENTS: usize = 128;

/// What can still be in two pipes of the largest size; whoever writes on after init's end is not waited for.
const LAST_READS: usize = 128;

/// What a poll entry stands for.
enum Source {
    Init,
    Listener,
    Output(Frame),
    Input,
    Client(usize),
    Joined,
    /// The supervisor of its networks.
    Networks,
    Killed,
    Alert(usize),
    /// The helper of a probe.
    Helper(usize),
}

impl Container {
    /// The one loop: until init has ended.
    pub(super) fn watch(&mut self) -> Option<Ended> {
        let mut buffer = vec![0_u8; CHUNK_BYTES];
        loop {
            let ready = self.wait_for_events();
            self.is_deaf = false;
            self.remember(&mut buffer);
            self.keep_time();
            self.probe();
            self.bridged.iter_mut().for_each(Bridged::look);
            for (source, flags) in ready {
                match source {
                    Source::Init => {
                        self.drain(&mut buffer);
                        self.meter.look_back();
                        let ended = usage::wait(self.created.pidfd.as_fd()).at("wait", "init");
                        // Then exit.json says what failed.
                        return ended.map_err(|error| self.failure = Some(error)).ok();
                    }
                    Source::Listener => self.accept(),
                    Source::Output(frame) => {
                        self.copy_output(frame, &mut buffer);
                    }
                    Source::Input => self.stdio.flush(),
                    Source::Client(index) => self.serve(index, flags),
                    Source::Joined => drop(self.meter.collect()),
                    Source::Networks => self.bridged.iter_mut().for_each(Bridged::lose),
                    Source::Alert(index) => self.heed(index, flags),
                    Source::Helper(index) => self.hear_verdict(index),
                    Source::Killed => self.events.tell_kills(self.config.events.as_ref()),
                }
            }
            self.drop_clients();
            if !self.stdio.is_full() {
                self.clients.iter_mut().for_each(Client::acknowledge);
            }
        }
    }

    /// Tells everybody who reads events.
    pub(super) fn tell(&mut self, status: &str, more: &str) {
        self.events.tell(self.config.events.as_ref(), status, more);
    }

    fn wait_for_events(&self) -> Vec<(Source, PollFlags)> {
        let readable = PollFlags::IN;
        let (mut sources, mut fds) = (Vec::new(), Vec::new());
        if !self.is_deaf && self.clients.len() < CLIENTS {
            sources.push(Source::Listener);
            fds.push(PollFd::new(&self.listener, readable));
        }
        if !self.clients.iter().any(Client::is_behind) {
            for (fd, frame) in self.stdio.outputs() {
                sources.push(Source::Output(frame));
                fds.push(PollFd::from_borrowed_fd(fd, readable));
            }
        }
        if let Some(fd) = self.stdio.pending_input() {
            sources.push(Source::Input);
            fds.push(PollFd::from_borrowed_fd(fd, PollFlags::OUT));
        }
        for (index, client) in self.clients.iter().enumerate() {
            let mut flags = if client.may_speak() { readable } else { PollFlags::empty() };
            flags.set(PollFlags::OUT, client.has_output());
            if flags.is_empty() {
                continue; // poll tells a hang-up unasked, and would tell it for ever
            }
            sources.push(Source::Client(index));
            fds.push(PollFd::from_borrowed_fd(client.as_fd(), flags));
        }
        if let Some(fd) = self.meter.joined() {
            sources.push(Source::Joined);
            fds.push(PollFd::from_borrowed_fd(fd, readable));
        }
        if let Some(fd) = self.bridged.as_ref().and_then(Bridged::descriptor) {
            sources.push(Source::Networks);
            fds.push(PollFd::from_borrowed_fd(fd, readable));
        }
        if let Some(fd) = self.events.memory() {
            sources.push(Source::Killed);
            fds.push(PollFd::from_borrowed_fd(fd, PollFlags::PRI));
        }
        for (index, alert) in self.alerts.iter().enumerate() {
            for (fd, flags) in alert.sources() {
                sources.push(Source::Alert(index));
                fds.push(PollFd::from_borrowed_fd(fd, flags));
            }
        }
        for (index, fd) in self.probes.sources() {
            sources.push(Source::Helper(index));
            fds.push(PollFd::from_borrowed_fd(fd, readable));
        }
        // Last, so that what was said before the end is heard before it.
        sources.push(Source::Init);
        fds.push(PollFd::new(&self.created.pidfd, readable));
        // EINTR and ENOMEM alike: look again.
        let moment = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        let due = [
            self.is_deaf.then_some(moment),
            self.history.as_ref().map(History::timeout),
            self.bridged.as_ref().and_then(Bridged::timeout),
            self.course
                .due()
                .into_iter()
                .chain(self.probes.due())
                .min()
                .map(|due| timespec(due.saturating_duration_since(std::time::Instant::now()))),
        ];
        let soonest = due.iter().flatten().min_by_key(|due| (due.tv_sec, due.tv_nsec));
        if poll(&mut fds, soonest).is_err() {
            return Vec::new();
        }
        let events = fds.iter().map(PollFd::revents);
        sources.into_iter().zip(events).filter(|(_, flags)| !flags.is_empty()).collect()
    }

    /// An alert was reached, or whoever heard of it has ended.
    fn heed(&mut self, index: usize, flags: PollFlags) {
        let Some(name) = self.alerts[index].look(flags) else { return };
        self.tell("alert", &format!("\"alert\":\"{name}\""));
        if let Err(error) = self.alerts[index].run() {
            self.events.error.get_or_insert(error);
        }
    }

    /// Writes what was used to the history, if it is time.
    fn remember(&mut self, buffer: &mut [u8]) {
        let Some(history) = self.history.as_mut().filter(|history| history.is_due()) else {
            return;
        };
        let counted = self.meter.counted_usec();
        if let Err(error) = history.record(self.bundle.as_fd(), counted, buffer) {
            self.events.error.get_or_insert(error);
            self.history = None;
        }
    }

    /// Reads one chunk of output to the log and to everybody attached; whether there may be more.
    fn copy_output(&mut self, frame: Frame, buffer: &mut [u8]) -> bool {
        let Some(count @ 1..) = self.stdio.read(frame, buffer) else { return false };
        let data = &buffer[..count];
        if let Some(log) = &mut self.log {
            log.write(if frame == Frame::Stderr { "stderr" } else { "stdout" }, data);
        }
        for client in self.clients.iter_mut().filter(|client| client.attached) {
            client.push(frame, data, Vec::new());
        }
        true
    }

    /// After init's end: what is still in the pipes.
    fn drain(&mut self, buffer: &mut [u8]) {
        for frame in [Frame::Stdout, Frame::Stderr] {
            let _ = (0..LAST_READS).take_while(|_| self.copy_output(frame, buffer)).count();
        }
    }

    /// A signal that somebody sends. The container is not started again after one that ends it.
    pub(super) fn kill(&mut self, number: i32) -> Result<()> {
        if [Signal::KILL.as_raw(), self.config.stop_signal].contains(&number) {
            self.course.then = Then::End;
            self.course.by_hand = true;
        }
        if self.state.status == "restarting" { Ok(()) } else { self.signal(number) }
    }

    pub(super) fn signal(&self, number: i32) -> Result<()> {
        let Some(signal) = Signal::from_named_raw(number).or_else(|| realtime(number)) else {
            return Err(Error::new(Code::InvalidSpec, "kill", number.to_string(), "is no signal"));
        };
        rustix::process::pidfd_send_signal(&self.created.pidfd, signal).at("kill", &*self.id)
    }

    /// `start.json` first: from the moment init may run, its end is an exit and never *created* again.
    pub(super) fn start(&mut self) -> Result<()> {
        if self.state.status != "created" {
            return Err(Error::new(Code::Conflict, "start", &*self.id, "is running already"));
        }
        let started_at = now();
        let text = format!("{{\"started_at\":\"{started_at}\"}}");
        write_whole(self.bundle.as_fd(), "start.json", text.as_bytes(), 0o600)?;
        for name in ["exit.json", "health.json"] {
            match rustix::fs::unlinkat(&self.bundle, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno).at("unlink", name),
            }
        }
        self.meter.begin();
        self.course.begin(self.config.timeout_ms);
        self.created.gate.start()?;
        // Init loads its filter and executes; meanwhile we write what will be true if it can.
        self.state.status = "running".to_owned();
        self.state.started_at = started_at;
        let written = write_whole(self.run_dir.as_fd(), "state.json", &to_json(&self.state), 0o600);
        if let Err(error) = self.created.gate.confirm() {
            self.state.status = "created".to_owned();
            self.failure = Some(error.clone());
            return Err(error);
        }
        if self.config.history {
            let cgroup = self.cgroup.as_ref().map(AsFd::as_fd);
            self.history = Some(History::begin(cgroup, self.state.pid, self.has_network));
        }
        self.probes.begin();
        if self.probes.has_readiness() {
            self.tell_ready(false);
        }
        self.tell("init", "");
        self.tell("start", "");
        written
    }
}

/// Real-time signals have no name in the table of named ones.
fn realtime(number: i32) -> Option<Signal> {
    if !(34..=64).contains(&number) {
        return None;
    }
    sys::signal::from_number(number)
}
