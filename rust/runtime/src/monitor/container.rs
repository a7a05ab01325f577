//! One container's life: created, running, ended, undone; and the loop that watches it.

use std::os::fd::{AsFd, OwnedFd};

use pyrt_core::bundle::MonitorConfig;
use pyrt_core::create::Created;
use pyrt_core::paths::{Reserved, memory_file, write_whole};
use pyrt_core::state::{Exit, State, now};
use pyrt_core::sys::usage::{self, Ended};
use pyrt_core::wire::{CHUNK_BYTES, Frame, Received};
use pyrt_core::{At, Code, Error, Result, sys};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::AtFlags;
use rustix::io::Errno;
use rustix::process::Signal;

use super::Attach;
use super::clients::{Client, to_json};
use super::control::Request;
use super::log::Log;
use super::receipt::{self, Meter, Receipt};
use super::stdio::Stdio;

/// Everything the loop watches.
pub(super) struct Container {
    pub(super) id: String,
    pub(super) bundle: OwnedFd,
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

/// Frames of one client in one round: the others, and the end of init, must not wait for a chatterer.
const FRAMES: usize = 16;

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
}

impl Container {
    /// The one loop: until init has ended.
    pub(super) fn watch(&mut self) -> Option<Ended> {
        let mut buffer = vec![0_u8; CHUNK_BYTES];
        loop {
            let ready = self.wait_for_events();
            self.is_deaf = false;
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
                }
            }
            self.drop_clients();
            if !self.stdio.is_full() {
                self.clients.iter_mut().for_each(Client::acknowledge);
            }
        }
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
        // Last, so that what was said before the end is heard before it.
        sources.push(Source::Init);
        fds.push(PollFd::new(&self.created.pidfd, readable));
        // EINTR and ENOMEM alike: look again.
        let moment = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        if poll(&mut fds, self.is_deaf.then_some(&moment)).is_err() {
            return Vec::new();
        }
        let events = fds.iter().map(PollFd::revents);
        sources.into_iter().zip(events).filter(|(_, flags)| !flags.is_empty()).collect()
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

    fn accept(&mut self) {
        let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
        match rustix::net::accept_with(&self.listener, flags) {
            Ok(socket) => self.clients.push(Client::new(socket, false)),
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => {}
            // EMFILE and its kin: the connection stays ready, and we would turn in circles.
            Err(_) => self.is_deaf = true,
        }
    }

    fn serve(&mut self, index: usize, flags: PollFlags) {
        if flags.contains(PollFlags::OUT) {
            self.clients[index].flush();
        }
        if !flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            return;
        }
        for _ in 0..FRAMES {
            if !self.clients[index].may_speak() {
                return;
            }
            let Some(received) = self.clients[index].receive() else { return };
            if let Err(error) = self.answer(index, &received) {
                self.clients[index].fail(&error);
            }
        }
    }

    fn answer(&mut self, index: usize, received: &Received) -> Result<()> {
        let content = received.content.as_slice();
        match (received.frame, content) {
            (Frame::Start, attach) => {
                self.start_for(index, if attach == [1] { Attach::Yes } else { Attach::No });
            }
            (Frame::Stdin, []) => self.stdio.push(b"", self.config.stdin_once),
            (Frame::Stdin, data) => {
                self.clients[index].owe(data.len());
                self.stdio.push(data, false);
            }
            (Frame::Feeds, []) => self.clients[index].feeds = true,
            (Frame::Resize, &[r0, r1, c0, c1]) => {
                self.stdio.resize(u16::from_le_bytes([r0, r1]), u16::from_le_bytes([c0, c1]))?;
            }
            (Frame::Signal, &[number]) => self.kill(i32::from(number))?,
            (Frame::Request, json) => self.answer_request(index, &Request::parse(json)?)?,
            _ => return Err(Error::new(Code::InvalidSpec, "control", "frame", "unexpected")),
        }
        Ok(())
    }

    fn answer_request(&mut self, index: usize, request: &Request) -> Result<()> {
        let mut fds = Vec::new();
        let mut reply = b"{}".to_vec();
        match *request {
            Request::State => reply = to_json(&self.state),
            Request::Kill { signal } => self.kill(signal)?,
            Request::Wait => {
                self.clients[index].waits = true;
                return Ok(());
            }
            Request::Attach => {
                self.clients[index].attached = true;
                self.clients[index].waits = true;
            }
            Request::Resize { rows, columns } => self.stdio.resize(rows, columns)?,
            Request::Start => {
                self.start()?;
                self.meter.settle();
            }
            Request::Usage => reply = self.meter.tell(),
            Request::Join => {
                fds = self.join_descriptors()?;
                reply = to_json(&self.joining);
            }
        }
        self.clients[index].push(Frame::Reply, &reply, fds);
        Ok(())
    }

    fn join_descriptors(&mut self) -> Result<Vec<OwnedFd>> {
        if self.state.status != "running" {
            return Err(Error::new(Code::Conflict, "exec", &*self.id, "container is not running"));
        }
        let mut fds = vec![self.created.pidfd.try_clone().at("dup", "pidfd")?];
        // Always there, empty without a filter: so that the place of the cgroup does not depend on it.
        let filter = self.joining.filter.as_deref().unwrap_or_default();
        fds.push(memory_file("seccomp", filter)?);
        fds.push(self.meter.usage_pipe()?);
        if let Some(cgroup) = &self.cgroup {
            fds.push(cgroup.try_clone().at("dup", "cgroup")?);
        }
        Ok(fds)
    }

    fn kill(&self, number: i32) -> Result<()> {
        let Some(signal) = Signal::from_named_raw(number).or_else(|| realtime(number)) else {
            return Err(Error::new(Code::InvalidSpec, "kill", number.to_string(), "is no signal"));
        };
        rustix::process::pidfd_send_signal(&self.created.pidfd, signal).at("kill", &*self.id)
    }

    /// Starts on behalf of a client, which gets `Started` or `Failed`, unless it has gone meanwhile.
    pub(super) fn start_for(&mut self, index: usize, attach: Attach) {
        let mut look = [PollFd::from_borrowed_fd(self.clients[index].as_fd(), PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut look, Some(&now)).is_ok_and(|count| count > 0) {
            return; // hung up: the loop hears of it, and undoes
        }
        self.clients[index].attached = attach == Attach::Yes;
        match self.start() {
            Ok(()) => {
                self.clients[index].push(Frame::Started, b"", Vec::new());
                self.meter.settle();
            }
            Err(error) => self.clients[index].fail(&error),
        }
    }

    /// `start.json` first: from the moment init may run, its end is an exit and never *created* again.
    fn start(&mut self) -> Result<()> {
        if self.state.status != "created" {
            return Err(Error::new(Code::Conflict, "start", &*self.id, "is running already"));
        }
        let started_at = now();
        let text = format!("{{\"started_at\":\"{started_at}\"}}");
        write_whole(self.bundle.as_fd(), "start.json", text.as_bytes(), 0o600)?;
        match rustix::fs::unlinkat(&self.bundle, "exit.json", AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno).at("unlink", "exit.json"),
        }
        self.meter.begin();
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
        written
    }

    fn drop_clients(&mut self) {
        for client in self.clients.iter().filter(|client| client.gone && client.is_lead) {
            if self.state.status == "created" && self.failure.is_none() {
                self.abandoned = true;
                // Init ends by itself at the end of its socket; this is for certain.
                let _ = rustix::process::pidfd_send_signal(&self.created.pidfd, Signal::KILL);
                let _ = client;
            }
        }
        // Docker's StdinOnce: whoever was killed sends no end of file, and the program would wait for it for ever.
        if self.config.stdin_once && self.clients.iter().any(|client| client.gone && client.feeds) {
            self.stdio.push(b"", true);
        }
        self.clients.retain(|client| !client.gone);
    }

    /// Writes exit.json and the receipt, unless the container never was; what those who wait are told.
    pub(super) fn conclude(&mut self, ended: Option<Ended>) -> Option<Vec<u8>> {
        if self.abandoned {
            return None;
        }
        let signal = ended.and_then(|ended| ended.signal);
        let code = ended.and_then(|ended| ended.code);
        let has_run = self.state.status == "running";
        let mut exit = Exit {
            id: self.id.clone(),
            exit_code: code.or(signal.map(|signal| 128 + signal)).unwrap_or(255),
            signal,
            reason: if has_run { "exited" } else { "start failed" }.to_owned(),
            error: self.failure.take(),
            started_at: self.state.started_at.clone(),
            finished_at: now(),
        };
        if let Some(error) = self.log.as_mut().and_then(|log| log.error.take()) {
            exit.error.get_or_insert(error);
        }
        let receipt = has_run.then(|| self.meter.conclude(ended));
        if let (Some(receipt), Some(config)) = (&receipt, &self.config.receipt)
            && let Err(error) = receipt::file(config, &exit, receipt)
        {
            exit.error.get_or_insert(error);
        }
        let text = told(&exit, receipt.as_ref());
        match self.record.take().map(|record| record.write(&text)) {
            // Whoever waits is told here, and a later look finds start.json, thus an exit.
            Some(Err(error)) => Some(told(&Exit { error: Some(error), ..exit }, receipt.as_ref())),
            _ => Some(text),
        }
    }

    /// Tells everybody who waits, after the clean-up, so that "ended" means that nothing is left.
    pub(super) fn say_goodbye(&mut self, exit: Option<&[u8]>) {
        let Some(exit) = exit else { return };
        for client in self.clients.iter_mut().filter(|client| client.waits) {
            client.push(Frame::Exited, exit, Vec::new());
        }
        // Slow readers get what is theirs; those who left are dropped.
        while self.clients.iter().any(|client| client.has_output() && !client.gone) {
            let waiting =
                || self.clients.iter().filter(|client| client.has_output() && !client.gone);
            let mut fds: Vec<PollFd<'_>> = waiting()
                .map(|client| PollFd::from_borrowed_fd(client.as_fd(), PollFlags::OUT))
                .collect();
            if poll(&mut fds, None).is_err_and(|errno| errno != Errno::INTR) {
                return;
            }
            drop(fds);
            self.clients.iter_mut().for_each(Client::flush);
        }
    }
}

/// exit.json, with the receipt in it.
fn told(exit: &Exit, receipt: Option<&Receipt>) -> Vec<u8> {
    let mut text = to_json(exit);
    if let Some(receipt) = receipt {
        receipt.append_to(&mut text);
    }
    text
}

/// Real-time signals have no name in the table of named ones.
fn realtime(number: i32) -> Option<Signal> {
    if !(34..=64).contains(&number) {
        return None;
    }
    sys::signal::from_number(number)
}
