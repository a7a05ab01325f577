//! What `create` and `run` were asked for, read and checked before anything is made.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use pyrt_core::bundle::parse_spec;
use pyrt_core::paths::{c_string, read_host};
use pyrt_core::spec::{Process, Spec};
use pyrt_core::{At, Code, Error, Result, sys, validate};

use super::command_line::{Words, invalid};

pub(super) const RUN_FLAGS: [&str; 11] = [
    "bundle,b=",
    "config,f=",
    "console-socket=",
    "pidfd-socket=",
    "pid-file=",
    "no-pivot",
    "no-new-keyring",
    "preserve-fds=",
    "detach,d",
    "keep",
    "no-subreaper",
];

/// All but the last two: they are about the end.
pub(super) const CREATE_FLAGS: &[&str] = RUN_FLAGS.split_at(RUN_FLAGS.len() - 2).0;

/// A config.json with a seccomp profile has 40 kB.
const DOCUMENT_BYTES: usize = 16 << 20;

/// One container to be.
pub(super) struct Order {
    pub(super) id: String,
    pub(super) bundle: PathBuf,
    /// config.json as it was read.
    pub(super) document: Vec<u8>,
    pub(super) spec: Spec,
    pub(super) pid_file: Option<PathBuf>,
    pub(super) console_socket: Option<PathBuf>,
    pub(super) pidfd_socket: Option<PathBuf>,
    pub(super) kept_fds: u32,
    pub(super) pivots: bool,
    pub(super) new_keyring: bool,
    /// Whether we leave before the container ends.
    pub(super) leaves: bool,
}

impl Order {
    /// Reads it.
    ///
    /// # Errors
    /// `invalid_spec` or `unsupported`, naming the flag or field.
    pub(super) fn read(verb: &str, words: &Words, leaves: bool) -> Result<Self> {
        let kept_fds = kept_descriptors(words, true)?;
        let id = words.only_id(verb)?.to_owned();
        let here = current_directory()?;
        let path = |name| words.value(name).filter(|path| !path.is_empty()).map(|p| here.join(p));
        let (pid_file, console_socket) = (path("pid-file"), path("console-socket"));
        let (pidfd_socket, config) = (path("pidfd-socket"), path("config"));
        let bundle = path("bundle").unwrap_or_else(|| here.clone());
        // Hooks begin where their document lies, and paths in messages are those of the bundle.
        rustix::process::chdir(&bundle).at("chdir", &bundle)?;
        let bundle = current_directory()?;
        let config = config.unwrap_or_else(|| bundle.join("config.json"));
        let document = read_host(&config, DOCUMENT_BYTES)?;
        let mut spec = parse_spec(&document)?;
        validate::validate(&spec)?;
        check_privilege(&spec)?;
        if !spec.makes("pid") {
            seal(&here)?;
        }
        // Without a process it is `start` that fails.
        let mut nothing = Process::default();
        let process = spec.process.as_mut().unwrap_or(&mut nothing);
        if process.terminal && leaves && console_socket.is_none() {
            return Err(invalid(
                "process.terminal: needs --console-socket where the runtime leaves",
            ));
        }
        if !process.terminal && console_socket.is_some() {
            return Err(invalid("--console-socket: process.terminal is not set"));
        }
        if let Some(listen) = listen_fds() {
            process.env.push(format!("LISTEN_FDS={listen}"));
            process.env.push("LISTEN_PID=1".to_owned());
        }
        let (pivots, new_keyring) = (!words.is_on("no-pivot")?, !words.is_on("no-new-keyring")?);
        Ok(Self {
            id,
            bundle,
            document,
            spec,
            pid_file,
            console_socket,
            pidfd_socket,
            kept_fds,
            pivots,
            new_keyring,
            leaves,
        })
    }
}

fn current_directory() -> Result<PathBuf> {
    std::env::current_dir().at("getcwd", "")
}

/// Goes on as a sealed copy of ourselves: others in the container's pid namespace will see us.
fn seal(directory: &Path) -> Result<()> {
    let text = |word: OsString| c_string(&word, "argument");
    let args = std::env::args_os().map(text).collect::<Result<Vec<_>>>()?;
    let variable = |(mut name, value): (OsString, OsString)| {
        name.push("=");
        name.push(value);
        text(name)
    };
    let env = std::env::vars_os().map(variable).collect::<Result<Vec<_>>>()?;
    let before = current_directory()?;
    // Relative paths of the command line are those of where it was given.
    rustix::process::chdir(directory).at("chdir", directory)?;
    sys::sealed::ensure(&args, &env).at("memfd", "pyrt-runtime")?;
    rustix::process::chdir(&before).at("chdir", &before)
}

/// How many descriptors were handed over by socket activation.
fn listen_fds() -> Option<u32> {
    std::env::var("LISTEN_FDS").ok()?.parse().ok().filter(|&count| count > 0)
}

/// How many descriptors after stdio go to the program; all must be open now, before we open any of our own, or ours
/// would be handed in (CVE-2024-21626).
pub(super) fn kept_descriptors(words: &Words, takes_activated: bool) -> Result<u32> {
    let activated = listen_fds().filter(|_| takes_activated).unwrap_or(0);
    let count = words.count("preserve-fds")?.saturating_add(activated);
    match (3..3_u32.saturating_add(count)).find(|&fd| !sys::files::is_open(fd.cast_signed())) {
        Some(fd) => Err(invalid(&format!("--preserve-fds: descriptor {fd} is not open"))),
        None => Ok(count),
    }
}

/// A container needs a user namespace that is not the machine's: its own, or the one that we are in.
fn check_privilege(spec: &Spec) -> Result<()> {
    /// include/uapi/linux/nsfs.h: the machine's user namespace.
    const INITIAL_USER_NAMESPACE: u64 = 0xeffffffd;
    if spec.namespace("user").is_some() {
        return Ok(());
    }
    let own = rustix::fs::stat("/proc/self/ns/user").at("stat", "/proc/self/ns/user")?;
    let message = if !rustix::process::geteuid().is_root() {
        "rootless containers require user namespaces"
    } else if own.st_ino == INITIAL_USER_NAMESPACE {
        "root's containers require user namespaces, too: device rules without one need eBPF"
    } else {
        return Ok(());
    };
    Err(Error::new(Code::Unsupported, "linux.namespaces", "user", message))
}
