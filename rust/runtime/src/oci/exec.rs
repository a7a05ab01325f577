//! `exec`: one more process in a container.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::path::Path;

use pyrt_core::join::{JoinPlan, join};
use pyrt_core::namespaces::joined;
use pyrt_core::paths::{open_host, read_all, read_host};
use pyrt_core::relay::Signals;
use pyrt_core::seccomp::Agent;
use pyrt_core::spec::{Process, Spec};
use pyrt_core::{At, Code, Error, Result, create, hooks, seccomp, validate};
use rustix::fs::OFlags;

use super::birth::PidFile;
use super::command_line::{Words, invalid};
use super::container::{Container, Status};
use super::globals::{Globals, Log};
use super::order::kept_descriptors;
use super::{foreground, sockets};

pub(super) const FLAGS: [&str; 17] = [
    "console-socket=",
    "pidfd-socket=",
    "cwd=",
    "env,e=",
    "tty,t",
    "user,u=",
    "additional-gids,g=",
    "process,p=",
    "detach,d",
    "pid-file=",
    "process-label=",
    "apparmor=",
    "no-new-privs",
    "cap,c=",
    "preserve-fds=",
    "cgroup=",
    "ignore-paused",
];

/// The largest process object.
const PROCESS_BYTES: usize = 16 << 20;

/// `exec [flags] ID COMMAND…`, `exec --process FILE ID`
pub(super) fn main(globals: &Globals, words: &Words) -> Result<i32> {
    let kept_fds = kept_descriptors(words, false)?;
    let container = Container::find(globals, words.first_id("exec")?)?;
    check_status(&container, words.is_on("ignore-paused")?)?;
    let init = container.running_process()?;
    let spec = container.directory.spec()?;
    let process = process(words, &spec)?;
    validate::check_process(&process)?;
    Log::warn(&validate::process_warnings(&process));
    let detach = words.is_on("detach")?;
    let console = words.value("console-socket").filter(|path| !path.is_empty());
    if process.terminal && detach && console.is_none() {
        return Err(invalid("a terminal needs --console-socket where the runtime leaves"));
    }
    if !process.terminal && console.is_some() {
        return Err(invalid("--console-socket: the process has no terminal"));
    }
    globals.log.open()?;
    // All of the host that is needed later is opened now: once we have joined, it is out of reach.
    let connect = |path: Option<&OsStr>| path.map(Path::new).map(sockets::connect).transpose();
    let console = connect(console)?;
    let pidfd_socket = connect(words.value("pidfd-socket").filter(|path| !path.is_empty()))?;
    let pid_file = words.value("pid-file").filter(|path| !path.is_empty()).map(Path::new);
    let pid_file = pid_file.map(|path| PidFile::open(&absolute(path)?)).transpose()?;
    let cgroup = cgroup(&container, words)?;
    let filter = seccomp::of(&spec, Some(&globals.root.join(".cache/seccomp")))?;
    let mut agent = Agent::connect(&spec, filter.as_ref())?;
    if let Some(agent) = &mut agent {
        let (record, status) = (&container.record, "running");
        agent.state = hooks::state(&spec, &record.id, &record.bundle, record.pid, status);
    }
    let may_set_groups = !spec.keeps_groups() && allows_setgroups(container.record.pid)?;
    let signals = if detach { None } else { Some(Signals::take()?) };
    let mut joined = join(&JoinPlan {
        init: init.as_fd(),
        namespaces: joined(&spec)?,
        cgroup: cgroup.as_ref().map(AsFd::as_fd),
        process: &process,
        linux: spec.linux.as_ref(),
        filter: filter.as_ref(),
        agent,
        stdio: None,
        kept_fds,
        may_set_groups,
    })?;
    let told = (|| {
        if let Some(socket) = &console
            && let Some(terminal) = joined.terminal.take()
        {
            sockets::send(socket, "/dev/ptmx", terminal)?;
        }
        if let Some(socket) = &pidfd_socket {
            sockets::send(socket, "pidfd", &joined.pidfd)?;
        }
        pid_file.map_or(Ok(()), |file| file.write(joined.pid))
    })();
    if let Err(error) = told {
        create::end(joined.pidfd.as_fd());
        return Err(error);
    }
    match &signals {
        None => Ok(0),
        Some(signals) => foreground::attend(&joined.pidfd, joined.terminal.as_ref(), signals, None),
    }
}

/// The words are runc's, which callers look for.
fn check_status(container: &Container, ignores_pause: bool) -> Result<()> {
    let message = match container.status()? {
        Status::Stopped => "cannot exec in a stopped container: container not running",
        Status::Paused if !ignores_pause => "cannot exec in a paused container",
        // CVE-2019-5736: until init has executed the program, its /proc entry is the runtime's, and what we would start
        // in there could open it.
        Status::Creating | Status::Created => "cannot exec in a container that was not started",
        _ => return Ok(()),
    };
    Err(Error::new(Code::Conflict, "", "", message))
}

/// The process object: a file's, or the container's own with what the flags say.
fn process(words: &Words, spec: &Spec) -> Result<Process> {
    if let Some(path) = words.value("process").filter(|path| !path.is_empty()) {
        let data = read_host(Path::new(path), PROCESS_BYTES)?;
        let mut process: Process = serde_json::from_slice(&data)
            .map_err(|error| Error::new(Code::InvalidSpec, "read", "process", error.to_string()))?;
        if let Some(container) = &spec.process {
            process.inherit(container);
        }
        return Ok(process);
    }
    let mut process = spec.process.clone().unwrap_or_default();
    let args = words.rest.get(1..).unwrap_or_default();
    if args.is_empty() {
        return Err(invalid("process args cannot be empty"));
    }
    process.args = args.iter().map(|arg| text(arg, "args")).collect::<Result<_>>()?;
    process.terminal = words.is_on("tty")?;
    process.console_size = None;
    process.no_new_privileges |= words.is_on("no-new-privs")?;
    if let Some(cwd) = words.text("cwd")? {
        process.cwd = cwd.to_owned();
    }
    if let Some(profile) = words.text("apparmor")? {
        process.apparmor_profile = Some(profile.to_owned());
    }
    if let Some(label) = words.text("process-label")? {
        process.selinux_label = Some(label.to_owned());
    }
    for variable in words.values("env") {
        process.env.push(text(variable, "env")?);
    }
    for name in words.values("cap") {
        let (name, sets) = (text(name, "cap")?, process.capabilities.get_or_insert_default());
        // CVE-2022-29162: not inheritable, so that a file's capabilities are not gained.
        for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
            set.push(name.clone());
        }
    }
    if let Some(user) = words.text("user")? {
        (process.user.uid, process.user.gid) = parse_user(user)?;
    }
    for group in words.values("additional-gids") {
        process.user.additional_gids.push(parse_id(&text(group, "additional-gids")?)?);
    }
    Ok(process)
}

fn text(word: &OsStr, flag: &str) -> Result<String> {
    word.to_str().map(str::to_owned).ok_or_else(|| invalid(&format!("--{flag}: not UTF-8")))
}

/// `UID[:GID]`
fn parse_user(text: &str) -> Result<(u32, u32)> {
    match text.split_once(':') {
        Some((uid, gid)) => Ok((parse_id(uid)?, parse_id(gid)?)),
        None => Ok((parse_id(text)?, 0)),
    }
}

/// CVE-2026-30892, CVE-2024-40635: digits and nothing else, or it would be somebody else, most likely root.
fn parse_id(text: &str) -> Result<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|&id| is_number && id != u32::MAX);
    number.ok_or_else(|| invalid(&format!("invalid user or group ID {text:?}")))
}

fn absolute(path: &Path) -> Result<std::path::PathBuf> {
    std::path::absolute(path).at("getcwd", path)
}

/// The container's cgroup, or the one below it that `--cgroup` names.
fn cgroup(container: &Container, words: &Words) -> Result<Option<pyrt_core::cgroup::Cgroup>> {
    let Some(cgroup) = container.cgroup()? else {
        return match words.value("cgroup") {
            None => Ok(None),
            Some(_) => Err(invalid("--cgroup: the container has no cgroup of its own")),
        };
    };
    match words.text("cgroup")? {
        None => cgroup.for_exec(container.record.pid).map(Some),
        Some(path) => cgroup.open_below(path.trim_start_matches('/')).map(Some),
    }
}

/// Whether the container's user namespace lets its processes set supplementary groups.
fn allows_setgroups(init: u32) -> Result<bool> {
    let path = format!("/proc/{init}/setgroups");
    let path = Path::new(&path);
    Ok(read_all(open_host(path, OFlags::RDONLY)?, path, 64)?.starts_with(b"allow"))
}

#[cfg(test)]
mod tests {
    use super::parse_user;

    #[test]
    fn users_are_numbers() {
        assert_eq!(parse_user("1").unwrap(), (1, 0));
        assert_eq!(parse_user("1:2").unwrap(), (1, 2));
        assert_eq!(parse_user("01").unwrap(), (1, 0));
        for user in
            ["", "+1", " 1", "1x", "-1", "4294967295", "4294967296", "0x1", ":5", "5:", "root"]
        {
            assert!(parse_user(user).is_err(), "{user:?}");
        }
    }
}
