//! The bundle directory: everything native code reads. `config.json` is pure runtime-spec; `monitor.json` carries
//! what only the monitor needs.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Code, Error, Result};
use crate::instead::Instead;
use crate::paths::read_host;
use crate::spec::Spec;
use crate::task_limit::TaskLimit;

/// The largest document we read: a config with the default seccomp profile has 40 kB.
const DOCUMENT_BYTES: usize = 16 << 20;

/// `monitor.json`; ours, so unknown fields are refused.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MonitorConfig {
    /// 1.
    pub version: u32,
    /// Container ID.
    pub id: String,
    /// What to mount as the root; none: `root.path` itself.
    #[serde(default)]
    pub rootfs: Option<Rootfs>,
    /// Where output goes.
    #[serde(default)]
    pub log: Option<LogConfig>,
    /// Keep a stdin pipe open for attached clients.
    #[serde(default)]
    pub stdin: bool,
    /// Close it when the first client's stdin ends.
    #[serde(default)]
    pub stdin_once: bool,
    /// What makes the network between created and started.
    #[serde(default)]
    pub network: Option<NetworkConfig>,
    /// Paths to remove when the container has ended and `remove` is set.
    #[serde(default)]
    pub undo: Vec<PathBuf>,
    /// `--rm`.
    #[serde(default)]
    pub remove: bool,
    /// What `stop` sends.
    #[serde(default)]
    pub stop_signal: i32,
    /// How long it is given then.
    #[serde(default)]
    pub stop_timeout_s: f64,
    /// Whether it is started again when it has ended.
    #[serde(default)]
    pub restart: Option<RestartPolicy>,
    /// How long it may run; 0 for ever.
    #[serde(default)]
    pub timeout_ms: u64,
    /// Its probes and hooks, five numbers each: which, first delay, period, timeout (ms), what follows a failure.
    #[serde(default)]
    pub schedule: Vec<u64>,
    /// Who does them.
    #[serde(default)]
    pub helper: String,
    /// Where compiled filters are kept.
    #[serde(default)]
    pub seccomp_cache: Option<PathBuf>,
    /// Make the working directory if the image lacks it.
    #[serde(default)]
    pub create_workdir: bool,
    /// `--init`: the container's first program waits for all others.
    #[serde(default)]
    pub init: bool,
    /// `--pids-limit` where no cgroup can set it.
    #[serde(default)]
    pub task_limit: Option<TaskLimit>,
    /// Limits that no cgroup sets.
    #[serde(default)]
    pub instead: Instead,
    /// Where its receipt is kept, beside exit.json.
    #[serde(default)]
    pub receipt: Option<ReceiptConfig>,
    /// Where it is told what happens to it.
    #[serde(default)]
    pub events: Option<EventsConfig>,
    /// Whether what it uses is written to `history` in the bundle.
    #[serde(default)]
    pub history: bool,
    /// `--alert`.
    #[serde(default)]
    pub alerts: Vec<AlertConfig>,
    /// It holds a pod's namespaces, and runs nothing.
    #[serde(default)]
    pub infra: Option<ExitPolicy>,
    /// Others share its pid namespace.
    #[serde(default)]
    pub has_peers: bool,
}

/// When to start a container again that has ended: in JSON `[1]` always, `[0]` after a failure, `[0, N]` at most N times.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "Vec<u64>")]
pub struct RestartPolicy {
    /// After each end, and not only after a failure.
    pub always: bool,
    /// How often.
    pub limit: Option<u64>,
}

impl TryFrom<Vec<u64>> for RestartPolicy {
    type Error = &'static str;

    fn try_from(numbers: Vec<u64>) -> std::result::Result<Self, Self::Error> {
        match *numbers {
            [always @ (0 | 1)] => Ok(Self { always: always == 1, limit: None }),
            [0, limit] => Ok(Self { always: false, limit: Some(limit) }),
            _ => Err("is no restart policy"),
        }
    }
}

/// What a pod does when the last of its containers has ended.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ExitPolicy {
    /// Nothing.
    Continue,
    /// It ends, too.
    Stop,
}

/// A trigger on the pressure of the container's own cgroup.
///
/// In JSON a list: `[name, file, trigger, command, environment…]`; what serde makes of an object is some kilobytes of code.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct AlertConfig {
    /// As it is told: `memory:full:100ms/2s`, without a character that JSON would escape.
    pub name: String,
    /// The file of the cgroup.
    pub file: String,
    /// What is written to it.
    pub trigger: String,
    /// What a shell runs that hears of it; empty: only the event.
    pub command: String,
    /// Its environment.
    pub env: Vec<String>,
}

impl TryFrom<Vec<String>> for AlertConfig {
    type Error = &'static str;

    fn try_from(mut words: Vec<String>) -> std::result::Result<Self, Self::Error> {
        if words.len() < 4 {
            return Err("an alert has at least four words");
        }
        let env = words.split_off(4);
        let mut word = || words.pop().unwrap_or_default();
        let (command, trigger, file, name) = (word(), word(), word(), word());
        Ok(Self { name, file, trigger, command, env })
    }
}

/// The file of all receipts, one per line.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptConfig {
    /// The file.
    pub path: PathBuf,
    /// Put away as `<path>.1` beyond this.
    pub max_size_bytes: u64,
    /// The container's name.
    pub name: String,
    /// The name of its image.
    pub image: String,
    /// What it says of its pod.
    #[serde(default)]
    pub pod: serde_json::Value,
}

/// The file of all events, one per line.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsConfig {
    /// The file.
    pub path: PathBuf,
    /// Put away as `<path>.1` beyond this.
    pub max_size_bytes: u64,
    /// A JSON object, as text: what each event says of the container.
    pub subject: String,
}

/// An overlay of read-only layers and a writable one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rootfs {
    /// `overlay`.
    #[serde(rename = "type")]
    pub fs_type: RootfsType,
    /// Layer directories, the top one first.
    pub lower: Vec<PathBuf>,
    /// Directories in which files of a layer of metadata have their data ([`crate::tree::share_shifted`]).
    #[serde(default)]
    pub data: Vec<PathBuf>,
    /// The writable layer.
    pub upper: PathBuf,
    /// overlayfs's own.
    pub work: PathBuf,
    /// Skip syncs: the upper does not outlive a crash.
    #[serde(default)]
    pub volatile: bool,
}

/// The file systems that can be a root.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootfsType {
    /// overlayfs with `userxattr`.
    Overlay,
}

/// A k8s-file log.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// The file.
    pub path: PathBuf,
    /// Rotate to `<path>.1` beyond this; 0 never.
    #[serde(default)]
    pub max_size_bytes: u64,
}

/// A helper that connects init's network namespace.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// argv; `{pid}` is replaced by init's pid on the host. Exits 0 when ready. Empty for [`NetworkConfig::bridge`].
    #[serde(default)]
    pub command: Vec<String>,
    /// Connects it with bridge networks.
    #[serde(default)]
    pub bridge: Option<BridgeConfig>,
}

/// Bridge networks, which a supervisor keeps; which they are is in the bundle's `network.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BridgeConfig {
    /// Where the supervisor listens.
    pub socket: PathBuf,
    /// What is published on the host.
    #[serde(default)]
    pub ports: Vec<PortConfig>,
}

/// A port on the host.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortConfig {
    /// None: every address of both kinds.
    pub host_ip: Option<IpAddr>,
    /// On the host.
    pub host_port: u16,
    /// In the container.
    pub container_port: u16,
    /// tcp or udp.
    pub protocol: String,
}

/// Reads and checks `config.json`.
///
/// # Errors
/// `invalid_spec` with line and column; see [`crate::validate`].
pub fn read_spec(bundle: &Path) -> Result<Spec> {
    let spec = parse_spec(&read_host(&bundle.join("config.json"), DOCUMENT_BYTES)?)?;
    crate::validate::validate(&spec)?;
    Ok(spec)
}

/// Parses a `config.json`.
///
/// # Errors
/// `invalid_spec`.
pub fn parse_spec(data: &[u8]) -> Result<Spec> {
    // serde takes an array for a struct, field by field.
    if data.trim_ascii_start().first() == Some(&b'[') {
        return Err(Error::new(Code::InvalidSpec, "read", "config.json", "not an object"));
    }
    serde_json::from_slice(data).map_err(|error| malformed("config.json", &error))
}

/// Reads `monitor.json`.
///
/// # Errors
/// `invalid_spec`.
pub fn read_monitor_config(bundle: &Path) -> Result<MonitorConfig> {
    let data = read_host(&bundle.join("monitor.json"), DOCUMENT_BYTES)?;
    let config: MonitorConfig =
        serde_json::from_slice(&data).map_err(|error| malformed("monitor.json", &error))?;
    if config.version == 1 {
        return Ok(config);
    }
    let message = format!("version {} is not 1", config.version);
    Err(Error::new(Code::InvalidSpec, "read", "monitor.json", message))
}

fn malformed(name: &str, error: &serde_json::Error) -> Error {
    Error::new(Code::InvalidSpec, "read", name, error.to_string())
}
