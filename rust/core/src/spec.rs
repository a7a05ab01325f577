//! `config.json`, typed: runtime-spec 1.3 as this runtime reads it.
//!
//! Unknown properties are ignored, as the specification asks. A known property that is not applied is a field
//! here all the same, so that `validate` can refuse it by name instead of dropping it in silence.

mod process;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::seccomp::Seccomp;

pub use process::{
    Capabilities, ConsoleSize, CpuAffinity, IoPriority, Process, Rlimit, Scheduler, User,
};

/// The specification that this follows.
pub const VERSION: &str = "1.3.0";

/// podman's `--group-add keep-groups`: the caller's supplementary groups stay (crun's annotation).
const KEEP_GROUPS: &str = "run.oci.keep_original_groups";

/// The annotations that change what is done; no other does.
pub const ANNOTATIONS: [&str; 1] = [KEEP_GROUPS];

/// The document (runtime-spec config.md).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// SemVer of the specification the bundle complies with.
    pub oci_version: String,
    /// The root filesystem.
    pub root: Option<Root>,
    /// Mounts beyond the root, in order.
    #[serde(default, deserialize_with = "or_default")]
    pub mounts: Vec<Mount>,
    /// The program; may be absent until `start`.
    pub process: Option<Process>,
    /// UTS host name.
    pub hostname: Option<String>,
    /// UTS NIS domain name.
    pub domainname: Option<String>,
    /// Lifecycle hooks.
    pub hooks: Option<Hooks>,
    /// Linux-specific configuration.
    pub linux: Option<Linux>,
    /// Arbitrary metadata.
    #[serde(default, deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
    /// Another platform's, refused by name like the next ones.
    pub solaris: Option<Value>,
    /// See `solaris`.
    pub windows: Option<Value>,
    /// See `solaris`.
    pub vm: Option<Value>,
    /// See `solaris`.
    pub zos: Option<Value>,
    /// See `solaris`.
    pub freebsd: Option<Value>,
}

/// config.md#root.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Root {
    /// Absolute, or relative to the bundle.
    pub path: String,
    /// Whether the root must be read-only inside.
    #[serde(default)]
    pub readonly: bool,
}

/// config.md#mounts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// Path inside the container.
    pub destination: String,
    /// File system type; ignored for binds.
    #[serde(default, rename = "type")]
    pub fs_type: Option<String>,
    /// Device or path, relative to the bundle.
    #[serde(default)]
    pub source: Option<String>,
    /// mount(8)-style options.
    #[serde(default, deserialize_with = "or_default")]
    pub options: Vec<String>,
    /// Per-mount ID mapping.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub uid_mappings: Vec<IdMapping>,
    /// Per-mount ID mapping.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub gid_mappings: Vec<IdMapping>,
}

/// config-linux.md.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Linux {
    /// Namespaces to make or join.
    #[serde(default, deserialize_with = "or_default")]
    pub namespaces: Vec<Namespace>,
    /// User IDs of the new user namespace; host IDs are those of the namespace the runtime is in.
    #[serde(default, deserialize_with = "or_default")]
    pub uid_mappings: Vec<IdMapping>,
    /// Group IDs likewise.
    #[serde(default, deserialize_with = "or_default")]
    pub gid_mappings: Vec<IdMapping>,
    /// Clock offsets of a time namespace.
    #[serde(default, deserialize_with = "or_default")]
    pub time_offsets: BTreeMap<String, TimeOffset>,
    /// Device nodes beyond the default ones.
    #[serde(default, deserialize_with = "or_default")]
    pub devices: Vec<Device>,
    /// Network devices to move in.
    pub net_devices: Option<Value>,
    /// Where the cgroup is.
    pub cgroups_path: Option<String>,
    /// cgroup limits.
    pub resources: Option<Value>,
    /// Resource director technology.
    pub intel_rdt: Option<Value>,
    /// set_mempolicy(2).
    pub memory_policy: Option<MemoryPolicy>,
    /// Namespaced kernel parameters.
    #[serde(default, deserialize_with = "or_default")]
    pub sysctl: BTreeMap<String, String>,
    /// System-call filter.
    pub seccomp: Option<Seccomp>,
    /// Propagation of the root mount.
    pub rootfs_propagation: Option<String>,
    /// Paths that cannot be read inside.
    #[serde(default, deserialize_with = "or_default")]
    pub masked_paths: Vec<String>,
    /// Paths that cannot be written inside.
    #[serde(default, deserialize_with = "or_default")]
    pub readonly_paths: Vec<String>,
    /// SELinux context of mounts.
    pub mount_label: Option<String>,
    /// personality(2).
    pub personality: Option<Personality>,
}

/// config-linux.md#offset-for-time-namespace.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TimeOffset {
    /// Seconds.
    pub secs: i64,
    /// And nanoseconds.
    pub nanosecs: u32,
}

/// config-linux.md#memory-policy.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryPolicy {
    /// MPOL_*.
    pub mode: String,
    /// List of nodes.
    pub nodes: String,
    /// MPOL_F_*.
    #[serde(deserialize_with = "or_default")]
    pub flags: Vec<String>,
}

/// config-linux.md#personality.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Personality {
    /// LINUX or LINUX32.
    pub domain: String,
    /// Reserved; none is defined.
    #[serde(deserialize_with = "or_default")]
    pub flags: Vec<String>,
}

/// config.md#posix-platform-hooks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hooks {
    /// Outside, when the namespaces are there and the mounts made; deprecated, before the next.
    #[serde(default, deserialize_with = "or_default")]
    pub prestart: Vec<Hook>,
    /// Outside, at the same time.
    #[serde(default, deserialize_with = "or_default")]
    pub create_runtime: Vec<Hook>,
    /// In the container's namespaces, with the files of the host.
    #[serde(default, deserialize_with = "or_default")]
    pub create_container: Vec<Hook>,
    /// In the container, before the program.
    #[serde(default, deserialize_with = "or_default")]
    pub start_container: Vec<Hook>,
    /// Outside, after the program was executed.
    #[serde(default, deserialize_with = "or_default")]
    pub poststart: Vec<Hook>,
    /// Outside, after the container was deleted.
    #[serde(default, deserialize_with = "or_default")]
    pub poststop: Vec<Hook>,
}

/// One program.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Hook {
    /// Absolute path.
    pub path: String,
    /// argv, argv[0] included.
    #[serde(default, deserialize_with = "or_default")]
    pub args: Vec<String>,
    /// The whole environment.
    #[serde(default, deserialize_with = "or_default")]
    pub env: Vec<String>,
    /// Seconds, more than 0.
    pub timeout: Option<i64>,
}

impl Hooks {
    /// Each list with its name in the document.
    #[must_use]
    pub fn lists(&self) -> [(&'static str, &[Hook]); 6] {
        [
            ("prestart", &self.prestart),
            ("createRuntime", &self.create_runtime),
            ("createContainer", &self.create_container),
            ("startContainer", &self.start_container),
            ("poststart", &self.poststart),
            ("poststop", &self.poststop),
        ]
    }
}

/// config-linux.md#namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// pid network mount ipc uts user cgroup time.
    #[serde(rename = "type")]
    pub kind: String,
    /// An existing one to join.
    #[serde(default, deserialize_with = "or_none", skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// Go writes an absent text as an empty one.
fn or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.filter(|text: &String| !text.is_empty()))
}

/// config-linux.md#user-namespace-mappings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdMapping {
    /// First ID inside.
    #[serde(rename = "containerID")]
    pub container_id: u32,
    /// First ID outside.
    #[serde(rename = "hostID")]
    pub host_id: u32,
    /// How many.
    pub size: u32,
}

/// config-linux.md#devices.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// c, b, u or p.
    #[serde(rename = "type")]
    pub kind: String,
    /// Path inside the container.
    pub path: String,
    /// Device numbers.
    pub major: Option<i64>,
    /// Device numbers.
    pub minor: Option<i64>,
    /// Mode bits.
    pub file_mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
}

/// Go writes an absent list or map as `null`.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    d: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

impl Spec {
    /// Whether the program keeps the supplementary groups that its caller has.
    #[must_use]
    pub fn keeps_groups(&self) -> bool {
        self.annotations.get(KEEP_GROUPS).is_some_and(|value| value == "1")
    }

    /// Whether a new namespace of this type is asked for (no path).
    #[must_use]
    pub fn makes(&self, kind: &str) -> bool {
        self.namespaces().iter().any(|namespace| namespace.kind == kind && namespace.path.is_none())
    }

    /// The namespace of this type, made or joined.
    #[must_use]
    pub fn namespace(&self, kind: &str) -> Option<&Namespace> {
        self.namespaces().iter().find(|namespace| namespace.kind == kind)
    }

    /// All namespaces of the document.
    #[must_use]
    pub fn namespaces(&self) -> &[Namespace] {
        self.linux.as_ref().map_or(&[], |linux| linux.namespaces.as_slice())
    }
}
