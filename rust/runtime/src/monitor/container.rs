//! One container's life: created, running, ended, undone; and the loop that watches it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use pyrt_core::bundle::MonitorConfig;
use pyrt_core::cgroup::Cgroup;
use pyrt_core::create::{self, Created, Plan};
use pyrt_core::paths::{open_host, write_whole};
use pyrt_core::spec::{IdMapping, Spec};
use pyrt_core::state::{Exit, State, lock, now};
use pyrt_core::wire::{CHUNK_BYTES, Frame, Received};
use pyrt_core::{At, Code, Error, Result, seccomp, sys};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, WaitIdStatus};
use rustix::thread::ThreadNameSpaceType;

use super::{Attach, Job};
use super::clients::{Client, set_nonblocking, to_json};
use super::control::{Request, listen};
use super::log::Log;
use super::network;
use super::stdio::Stdio;

/// Everything the loop watches.
struct Container {
    id: String,
    bundle: OwnedFd,
    run_dir: OwnedFd,
    config: MonitorConfig,
    state: State,
    created: Created,
    cgroup: Option<Cgroup>,
    stdio: Stdio,
    log: Option<Log>,
    listener: OwnedFd,
    clients: Vec<Client>,
    /// Nobody wants it: the lead went before start.
    abandoned: bool,
    failure: Option<Error>,
    joining: Joining,
}

/// What exec must know of the container, kept when the document is gone.
#[derive(serde::Serialize)]
struct Joining {
    /// The namespaces that init does not share with the user.
    namespaces: u32,
    may_set_groups: bool,
    has_filter: bool,
}

/// Creates the container, tells the lead, and watches until the end.
pub(super) fn supervise(job: Job, lead: BorrowedFd<'_>) -> Result<()> {
    rustix::process::setsid().at("setsid", "")?;
    rustix::process::chdir("/").at("chdir", "/")?;
    let directory = OFlags::PATH | OFlags::DIRECTORY;
    let bundle = open_host(&job.bundle, directory)?;
    make_run_dir(&job.run_dir)?;
    let run_dir = open_host(&job.run_dir, directory)?;
    let alive = job.run_dir.join("alive");
    let Some(_alive) = lock(&alive)? else {
        return Err(Error::new(Code::Conflict, "start", job.config.id, "is running already"));
    };
    let run_path = job.run_dir.clone();
    let start = job.start;
    let cgroup = job.cgroup.as_deref().map(Cgroup::open).transpose()?;
    let undo = Undo { run_path: &run_path, bundle_path: job.bundle.clone(), config: job.config.clone() };
    match begin(job, bundle, run_dir, cgroup, lead) {
        Ok(mut container) => {
            if let Some(attach) = start {
                container.start_for(0, attach);
            }
            sys::memory::trim_heap(); // the documents are parsed and gone; we stay
            let status = container.watch();
            let exit = container.conclude(status);
            undo.run(container.cgroup.take(), container.abandoned);
            container.say_goodbye(exit.as_ref());
            Ok(())
        }
        Err((error, cgroup)) => {
            undo.run(cgroup, true);
            Err(error)
        }
    }
}

/// The run directory, emptied of what a lost monitor left; the lock in it is taken next.
fn make_run_dir(path: &Path) -> Result<()> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno).at("mkdir", path),
    }
}

/// Up to *created*, with the network, and the lead told.
fn begin(
    job: Job,
    bundle: OwnedFd,
    run_dir: OwnedFd,
    cgroup: Option<Cgroup>,
    lead: BorrowedFd<'_>,
) -> Result<Container, (Error, Option<Cgroup>)> {
    match prepare(job, bundle, run_dir, cgroup.as_ref(), lead) {
        Ok(container) => Ok(Container { cgroup, ..container }),
        Err(error) => Err((error, cgroup)),
    }
}

fn prepare(
    job: Job,
    bundle: OwnedFd,
    run_dir: OwnedFd,
    cgroup: Option<&Cgroup>,
    lead: BorrowedFd<'_>,
) -> Result<Container> {
    let stale = ["control.sock", "state.json", "seccomp.bpf"];
    for name in stale {
        // ENOENT is the rule; a lost monitor's socket would make bind fail.
        let _ = rustix::fs::unlinkat(&run_dir, name, AtFlags::empty());
    }
    let log = job.config.log.as_ref().map(Log::open).transpose()?;
    let filter = job
        .spec
        .linux
        .as_ref()
        .and_then(|linux| linux.seccomp.as_ref())
        .map(|profile| seccomp::cached(profile, job.config.seccomp_cache.as_deref()))
        .transpose()?;
    if let Some(filter) = &filter {
        // For exec, which loads the same filter without reading the document again.
        write_whole(run_dir.as_fd(), "seccomp.bpf", &filter.to_bytes(), 0o600)?;
    }
    give_writable_layer(&job)?;
    let (mut stdio, theirs) = Stdio::pipes(job.config.stdin)?;
    let payload = cgroup.map(|cgroup| cgroup.leaf("payload")).transpose()?;
    let plan = Plan {
        spec: &job.spec,
        bundle: &job.bundle,
        rootfs: job.config.rootfs.as_ref(),
        filter: filter.as_ref(),
        create_workdir: job.config.create_workdir,
        stdio: theirs,
        cgroup: payload.as_ref().map(AsFd::as_fd),
        joinable: job.config.network.is_some(),
        single_id: job.single_id,
    };
    let joining = Joining {
        namespaces: joined_namespaces(&job.spec),
        may_set_groups: plan.may_set_groups(),
        has_filter: filter.is_some(),
    };
    let beginning = create::begin(&plan)?;
    drop(plan);
    // Init mounts; meanwhile, on another processor, we prepare what does not depend on it.
    let pid = beginning.pid;
    let undone = |error| {
        beginning.abandon();
        error
    };
    let state = State {
        oci_version: job.spec.oci_version.clone(),
        id: job.config.id.clone(),
        status: "created".to_owned(),
        pid,
        bundle: job.bundle.to_string_lossy().into_owned(),
        created: now(),
        started_at: String::new(),
    };
    write_whole(run_dir.as_fd(), "state.json", &to_json(&state), 0o600).map_err(undone)?;
    let listener = listen(&run_dir).map_err(undone)?;
    let lead = lead.try_clone_to_owned().at("dup", "lead").map_err(undone)?;
    set_nonblocking(&lead).map_err(undone)?;
    let mut created = beginning.finish()?;
    if let Some(terminal) = created.terminal.take() {
        stdio.use_terminal(terminal).inspect_err(|_| create::end(created.pidfd.as_fd()))?;
    }
    if let Some(config) = &job.config.network {
        network::connect(config, pid).inspect_err(|_| create::end(created.pidfd.as_fd()))?;
    }
    let mut lead = Client::new(lead, true);
    lead.push(Frame::Created, format!("{{\"pid\":{pid}}}").as_bytes(), Vec::new());
    Ok(Container {
        id: job.config.id.clone(),
        bundle,
        run_dir,
        config: job.config,
        state,
        created,
        cgroup: None,
        stdio,
        log,
        listener,
        clients: vec![lead],
        abandoned: false,
        failure: None,
        joining,
    })
}

/// The writable layer belongs to the container's root, which is not the user where the map says otherwise: the
/// overlay would be read-only to it, and `/` somebody else's.
fn give_writable_layer(job: &Job) -> Result<()> {
    let (Some(rootfs), Some(linux)) = (&job.config.rootfs, &job.spec.linux) else { return Ok(()) };
    let root_of = |map: &[IdMapping]| {
        map.iter().find(|range| range.container_id == 0).map_or(0, |range| range.host_id)
    };
    let (uid, gid) = (root_of(&linux.uid_mappings), root_of(&linux.gid_mappings));
    if (uid, gid) == (0, 0) {
        return Ok(());
    }
    for path in [&rootfs.upper, &rootfs.work] {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        rustix::fs::chownat(rustix::fs::CWD, path, owner.0, owner.1, flags).at("chown", path)?;
    }
    Ok(())
}

/// setns(2)'s mask. The user namespace always: even `--userns=host` is the user's own and not the host's.
fn joined_namespaces(spec: &Spec) -> u32 {
    let kinds = [
        ("mount", ThreadNameSpaceType::MOUNT),
        ("pid", ThreadNameSpaceType::PROCESS_ID),
        ("ipc", ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION),
        ("uts", ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME),
        ("network", ThreadNameSpaceType::NETWORK),
        ("cgroup", ThreadNameSpaceType::CONTROL_GROUP),
    ];
    kinds
        .iter()
        .filter(|(kind, _)| spec.makes(kind))
        .fold(ThreadNameSpaceType::USER, |mask, (_, flag)| mask | *flag)
        .bits()
}

/// What a poll entry stands for.
enum Source {
    Init,
    Listener,
    Output(Frame),
    Input,
    Client(usize),
}

impl Container {
    /// The one loop: until init has ended.
    fn watch(&mut self) -> Option<WaitIdStatus> {
        let mut buffer = vec![0_u8; CHUNK_BYTES];
        loop {
            let ready = self.wait_for_events();
            for (source, flags) in ready {
                match source {
                    Source::Init => {
                        self.drain(&mut buffer);
                        let id = WaitId::PidFd(self.created.pidfd.as_fd());
                        return rustix::process::waitid(id, WaitIdOptions::EXITED).ok().flatten();
                    }
                    Source::Listener => self.accept(),
                    Source::Output(frame) => {
                        self.copy_output(frame, &mut buffer);
                    }
                    Source::Input => self.stdio.flush(),
                    Source::Client(index) => self.serve(index, flags),
                }
            }
            self.drop_clients();
        }
    }

    fn wait_for_events(&self) -> Vec<(Source, PollFlags)> {
        let readable = PollFlags::IN;
        let mut sources = vec![Source::Listener];
        let mut fds = vec![PollFd::new(&self.listener, readable)];
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
            let mut flags = if self.stdio.is_full() { PollFlags::empty() } else { readable };
            flags.set(PollFlags::OUT, client.has_output());
            sources.push(Source::Client(index));
            fds.push(PollFd::from_borrowed_fd(client.as_fd(), flags));
        }
        // Last, so that what was said before the end is heard before it.
        sources.push(Source::Init);
        fds.push(PollFd::new(&self.created.pidfd, readable));
        // EINTR and ENOMEM alike: look again.
        if poll(&mut fds, None).is_err() {
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
            while self.copy_output(frame, buffer) {}
        }
    }

    fn accept(&mut self) {
        let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
        if let Ok(socket) = rustix::net::accept_with(&self.listener, flags) {
            self.clients.push(Client::new(socket, false));
        }
    }

    fn serve(&mut self, index: usize, flags: PollFlags) {
        if flags.contains(PollFlags::OUT) {
            self.clients[index].flush();
        }
        if !flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            return;
        }
        while !self.stdio.is_full() {
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
            (Frame::Stdin, data) => self.stdio.push(data, false),
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
            Request::Start => self.start()?,
            Request::Join => {
                fds = self.join_descriptors()?;
                reply = to_json(&self.joining);
            }
        }
        self.clients[index].push(Frame::Reply, &reply, fds);
        Ok(())
    }

    fn join_descriptors(&self) -> Result<Vec<OwnedFd>> {
        if self.state.status != "running" {
            return Err(Error::new(Code::Conflict, "exec", &*self.id, "container is not running"));
        }
        let mut fds = vec![self.created.pidfd.try_clone().at("dup", "pidfd")?];
        if let Some(cgroup) = &self.cgroup {
            fds.push(cgroup.leaf("payload")?);
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
    fn start_for(&mut self, index: usize, attach: Attach) {
        let mut look = [PollFd::from_borrowed_fd(self.clients[index].as_fd(), PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut look, Some(&now)).is_ok_and(|count| count > 0) {
            return; // hung up: the loop hears of it, and undoes
        }
        self.clients[index].attached = attach == Attach::Yes;
        match self.start() {
            Ok(()) => self.clients[index].push(Frame::Started, b"", Vec::new()),
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
        self.created.start()?;
        // Init loads its filter and executes; meanwhile we write what will be true if it can.
        self.state.status = "running".to_owned();
        self.state.started_at = started_at;
        let written = write_whole(self.run_dir.as_fd(), "state.json", &to_json(&self.state), 0o600);
        if let Err(error) = self.created.confirm() {
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
        self.clients.retain(|client| !client.gone);
    }

    /// Writes exit.json, unless the container never was.
    fn conclude(&mut self, status: Option<WaitIdStatus>) -> Option<Exit> {
        if self.abandoned {
            return None;
        }
        let is_kept = !self.config.remove; // what is removed next needs no record of its end
        let signal = status.as_ref().and_then(WaitIdStatus::terminating_signal);
        let code = status.as_ref().and_then(WaitIdStatus::exit_status);
        let error = self.failure.take().or_else(|| self.log.as_mut().and_then(|log| log.error.take()));
        let exit = Exit {
            id: self.id.clone(),
            exit_code: code.or(signal.map(|signal| 128 + signal)).unwrap_or(255),
            signal,
            reason: if self.state.status == "running" { "exited" } else { "start failed" }.to_owned(),
            error,
            started_at: self.state.started_at.clone(),
            finished_at: now(),
        };
        let text = to_json(&exit);
        match is_kept.then(|| write_whole(self.bundle.as_fd(), "exit.json", &text, 0o600)) {
            // A full disk: whoever waits is told here, and a later look finds start.json, thus an exit.
            Some(Err(error)) => Some(Exit { error: Some(error), ..exit }),
            _ => Some(exit),
        }
    }

    /// Tells everybody who waits, after the clean-up, so that "ended" means that nothing is left.
    fn say_goodbye(&mut self, exit: Option<&Exit>) {
        let Some(exit) = exit else { return };
        let text = to_json(exit);
        for client in self.clients.iter_mut().filter(|client| client.waits) {
            client.push(Frame::Exited, &text, Vec::new());
        }
        // Slow readers get what is theirs; those who left are dropped.
        while self.clients.iter().any(|client| client.has_output() && !client.gone) {
            let waiting = || self.clients.iter().filter(|client| client.has_output() && !client.gone);
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

/// Real-time signals have no name in the table of named ones.
fn realtime(number: i32) -> Option<Signal> {
    if !(34..=64).contains(&number) {
        return None;
    }
    sys::signal::from_number(number)
}

/// What is given back when the container has ended.
struct Undo<'a> {
    run_path: &'a Path,
    bundle_path: std::path::PathBuf,
    config: MonitorConfig,
}

impl Undo<'_> {
    /// Removes what we made, and with `--rm` what Python recorded. What refuses stays for the next sweep.
    fn run(&self, cgroup: Option<Cgroup>, _never_started: bool) {
        if let Some(cgroup) = cgroup {
            // EBUSY where the parent may hold no process: then the next command sweeps it.
            let _ = cgroup.leave();
            cgroup.remove();
        }
        if self.config.remove {
            // Names before the bundle: a name that points nowhere is swept, a bundle without its name is not lost.
            for path in self.config.undo.iter().filter(|path| **path != self.bundle_path) {
                let _ = pyrt_core::tree::remove_path(path);
            }
            let _ = pyrt_core::tree::remove_path(&self.bundle_path);
        }
        let _ = pyrt_core::tree::remove_path(self.run_path);
    }
}
