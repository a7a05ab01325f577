//! Global options, the root, and where errors are told.

use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use pyrt_core::paths::write_all;
use pyrt_core::state::now;
use pyrt_core::{At, Code, Error, Result};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::command_line;

const FLAGS: [&str; 11] = [
    "root=",
    "log=",
    "log-format=",
    "log-level=",
    "debug",
    "systemd-cgroup",
    "cgroup-manager=",
    "rootless=",
    "version,v",
    "help,h",
    "criu=",
];

/// What stands before the verb.
#[derive(Debug, Default)]
pub(super) struct Globals {
    /// `--root`, or the default.
    pub(super) root: PathBuf,
    /// `--log`, `--log-format`.
    pub(super) log: Log,
    /// `--systemd-cgroup`, or `--cgroup-manager systemd`.
    pub(super) systemd_cgroup: bool,
    /// `--cgroup-manager disabled`.
    pub(super) no_cgroup: bool,
    pub(super) wants_version: bool,
    pub(super) wants_help: bool,
}

/// Where errors go beside stderr.
#[derive(Debug, Default)]
pub(super) struct Log {
    target: Option<OsString>,
    is_json: bool,
    /// The file, opened while it is within reach.
    file: OnceCell<OwnedFd>,
}

/// Splits the global options off.
pub(super) fn parse(args: &[OsString]) -> Result<(Globals, Vec<OsString>)> {
    let words = command_line::parse(args, &FLAGS, true)?;
    let is_json = match words.text("log-format")? {
        None | Some("text" | "") => false,
        Some("json") => true,
        Some(other) => {
            return Err(command_line::invalid(&format!("invalid log-format: {other:?}")));
        }
    };
    let target =
        words.value("log").filter(|target| !target.is_empty()).map(place_log).transpose()?;
    let manager = words.text("cgroup-manager")?.unwrap_or_default();
    if !matches!(manager, "" | "systemd" | "cgroupfs" | "disabled") {
        return Err(command_line::invalid(&format!("invalid cgroup-manager: {manager:?}")));
    }
    let globals = Globals {
        root: absolute(words.value("root").map_or_else(default_root, PathBuf::from))?,
        log: Log { target, is_json, file: OnceCell::new() },
        systemd_cgroup: words.is_on("systemd-cgroup")? || manager == "systemd",
        no_cgroup: manager == "disabled",
        wants_version: words.is_on("version")?,
        wants_help: words.is_on("help")?,
    };
    Ok((globals, words.rest))
}

/// Paths are those of where the command was given; verbs change the directory.
fn absolute(path: PathBuf) -> Result<PathBuf> {
    std::path::absolute(&path).at("getcwd", &path)
}

fn place_log(target: &OsStr) -> Result<OsString> {
    let text = target.to_string_lossy();
    if text.starts_with("journald:") || text.starts_with("syslog:") {
        return Ok(target.to_owned());
    }
    let path = text.strip_prefix("file:").map_or_else(|| PathBuf::from(target), PathBuf::from);
    absolute(path).map(PathBuf::into_os_string)
}

/// runc's rule: the runtime directory of a user, who may be root of a namespace of its own; else the machine's.
fn default_root() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let is_user = || {
        !rustix::process::geteuid().is_root() || variable("USER").is_none_or(|user| user != "root")
    };
    match variable("XDG_RUNTIME_DIR") {
        Some(runtime) if is_user() => Path::new(&runtime).join("pyrt-runtime"),
        _ => PathBuf::from("/run/pyrt-runtime"),
    }
}

impl Log {
    /// Tells an error on stderr and in the log, as one object: podman reads exactly one, containerd the last.
    pub(super) fn report(&self, error: &Error, status: i32) -> i32 {
        let text = render(error);
        // Nobody is left to tell if stderr is closed, or the log cannot be written.
        let _ = write_all(rustix::stdio::stderr(), format!("pyrt-runtime: {text}\n").as_bytes());
        if let Some(target) = &self.target {
            let _ = self.append(target, &text);
        }
        status
    }

    /// Tells what is not done and no error; not in the log, where podman reads one object and nothing else.
    pub(super) fn warn(texts: &[String]) {
        for text in texts {
            // As above.
            let line = ["pyrt-runtime: warning: ", text, "\n"].concat();
            let _ = write_all(rustix::stdio::stderr(), line.as_bytes());
        }
    }

    fn append(&self, target: &OsStr, text: &str) -> Result<()> {
        let target = target.to_string_lossy();
        if let Some(identifier) = target.strip_prefix("journald:") {
            let text = format!(
                "PRIORITY=3\nSYSLOG_IDENTIFIER={identifier}\nMESSAGE={}\n",
                text.replace('\n', " ")
            );
            return send_datagram("/run/systemd/journal/socket", &text);
        }
        if let Some(identifier) = target.strip_prefix("syslog:") {
            let identifier = if identifier.is_empty() { "pyrt-runtime" } else { identifier };
            return send_datagram("/dev/log", &format!("<11>{identifier}: {text}"));
        }
        self.open()?;
        let Some(file) = self.file.get() else { return Ok(()) };
        let time = now();
        let line = if self.is_json {
            let object = serde_json::json!({"level": "error", "msg": text, "time": time});
            format!("{object}\n")
        } else {
            format!("time={time:?} level=error msg={text:?}\n")
        };
        write_all(file, line.as_bytes()).at("write", "log")
    }

    /// Whether errors can be told there: who gave the name will look there. Closed again, for the descriptors that are kept
    /// for a program are counted later.
    pub(super) fn check(&self) -> Result<()> {
        let opened = Self { target: self.target.clone(), ..Self::default() };
        opened.open()
    }

    /// Opens the file: whoever joins a container's mount namespace would not find it any more.
    pub(super) fn open(&self) -> Result<()> {
        let target = self.target.as_deref().map(OsStr::to_string_lossy).unwrap_or_default();
        let is_socket = target.starts_with("journald:") || target.starts_with("syslog:");
        if target.is_empty() || is_socket || self.file.get().is_some() {
            return Ok(());
        }
        let path = Path::new(target.strip_prefix("file:").unwrap_or(&target));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o600)).at("open", path)?;
        // It was empty just now.
        let _ = self.file.set(file);
        Ok(())
    }
}

fn send_datagram(path: &str, text: &str) -> Result<()> {
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)
        .at("socket", path)?;
    let address = SocketAddrUnix::new(path).at("connect", path)?;
    rustix::net::connect(&socket, &address).at("connect", path)?;
    write_all(&socket, text.as_bytes()).at("write", path)
}

/// runc's form: callers look for phrases such as `permission denied`, `no such file or directory` and `executable file
/// not found in $PATH`, in lower case.
fn render(error: &Error) -> String {
    let mut text = String::new();
    for part in [&error.step, &error.subject] {
        if !part.is_empty() {
            text.push_str(if text.is_empty() { "" } else { " " });
            text.push_str(part);
        }
    }
    if !text.is_empty() {
        text.push_str(": ");
    }
    if error.errno.is_some() && error.code != Code::InvalidSpec {
        // But SELinux and AppArmor are names.
        let mut letters = error.message.chars();
        let first = letters.next();
        let word = letters.as_str().split(' ').next().unwrap_or_default();
        let is_name = word.bytes().any(|byte| byte.is_ascii_uppercase());
        text.extend(first.map(|letter| if is_name { letter } else { letter.to_ascii_lowercase() }));
        text.push_str(letters.as_str());
    } else {
        text.push_str(&error.message);
    }
    if !error.hint.is_empty() {
        text.push_str(" (hint: ");
        text.push_str(&error.hint);
        text.push(')');
    }
    text
}

/// Makes the root and opens it: ours alone, or containers would be anybody's to name.
///
/// The sticky bit keeps cleaners of XDG_RUNTIME_DIR from what is in use.
pub(super) fn open_root(root: &Path) -> Result<()> {
    let bytes = root.as_os_str().as_bytes();
    if bytes.is_empty() {
        return Err(command_line::invalid("--root: empty"));
    }
    match rustix::fs::mkdir(root, Mode::from_raw_mode(0o1700)) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(rustix::io::Errno::NOENT) if root.parent().is_some_and(|up| up != root) => {
            open_root(root.parent().unwrap_or(root))?;
            open_root(root)
        }
        Err(errno) => Err(errno).at("mkdir", root),
    }
}
