//! Alerts: the kernel says that processes of the container have waited too long for a CPU, for memory or for IO
//! (accounting/psi.rst, Monitoring for pressure thresholds); it is told as an event, and to a program of the user's.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use pyrt_core::bundle::AlertConfig;
use pyrt_core::paths::{c_string, open_host};
use pyrt_core::sys::spawn::{Command, spawn};
use pyrt_core::{At, Code, Error, Result};
use rustix::event::PollFlags;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions};

/// What runs a command.
const SHELL: &str = "/bin/sh";

/// One trigger on the container's own cgroup.
#[derive(Debug)]
pub(super) struct Alert {
    config: AlertConfig,
    /// None once the cgroup is gone.
    trigger: Option<OwnedFd>,
    /// The program that was told and still runs: it is not told again meanwhile.
    running: Option<OwnedFd>,
}

impl Alert {
    /// Asks the kernel for all alerts of a container.
    ///
    /// # Errors
    /// `unsupported` where the container has no cgroup of its own or the kernel tells no pressure; `kernel`.
    pub(super) fn set_all(configs: &[AlertConfig], cgroup: Option<&OwnedFd>) -> Result<Vec<Self>> {
        configs.iter().map(|config| Self::set(config, cgroup)).collect()
    }

    fn set(config: &AlertConfig, cgroup: Option<&OwnedFd>) -> Result<Self> {
        let refuse = |reason: &str, hint: &str| {
            Error::new(Code::Unsupported, "--alert", &*config.name, reason).with_hint(hint)
        };
        let Some(cgroup) = cgroup else {
            let hint = "see pyrt doctor for how to have one";
            return Err(refuse("the container has no cgroup of its own", hint));
        };
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let silent = || refuse("this kernel tells no pressure", "boot it with psi=1");
        let trigger = match rustix::fs::openat(cgroup, &config.file, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::OPNOTSUPP) => return Err(silent()),
            opened => opened.at("open", &config.file)?,
        };
        match rustix::io::write(&trigger, config.trigger.as_bytes()) {
            Err(Errno::OPNOTSUPP) => return Err(silent()),
            written => written.at("--alert", &config.name)?,
        };
        Ok(Self { config: config.clone(), trigger: Some(trigger), running: None })
    }

    /// What to poll: for the kernel's word, and for the end of the program.
    pub(super) fn sources(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let trigger = self.trigger.as_ref().map(|fd| (fd.as_fd(), PollFlags::PRI));
        trigger.into_iter().chain(self.running.as_ref().map(|fd| (fd.as_fd(), PollFlags::IN)))
    }

    /// The name of the alert if it was reached.
    pub(super) fn look(&mut self, flags: PollFlags) -> Option<String> {
        if flags.contains(PollFlags::IN) {
            self.reap();
        }
        if flags.contains(PollFlags::ERR) {
            self.trigger = None; // and would be ready for ever
            return None;
        }
        flags.contains(PollFlags::PRI).then(|| self.config.name.clone())
    }

    /// Starts the program that is to hear of it, unless it still runs.
    ///
    /// # Errors
    /// `exec`.
    pub(super) fn run(&mut self) -> Result<()> {
        if self.config.command.is_empty() || self.running.is_some() {
            return Ok(());
        }
        let word = |word: &str| c_string(word.as_ref(), "--alert");
        let args = [word(SHELL)?, word("-c")?, word(&self.config.command)?];
        let env =
            self.config.env.iter().map(|text| word(text)).collect::<Result<Vec<CString>>>()?;
        let null = open_host(Path::new("/dev/null"), OFlags::RDWR)?;
        let pidfd = spawn(&Command {
            program: &args[0],
            args: &args,
            env: &env,
            stdio: [null.as_fd(); 3],
            keep: &[],
        })
        .at("exec", SHELL)?;
        self.running = Some(pidfd);
        Ok(())
    }

    fn reap(&mut self) {
        if let Some(pidfd) = self.running.take() {
            // ECHILD would mean that it is reaped.
            let _ = rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
        }
    }
}
