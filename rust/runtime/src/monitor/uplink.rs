//! pasta, which connects init's network namespace: run between created and started, gone with us.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use pyrt_core::bundle::NetworkConfig;
use pyrt_core::paths::open_host;
use pyrt_core::sys::spawn::{Command, spawn};
use pyrt_core::{At, Code, Error, Result, shaper};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, WaitId, WaitIdOptions};

use super::Job;
use super::bridged::Bridged;

/// A helper that is not ready by then is not going to be.
const READY_SECONDS: i64 = 20;

/// Connects the container, whose init's pid this is, and limits what it sends; its place in bridge networks.
pub(super) fn connect(job: &Job, pid: u32, netns: Option<&OwnedFd>) -> Result<Option<Bridged>> {
    let Some(network) = &job.config.network else { return Ok(None) };
    let bridged = match (&network.bridge, netns) {
        (Some(bridge), Some(netns)) => {
            Some(Bridged::connect(bridge, &job.bundle, netns, job.is_again)?)
        }
        _ => {
            run_for(network, pid)?;
            None
        }
    };
    if let Some((rate, netns)) = job.config.instead.network_rate.zip(netns) {
        shaper::limit(netns.as_fd(), rate)?;
    }
    Ok(bridged)
}

fn run_for(config: &NetworkConfig, pid: u32) -> Result<()> {
    // For `--userns host`: passt gives up the right to look into init before it opens init's namespace by path,
    // and in the same user namespace it has no other. What we opened, it inherits.
    let netns = if config.command.iter().any(|word| word.contains("{netns}")) {
        Some(open_host(Path::new(&format!("/proc/{pid}/ns/net")), OFlags::RDONLY)?)
    } else {
        None
    };
    run(&config.command, netns.as_ref(), &pid.to_string())
}

/// Runs the helper until it says, by exiting 0, that it is ready; what stays behind of it is our child. `{pid}` and
/// `{netns}` in its command line stand for a process and for the descriptor that it gets.
pub(crate) fn run(command: &[String], netns: Option<&OwnedFd>, pid: &str) -> Result<()> {
    let kept = netns.map(AsFd::as_fd);
    let number = netns.map_or(-1, AsRawFd::as_raw_fd);
    let fill = |word: &String| {
        word.replace("{pid}", pid).replace("{netns}", &format!("/proc/self/fd/{number}"))
    };
    let words: Vec<String> = command.iter().map(fill).collect();
    let name = words.first().map_or("", String::as_str);
    let args = words
        .iter()
        .map(|word| pyrt_core::paths::c_string(word.as_ref(), "network.command"))
        .collect::<Result<Vec<CString>>>()?;
    let program = args
        .first()
        .ok_or_else(|| Error::new(Code::InvalidSpec, "monitor.json", "network.command", "empty"))?;
    let null = open_host(Path::new("/dev/null"), OFlags::RDWR)?;
    let (stderr, write) = pipe_with(PipeFlags::CLOEXEC).at("pipe", name)?;
    let command = Command {
        program,
        args: &args,
        env: &[],
        stdio: [null.as_fd(), null.as_fd(), write.as_fd()],
        keep: kept.as_slice(),
    };
    let pidfd = spawn(&command).at("exec", name)?;
    drop(write);
    wait_ready(&pidfd, &stderr, name)
}

fn wait_ready(pidfd: &OwnedFd, stderr: &OwnedFd, name: &str) -> Result<()> {
    let mut wait = [PollFd::new(pidfd, PollFlags::IN)];
    let timeout = Timespec { tv_sec: READY_SECONDS, tv_nsec: 0 };
    let ready = rustix::io::retry_on_intr(|| poll(&mut wait, Some(&timeout))).at("poll", name)?;
    if ready == 0 {
        // ESRCH: it ended this very moment; the wait below says how.
        let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
    }
    let id = || WaitId::PidFd(pidfd.as_fd());
    let status = rustix::io::retry_on_intr(|| rustix::process::waitid(id(), WaitIdOptions::EXITED))
        .at("wait", name)?;
    if status.and_then(|status| status.exit_status()) == Some(0) {
        return Ok(());
    }
    let words = read_available(stderr, name)?;
    let message = if ready == 0 { "is not ready in time".to_owned() } else { last_line(&words) };
    Err(Error::new(Code::Denied, "network", name, message))
}

/// What was said until now: a daemon that stays behind may keep the pipe open for ever.
fn read_available(stderr: &OwnedFd, name: &str) -> Result<String> {
    rustix::io::ioctl_fionbio(stderr, true).at("ioctl", name)?;
    let mut text = Vec::new();
    let mut chunk = [0_u8; 4096];
    while let Ok(count @ 1..) = rustix::io::read(stderr, &mut chunk) {
        text.extend_from_slice(&chunk[..count]);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The helper's last words, or those before a usage text, without the clock that passt puts before them.
fn last_line(words: &str) -> String {
    let said = words.trim().split("\nUsage:").next().unwrap_or_default().trim();
    // A machine without syslog makes passt complain of that after each of its lines.
    let is_about_syslog = |line: &&str| line.ends_with("to syslog");
    let line = said.lines().rfind(|line| !is_about_syslog(line)).unwrap_or("failed without a word");
    match line.split_once(": ") {
        Some((head, rest)) if head.chars().all(|c| c.is_ascii_digit() || c == '.') => {
            rest.to_owned()
        }
        _ => line.to_owned(),
    }
}
