//! `pyrt-runtime join`: the parent of one more process in a container that runs.
//!
//! It reports to whoever started it over one socket, in frames of `core::wire`: `Failed`, or `Started` and then
//! `Exited` with the exit status; and it takes `Signal` frames from there, and nothing from the process group.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use pyrt_core::join::{JoinPlan, Joined, join};
use pyrt_core::paths::{open_host, read_all};
use pyrt_core::relay::{self, Signals, Streams};
use pyrt_core::seccomp::Filter;
use pyrt_core::spec::Process;
use pyrt_core::sys::fork::{self, Fork};
use pyrt_core::wire::{self, Frame};
use pyrt_core::{At, Code, Error, Result, validate};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions};
use rustix::thread::ThreadNameSpaceType;

use crate::Status;
use crate::arguments::{Arguments, missing};

/// The largest process object.
const PROCESS_BYTES: usize = 16 << 20;

/// `join --report FD --init FD --process FD --namespaces MASK --filter FD [--cgroup FD] [--no-groups 1]
/// [--detach 1] [--detach-keys HEX]`
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
    let process = read_process(args)?;
    let filter = read_filter(args)?;
    let mask: u32 = args.number("namespaces")?.ok_or_else(|| missing("namespaces"))?;
    let detach = args.get("detach").is_some();
    let (stdio, pipes) = stdio(&process)?;
    let plan = JoinPlan {
        init: init.as_fd(),
        namespaces: ThreadNameSpaceType::from_bits_retain(mask),
        cgroup: cgroup.as_ref().map(AsFd::as_fd),
        process: &process,
        filter: filter.as_ref(),
        stdio,
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
    let stays = !detach && told.is_ok() && attend(&joined, pipes, report, &detach_keys(args))?;
    if !stays {
        leave_caller(&null)?;
        discard_output(&joined)?;
    }
    let code = wait(&joined)?;
    if stays {
        let text = format!("{{\"exit_code\":{code}}}");
        wire::send(report, Frame::Exited, text.as_bytes(), &[]).at("exec", "report")?;
    }
    Ok(code)
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
fn attend(joined: &Joined, pipes: Pipes, report: &OwnedFd, keys: &[u8]) -> Result<bool> {
    let Some(terminal) = &joined.terminal else {
        return wait_with_pipes(joined, pipes, report);
    };
    let streams = Streams {
        stdin: Some(rustix::stdio::stdin()),
        stdout: Some(rustix::stdio::stdout()),
        stderr: None,
        tty: true,
        detach_keys: keys,
        sig_proxy: true,
    };
    let detached = relay::over_terminal(terminal, &joined.pidfd, report.as_fd(), &streams)?;
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

/// Waits for the program and nothing else.
fn wait(joined: &Joined) -> Status {
    let id = || WaitId::PidFd(joined.pidfd.as_fd());
    let status = rustix::io::retry_on_intr(|| rustix::process::waitid(id(), WaitIdOptions::EXITED))
        .at("wait", "exec")?;
    let code = status.as_ref().and_then(|status| {
        status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal))
    });
    Ok(code.unwrap_or(255))
}

/// Our ends of pipes that stand between the container and the user's terminal, with where they lead.
type Pipes = Vec<(OwnedFd, i32)>;

/// The three descriptors of the program: the caller's own, but never its terminal.
///
/// A terminal of the host in the container could be typed into (TIOCSTI) and reconfigured; a pipe cannot.
fn stdio(process: &Process) -> Result<([OwnedFd; 3], Pipes)> {
    let own = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let mut pipes = Vec::new();
    let mut place = |number: usize| -> Result<OwnedFd> {
        let fd: BorrowedFd<'static> = own[number];
        if process.terminal || !rustix::termios::isatty(fd) {
            return fd.try_clone_to_owned().at("dup", "stdio");
        }
        if number == 0 {
            // Without a terminal asked for, one on stdin still gives its lines.
            let (read, write) = pipe_with(PipeFlags::CLOEXEC).at("pipe", "stdio")?;
            pipes.push((write, 0));
            return Ok(read);
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).at("pipe", "stdio")?;
        pipes.push((read, i32::try_from(number).unwrap_or(1)));
        Ok(write)
    };
    let stdio = [place(0)?, place(1)?, place(2)?];
    Ok((stdio, pipes))
}

/// Copies through the pipes until the program has ended and they are empty; false if nobody waits any more.
fn wait_with_pipes(joined: &Joined, mut pipes: Pipes, report: &OwnedFd) -> Result<bool> {
    let mut buffer = vec![0_u8; wire::CHUNK_BYTES];
    let mut running = true;
    while running || !pipes.is_empty() {
        let mut fds = vec![PollFd::new(report, PollFlags::IN)];
        fds.push(PollFd::new(
            &joined.pidfd,
            if running { PollFlags::IN } else { PollFlags::empty() },
        ));
        for (fd, number) in &pipes {
            let source = if *number == 0 { rustix::stdio::stdin() } else { fd.as_fd() };
            fds.push(PollFd::from_borrowed_fd(source, PollFlags::IN));
        }
        rustix::io::retry_on_intr(|| poll(&mut fds, None)).at("poll", "exec")?;
        let mut ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if ready[0] {
            match wire::receive(report).at("exec", "receive")? {
                None => return Ok(false),
                Some(order) => relay::send_signal(&joined.pidfd, &order.content),
            }
        }
        running &= !ready[1];
        let mut flags = ready.drain(2..);
        pipes.retain(|pipe| !flags.next().unwrap_or(false) || copy(pipe, &mut buffer));
        if !running {
            // Descendants may hold the pipes for ever: what is in them now is all we wait for.
            pipes.retain(|(fd, number)| *number != 0 && has_data(fd));
        }
    }
    Ok(true)
}

fn has_data(fd: &OwnedFd) -> bool {
    rustix::io::ioctl_fionread(fd).is_ok_and(|count| count > 0)
}

/// Copies one chunk; false when the stream has ended.
fn copy((fd, number): &(OwnedFd, i32), buffer: &mut [u8]) -> bool {
    let (source, target) = match number {
        0 => (rustix::stdio::stdin(), fd.as_fd()),
        1 => (fd.as_fd(), rustix::stdio::stdout()),
        _ => (fd.as_fd(), rustix::stdio::stderr()),
    };
    match rustix::io::retry_on_intr(|| rustix::io::read(source, &mut *buffer)) {
        Ok(count @ 1..) => pyrt_core::paths::write_all(target, &buffer[..count]).is_ok(),
        _ => false,
    }
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
