//! `create`, `run` and `start`: from a bundle to a process that waits, and from there to the program.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use pyrt_core::create::{self, Created, Gate, Plan};
use pyrt_core::instead::Instead;
use pyrt_core::namespaces::Joins;
use pyrt_core::paths::{open_host, read_all, write_whole};
use pyrt_core::relay::Signals;
use pyrt_core::spec::Spec;
use pyrt_core::state::now;
use pyrt_core::{At, Code, Error, Result, channel, hooks, seccomp, validate};
use rustix::fs::OFlags;

use super::cgroups::Cgroups;
use super::command_line::{Words, invalid};
use super::container::{Container, Directory, Record, Status, begun};
use super::globals::{Globals, Log};
use super::order::Order;
use super::{delete, foreground, notify, sockets};

/// `create [flags] ID`
pub(super) fn create(globals: &Globals, words: &Words) -> Result<i32> {
    let order = Order::read("create", words, true)?;
    make(globals, &order, true)?;
    Ok(0)
}

/// `run [flags] ID`
pub(super) fn run(globals: &Globals, words: &Words) -> Result<i32> {
    let order = Order::read("run", words, words.is_on("detach")?)?;
    let signals = if order.leaves { None } else { Some(Signals::take()?) };
    let (container, created, notify) = make(globals, &order, false)?;
    let started = started(&container, &created.gate, &created.pidfd);
    let code = started.and_then(|()| match &signals {
        None => notify.map_or(Ok(()), |notify| notify.wait_ready(&created.pidfd)).map(|()| 0),
        Some(signals) => {
            foreground::attend(&created.pidfd, created.terminal.as_ref(), signals, notify.as_ref())
        }
    });
    if code.is_err() {
        create::end(created.pidfd.as_fd());
    }
    if code.is_err() || (!order.leaves && !words.is_on("keep")?) {
        let destroyed = delete::destroy(&container);
        return code.and_then(|code| destroyed.map(|()| code));
    }
    code
}

/// `start ID`
pub(super) fn start(globals: &Globals, words: &Words) -> Result<i32> {
    let container = Container::find(globals, words.only_id("start")?)?;
    let refuse = |message: &str| Err(Error::new(Code::Conflict, "", "", message));
    match container.status()? {
        Status::Created => {}
        Status::Creating => return refuse("cannot start a container that is still being created"),
        Status::Stopped => return refuse("cannot start a container that has stopped"),
        Status::Paused => return refuse("cannot start a paused container"),
        _ => return refuse("cannot start an already running container"),
    }
    let process = container.running_process()?;
    let notify = notify::Proxy::open(&container.directory, container.record.pid)?;
    let address = container.directory.address("start.sock")?;
    let gate = Gate::connect(&address, &container.directory.path.join("start.sock"))?;
    // Before the word: if we die between the two, init hears that nobody wants it, and ends.
    container.directory.forget_start()?;
    started(&container, &gate, &process)?;
    notify.map_or(Ok(()), |notify| notify.wait_ready(&process)).map(|()| 0)
}

/// Lets init execute, and runs what follows; a poststart hook that fails ends the container (runtime.md#lifecycle).
fn started(container: &Container, gate: &Gate, process: &OwnedFd) -> Result<()> {
    gate.start()?;
    gate.confirm()?;
    if !container.record.has_hooks {
        return Ok(());
    }
    let spec = container.directory.spec()?;
    let Some(all) = &spec.hooks else { return Ok(()) };
    let record = &container.record;
    let state = hooks::state(&spec, &record.id, &record.bundle, record.pid, "running");
    hooks::run("poststart", &all.poststart, &state).inspect_err(|_| {
        // ESRCH: it has ended by itself.
        let _ = rustix::process::pidfd_send_signal(process, rustix::process::Signal::KILL);
    })
}

/// Everything up to *created*; whatever fails, all of it is taken back. With `listens`, init waits for `start`, and not
/// for us.
fn make(
    globals: &Globals,
    order: &Order,
    listens: bool,
) -> Result<(Container, Created, Option<notify::Proxy>)> {
    Log::warn(&validate::warnings(&order.spec));
    let directory = Directory::make(globals, &order.id)?;
    let mut record = Record {
        oci_version: order.spec.oci_version.clone(),
        id: order.id.clone(),
        pid: 0,
        start_ticks: 0,
        bundle: order.bundle.clone(),
        rootfs: order.bundle.join(order.spec.root.as_ref().map_or("", |root| &root.path)),
        created: now(),
        uid: rustix::process::getuid().as_raw(),
        annotations: order.spec.annotations.clone(),
        cgroup: None,
        cgroup_made: Vec::new(),
        scope: None,
        has_hooks: order.spec.hooks.is_some(),
        ends_with_init: order.spec.makes("pid"),
    };
    match make_in(globals, order, &directory, &mut record, listens) {
        Ok((created, notify)) => Ok((Container { directory, record }, created, notify)),
        Err(error) => {
            // The first error is the one to tell; what cannot be removed is there for `delete --force`.
            let _ = delete::destroy(&Container { directory, record });
            Err(error)
        }
    }
}

fn make_in(
    globals: &Globals,
    order: &Order,
    directory: &Directory,
    record: &mut Record,
    listens: bool,
) -> Result<(Created, Option<notify::Proxy>)> {
    let sockets = [&order.console_socket, &order.pidfd_socket]
        .map(|path| path.as_deref().map(sockets::connect).transpose());
    let [console, pidfd_socket] = sockets;
    let (console, pidfd_socket) = (console?, pidfd_socket?);
    write_whole(directory.fd.as_fd(), "config.json", &order.document, 0o600)?;
    let mut spec = order.spec.clone();
    let proxies = notify::prepare(directory, &mut spec)?;
    let filter = seccomp::of(&spec, Some(&globals.root.join(".cache/seccomp")))?;
    let cgroups = Cgroups::make(globals, &spec, directory, record)?;
    cgroups.record(record); // whatever fails from here on, it is taken back
    let start = listens.then(|| listen(directory)).transpose()?;
    let joins = Joins::open(&spec, Vec::new())?;
    let plan = Plan {
        spec: &spec,
        id: &order.id,
        bundle: &order.bundle,
        rootfs: None,
        filter: filter.as_ref(),
        create_workdir: true,
        stdio: None,
        kept_fds: order.kept_fds,
        cgroup: cgroups.birthplace(),
        joinable: is_joinable(&spec),
        joins: &joins,
        single_id: denies_setgroups()?,
        start: start.as_ref().map(AsFd::as_fd),
        tied: false,
        new_keyring: order.new_keyring,
        settle: Some(&|pid| cgroups.settle(pid)),
        task_limit: None,
        instead: Instead::default(),
        pivots: order.pivots,
        pause: None,
    };
    let beginning = create::begin(&plan)?;
    cgroups.record(record);
    record.pid = beginning.pid;
    // Init mounts; meanwhile, on another processor, its record is written.
    let written = begun(record.pid).and_then(|ticks| {
        record.start_ticks = ticks.unwrap_or(0);
        directory.write_record(record)
    });
    if let Err(error) = written {
        beginning.abandon();
        return Err(error);
    }
    let mut created = beginning.finish(&spec)?;
    let told = tell(order, &mut created, record.pid, console.as_ref(), pidfd_socket.as_ref());
    let notify = told.and_then(|()| {
        if listens || !proxies { Ok(None) } else { notify::Proxy::open(directory, record.pid) }
    });
    match notify {
        Ok(notify) => Ok((created, notify)),
        Err(error) => {
            create::end(created.pidfd.as_fd());
            Err(error)
        }
    }
}

/// Whether others may look into init until it is started: a user's helpers, who have no rights in our own user namespace,
/// must, to connect its network. Elsewhere whoever started us has the right to look anyway, and nobody else is to
/// (CVE-2019-5736): containers that share the pid namespace, or are above it, would see what runs.
fn is_joinable(spec: &Spec) -> bool {
    !rustix::process::geteuid().is_root() && spec.makes("user") && spec.makes("pid")
}

/// Tells whoever wants to know: the terminal, the process, the pid.
fn tell(
    order: &Order,
    created: &mut Created,
    pid: u32,
    console: Option<&OwnedFd>,
    pidfd_socket: Option<&OwnedFd>,
) -> Result<()> {
    if let Some(socket) = console
        && let Some(terminal) = created.terminal.take()
    {
        sockets::send(socket, "/dev/ptmx", terminal)?;
    }
    if let Some(socket) = pidfd_socket {
        sockets::send(socket, "pidfd", &created.pidfd)?;
    }
    order.pid_file.as_deref().map_or(Ok(()), |path| PidFile::open(path)?.write(pid))
}

/// A file that will hold a pid: decimal, without a newline, by rename.
pub(super) struct PidFile {
    dir: OwnedFd,
    name: String,
}

impl PidFile {
    /// Opens its directory, while it is within reach.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let name = path.file_name().ok_or_else(|| invalid("--pid-file: names no file"))?;
        let dir = path.parent().unwrap_or(Path::new("/"));
        let dir = open_host(dir, OFlags::PATH | OFlags::DIRECTORY)?;
        Ok(Self { dir, name: name.to_string_lossy().into_owned() })
    }

    pub(super) fn write(&self, pid: u32) -> Result<()> {
        write_whole(self.dir.as_fd(), &self.name, pid.to_string().as_bytes(), 0o644)
    }
}

/// Where `start` will connect.
fn listen(directory: &Directory) -> Result<OwnedFd> {
    let name = "start.sock";
    let socket = channel::socket().at("socket", name)?;
    rustix::net::bind(&socket, &directory.address(name)?).at("bind", name)?;
    rustix::net::listen(&socket, 1).at("listen", name)?;
    Ok(socket)
}

/// Whether the user namespace that we are in denies setgroups(2), and so all below it.
fn denies_setgroups() -> Result<bool> {
    let path = Path::new("/proc/self/setgroups");
    Ok(read_all(open_host(path, OFlags::RDONLY)?, path, 64)?.starts_with(b"deny"))
}
