//! `pyrt-runtime join`: the parent of one more process in a container that runs.
//!
//! It reports to whoever started it over one socket, in frames of `core::wire`: `Failed`, or `Started` and then
//! `Exited` with the exit status; and it takes `Signal` frames from there, and nothing from the process group.

use std::cell::Cell;
use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use pyrt_core::cgroup::user_scope;
use pyrt_core::join::{JoinPlan, Joined, join};
use pyrt_core::paths::{open_host, read_all};
use pyrt_core::relay::{self, Order, Orders, Pending, Signals, Streams, open_anew};
use pyrt_core::seccomp::Filter;
use pyrt_core::spec::Process;
use pyrt_core::sys::fork::{self, Fork};
use pyrt_core::sys::usage;
use pyrt_core::wire::{self, Frame};
use pyrt_core::{At, Code, Error, Result, validate};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::thread::ThreadNameSpaceType;

use crate::Status;
use crate::arguments::{Arguments, missing};

/// The largest process object.
const PROCESS_BYTES: usize = 16 << 20;

/// `join --report FD --init FD --process FD --namespaces MASK --filter FD --usage FD [--cgroup FD] [--no-groups 1]
/// [--detach 1] [--detach-keys HEX] [--manager ADDRESS...]`
pub(crate) fn main(args: &[OsString]) -> Status {
    let args = Arguments::parse(args)?;
    let report = args.needed_descriptor("report")?;
    let _signals = Signals::take()?; // they come as frames, or not at all
    match run(&args, &report) {
        Ok(code) => Ok(code),
        Err(error) => {
            // Nobody is left to be told if the socket is closed.
            let _ = wire::send(&report, Frame::Failed, &to_json(&error), &[]);
            Ok(1)
        }
    }
}

fn to_json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn run(args: &Arguments, report: &OwnedFd) -> Status {
    let init = args.needed_descriptor("init")?;
    let cgroup = args.descriptor("cgroup")?;
    if let Some(cgroup) = &cgroup {
        // While the host's sockets and cgroups are in sight.
        user_scope::reach(&args.managers(), &descriptor_path(cgroup)?)?;
    }
    let process = read_process(args)?;
    let filter = read_filter(args)?;
    let mask: u32 = args.number("namespaces")?.ok_or_else(|| missing("namespaces"))?;
    let detach = args.get("detach").is_some();
    // /proc is another one once we have joined.
    let anew = [rustix::stdio::stdout(), rustix::stdio::stderr()].map(|fd| open_anew(Some(fd)));
    let [stdout, stderr] = anew.each_ref().map(|fd| fd.as_ref().map(AsFd::as_fd));
    let own = [
        rustix::stdio::stdin(),
        stdout.unwrap_or(rustix::stdio::stdout()),
        stderr.unwrap_or(rustix::stdio::stderr()),
    ];
    let (stdio, pipes) = stdio(&process, own)?;
    let plan = JoinPlan {
        init: init.as_fd(),
        namespaces: ThreadNameSpaceType::from_bits_retain(mask),
        cgroup: cgroup.as_ref().map(AsFd::as_fd),
        process: &process,
        linux: None, // the engine's documents set none of what an exec would take over
        filter: filter.as_ref(),
        agent: None, // a monitor of the engine keeps no document: an exec that would need one is refused
        stdio: Some(stdio),
        kept_fds: 0,
        may_set_groups: args.get("no-groups").is_none(),
    };
    if detach && !become_background()? {
        return Ok(0);
    }
    let null = open_host(Path::new("/dev/null"), OFlags::RDWR)?; // out of reach once we have joined
    let joined = join(&plan)?;
    drop(plan);
    let started = format!("{{\"pid\":{}}}", joined.pid);
    // A caller that is gone leaves the program running, as one that asked for it does.
    let told = wire::send(report, Frame::Started, started.as_bytes(), &[]);
    let end = End { code: Cell::default(), usage: args.needed_descriptor("usage")? };
    let stays =
        !detach && told.is_ok() && attend(&joined, pipes, report, own, &detach_keys(args), &end)?;
    if !stays {
        drop(anew);
        leave_caller(&null)?;
        discard_output(&joined)?;
    }
    let code = end.code(&joined)?;
    if stays {
        let text = format!("{{\"exit_code\":{code}}}");
        wire::send(report, Frame::Exited, text.as_bytes(), &[]).at("exec", "report")?;
    }
    Ok(code)
}

/// Where what is open is.
fn descriptor_path(fd: &OwnedFd) -> Result<PathBuf> {
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let target = rustix::fs::readlink(&link, Vec::new()).at("readlink", &link)?;
    Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
}

/// Leaves the caller, which reaps its child at once; true in the process that goes on.
///
/// It must go on: a program whose parent outside is gone would be reaped by the host's init at that one's
/// leisure, and until then the container's pid namespace could not end.
fn become_background() -> Result<bool> {
    match fork::fork_single(0, None).at("clone", "exec")? {
        Fork::Parent { .. } => Ok(false),
        Fork::Child => rustix::process::setsid().at("setsid", "").map(|_| true),
    }
}

/// Lets bytes and signals flow; false if nobody waits for the end any more.
fn attend(
    joined: &Joined,
    pipes: Vec<Pipe<'_>>,
    report: &OwnedFd,
    own: [BorrowedFd<'_>; 3],
    keys: &[u8],
    end: &End,
) -> Result<bool> {
    let Some(terminal) = &joined.terminal else {
        return wait_with_pipes(joined, pipes, report, end);
    };
    let streams = Streams {
        stdin: Some(own[0]),
        stdout: Some(own[1]),
        stderr: None,
        tty: true,
        detach_keys: keys,
        sig_proxy: true,
    };
    let reap = || end.code(joined).map(drop);
    let detached = relay::over_terminal(terminal, &joined.pidfd, report, &streams, reap)?;
    if detached {
        // If the caller is gone, too, there is nobody to tell.
        let _ = wire::send(report, Frame::Reply, b"{}", &[]);
    }
    Ok(!detached)
}

/// Lets go of the user's terminal, and of whatever waits for its end: `ssh host pyrt exec -it …` does.
fn leave_caller(null: &OwnedFd) -> Result<()> {
    for number in 0..3 {
        pyrt_core::sys::files::place(null.as_fd(), number).at("dup2", "null")?;
    }
    // EPERM: it has a session of its own already.
    let _ = rustix::process::setsid();
    Ok(())
}

/// Reads what a program that nobody looks at any more writes to its terminal: unread, it would stop it.
fn discard_output(joined: &Joined) -> Result<()> {
    let Some(terminal) = &joined.terminal else { return Ok(()) };
    rustix::io::ioctl_fionbio(terminal, true).at("ioctl", "terminal")?;
    let mut buffer = [0_u8; 4096];
    loop {
        let mut fds =
            [PollFd::new(&joined.pidfd, PollFlags::IN), PollFd::new(terminal, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut fds, None)).at("poll", "exec")?;
        if !fds[0].revents().is_empty() {
            return Ok(());
        }
        match rustix::io::read(terminal, &mut buffer) {
            Ok(1..) | Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(0) | Err(_) => return Ok(()), // it has closed it
        }
    }
}

/// How the program ended, once it is known.
///
/// Asked for as soon as it has ended, and not when its last output is written: until somebody reaps it, the pid
/// namespace of its container does not end, and a user's stopped terminal would hold up `kill` and `rm`.
struct End {
    code: Cell<Option<i32>>,
    /// Where the monitor hears what the program has used.
    usage: OwnedFd,
}

impl End {
    fn code(&self, joined: &Joined) -> Status {
        if let Some(code) = self.code.get() {
            return Ok(code);
        }
        let ended = usage::wait(joined.pidfd.as_fd()).at("wait", "exec")?;
        // A monitor that is gone, or has a thousand to read first, misses this one.
        let _ = rustix::io::write(&self.usage, &ended.usage.to_bytes());
        let code = ended.code.or(ended.signal.map(|signal| 128 + signal)).unwrap_or(255);
        self.code.set(Some(code));
        Ok(code)
    }
}

/// Our end of a pipe that stands between the container and the user's terminal.
struct Pipe<'a> {
    fd: OwnedFd,
    /// Where it leads.
    own: BorrowedFd<'a>,
    is_input: bool,
    pending: Option<Pending>,
}

impl Pipe<'_> {
    /// What to wait for: room where bytes are under way, bytes where none are.
    fn awaited(&self) -> (BorrowedFd<'_>, PollFlags) {
        match self.pending {
            None => (if self.is_input { self.own } else { self.fd.as_fd() }, PollFlags::IN),
            Some(_) => (if self.is_input { self.fd.as_fd() } else { self.own }, PollFlags::OUT),
        }
    }

    /// Does what was waited for; false when the stream has ended.
    fn turn(&mut self, buffer: &mut [u8]) -> bool {
        if let Some(mut pending) = self.pending.take() {
            let target = if self.is_input { self.fd.as_fd() } else { self.own };
            let written = pending.advance(target);
            self.pending = written.as_ref().is_ok_and(|is_all| !is_all).then_some(pending);
            return written.is_ok();
        }
        match rustix::io::read(self.awaited().0, &mut *buffer) {
            Ok(count) => {
                self.pending = (count > 0).then(|| Pending::new(buffer[..count].to_vec()));
                count > 0
            }
            Err(Errno::AGAIN | Errno::INTR) => true,
            Err(_) => false,
        }
    }

    /// Whether output is left when the program has ended: descendants may hold the pipe for ever.
    fn has_rest(&self) -> bool {
        let has_data = || rustix::io::ioctl_fionread(&self.fd).is_ok_and(|count| count > 0);
        !self.is_input && (self.pending.is_some() || has_data())
    }
}

/// The three descriptors of the program: the caller's own, but never its terminal.
///
/// A terminal of the host in the container could be typed into (TIOCSTI) and reconfigured; a pipe cannot.
fn stdio<'a>(process: &Process, own: [BorrowedFd<'a>; 3]) -> Result<([OwnedFd; 3], Vec<Pipe<'a>>)> {
    let mut pipes = Vec::new();
    let mut place = |own: BorrowedFd<'a>, is_input: bool| -> Result<OwnedFd> {
        if process.terminal || !rustix::termios::isatty(own) {
            return own.try_clone_to_owned().at("dup", "stdio");
        }
        // Without a terminal asked for, one on stdin still gives its lines.
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).at("pipe", "stdio")?;
        let (fd, theirs) = if is_input { (write, read) } else { (read, write) };
        rustix::io::ioctl_fionbio(&fd, true).at("ioctl", "pipe")?;
        pipes.push(Pipe { fd, own, is_input, pending: None });
        Ok(theirs)
    };
    let stdio = [place(own[0], true)?, place(own[1], false)?, place(own[2], false)?];
    Ok((stdio, pipes))
}

/// Copies through the pipes until the program has ended and they are empty; false if nobody waits any more.
fn wait_with_pipes(
    joined: &Joined,
    mut pipes: Vec<Pipe<'_>>,
    report: &OwnedFd,
    end: &End,
) -> Result<bool> {
    let mut buffer = vec![0_u8; wire::CHUNK_BYTES];
    let mut running = true;
    while running || !pipes.is_empty() {
        let pipe = |at: usize| pipes.get(at).map(Pipe::awaited);
        let events = relay::wait([
            Some((report.as_fd(), PollFlags::IN)),
            running.then_some((joined.pidfd.as_fd(), PollFlags::IN)),
            pipe(0),
            pipe(1),
            pipe(2),
        ])?;
        let [told, ended, ready @ ..] = events.map(|flags| !flags.is_empty());
        if told {
            match report.next()? {
                Order::Leave => return Ok(false),
                Order::Signal(number) => relay::send_signal(&joined.pidfd, number),
                Order::Nothing => {}
            }
        }
        if ended {
            running = false;
            end.code(joined)?;
        }
        let mut ready = ready.into_iter();
        pipes.retain_mut(|pipe| !ready.next().unwrap_or(false) || pipe.turn(&mut buffer));
        if !running {
            pipes.retain(Pipe::has_rest);
        }
    }
    Ok(true)
}

fn read_process(args: &Arguments) -> Result<Process> {
    let file = args.needed_descriptor("process")?;
    let data = read_all(&file, Path::new("process"), PROCESS_BYTES)?;
    let process: Process = serde_json::from_slice(&data)
        .map_err(|error| Error::new(Code::InvalidSpec, "read", "process", error.to_string()))?;
    validate::check_process(&process)?;
    Ok(process)
}

/// The container's filter; an empty file says that it has none.
fn read_filter(args: &Arguments) -> Result<Option<Filter>> {
    let data = read_all(args.needed_descriptor("filter")?, Path::new("filter"), 1 << 20)?;
    if data.is_empty() {
        return Ok(None);
    }
    Filter::from_bytes(&data)
        .map(Some)
        .ok_or_else(|| Error::new(Code::Kernel, "read", "filter", "is no compiled filter"))
}

fn detach_keys(args: &Arguments) -> Vec<u8> {
    let text = args.get("detach-keys").map(|text| text.to_string_lossy().into_owned());
    let text = text.unwrap_or_default();
    let pair = |at: usize| text.get(at..at + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
    (0..text.len()).step_by(2).filter_map(pair).collect()
}
