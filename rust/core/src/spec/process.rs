//! `process`: the program and how it runs.

use serde::{Deserialize, Serialize};

use super::or_default;

/// config.md#process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Whether a terminal is attached.
    #[serde(default)]
    pub terminal: bool,
    /// Its size at the beginning.
    pub console_size: Option<ConsoleSize>,
    /// IDs inside the container.
    #[serde(default)]
    pub user: User,
    /// argv; the first is looked up in PATH.
    #[serde(default, deserialize_with = "or_default")]
    pub args: Vec<String>,
    /// `NAME=value`.
    #[serde(default, deserialize_with = "or_default")]
    pub env: Vec<String>,
    /// Absolute working directory.
    pub cwd: String,
    /// The five sets.
    pub capabilities: Option<Capabilities>,
    /// setrlimit(2).
    #[serde(default, deserialize_with = "or_default")]
    pub rlimits: Vec<Rlimit>,
    /// prctl(PR_SET_NO_NEW_PRIVS).
    #[serde(default)]
    pub no_new_privileges: bool,
    /// AppArmor profile for the program.
    pub apparmor_profile: Option<String>,
    /// SELinux label for the program.
    pub selinux_label: Option<String>,
    /// /proc/self/oom_score_adj.
    pub oom_score_adj: Option<i32>,
    /// sched_setattr(2).
    pub scheduler: Option<Scheduler>,
    /// ioprio_set(2).
    pub io_priority: Option<IoPriority>,
    /// CPU affinity of exec.
    #[serde(rename = "execCPUAffinity")]
    pub exec_cpu_affinity: Option<CpuAffinity>,
}

impl Process {
    /// Takes over from the container's process what this one leaves open, as runc does: an exec without capabilities,
    /// labels or limits of its own is not free of the container's.
    pub fn inherit(&mut self, container: &Self) {
        fn fill<T: Clone>(own: &mut Option<T>, other: &Option<T>, is_empty: fn(&T) -> bool) {
            if own.as_ref().is_none_or(is_empty) {
                own.clone_from(other);
            }
        }
        fill(&mut self.capabilities, &container.capabilities, |_| false);
        fill(&mut self.apparmor_profile, &container.apparmor_profile, String::is_empty);
        fill(&mut self.selinux_label, &container.selinux_label, String::is_empty);
        fill(&mut self.scheduler, &container.scheduler, |_| false);
        fill(&mut self.io_priority, &container.io_priority, |_| false);
        fill(&mut self.exec_cpu_affinity, &container.exec_cpu_affinity, |_| false);
        if self.rlimits.is_empty() {
            self.rlimits.clone_from(&container.rlimits);
        }
    }
}

/// config.md#linux-process, scheduler.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Scheduler {
    /// SCHED_OTHER and its kin.
    pub policy: String,
    /// -20 to 19.
    pub nice: i32,
    /// Of SCHED_FIFO and SCHED_RR.
    pub priority: i32,
    /// SCHED_FLAG_*.
    #[serde(deserialize_with = "or_default")]
    pub flags: Vec<String>,
    /// Nanoseconds of SCHED_DEADLINE.
    pub runtime: u64,
    /// Nanoseconds of SCHED_DEADLINE.
    pub deadline: u64,
    /// Nanoseconds of SCHED_DEADLINE.
    pub period: u64,
}

/// config.md#linux-process, ioPriority.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct IoPriority {
    /// IOPRIO_CLASS_RT, IOPRIO_CLASS_BE or IOPRIO_CLASS_IDLE.
    pub class: String,
    /// 0, the first served, to 7.
    #[serde(default)]
    pub priority: i32,
}

/// config.md#linux-process, execCPUAffinity: lists of CPUs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuAffinity {
    /// Of the runtime, until the process is in the container's cgroup.
    pub initial: String,
    /// Of the process.
    #[serde(rename = "final")]
    pub last: String,
}

/// config.md#process, consoleSize.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct ConsoleSize {
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

/// config.md#posix-platform-user.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// User ID inside.
    #[serde(default)]
    pub uid: u32,
    /// Group ID inside.
    #[serde(default)]
    pub gid: u32,
    /// umask(2) of the program; 0022 if absent.
    pub umask: Option<u32>,
    /// Supplementary groups.
    #[serde(default, deserialize_with = "or_default")]
    pub additional_gids: Vec<u32>,
}

/// config.md#linux-process, capabilities.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Capabilities {
    /// Limits what the process can gain.
    #[serde(default, deserialize_with = "or_default")]
    pub bounding: Vec<String>,
    /// Checked by the kernel.
    #[serde(default, deserialize_with = "or_default")]
    pub effective: Vec<String>,
    /// Kept across execve by files that allow it.
    #[serde(default, deserialize_with = "or_default")]
    pub inheritable: Vec<String>,
    /// May be made effective.
    #[serde(default, deserialize_with = "or_default")]
    pub permitted: Vec<String>,
    /// Kept across execve without file capabilities.
    #[serde(default, deserialize_with = "or_default")]
    pub ambient: Vec<String>,
}

/// config.md#posix-process, rlimits.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Rlimit {
    /// `RLIMIT_NOFILE` and its kin.
    #[serde(rename = "type")]
    pub kind: String,
    /// Soft limit.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}
