//! `spec`: a document to begin with, of runc's shape, since tools edit it with jq.

use std::path::Path;

use pyrt_core::paths::write_all;
use pyrt_core::{At, Code, Error, Result};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde_json::{Value, json};

use super::command_line::Words;
use super::globals::Globals;

/// `spec [--bundle DIR] [--rootless]`
///
/// As a user, and with `--rootless`, the document has a user namespace in which root is that user.
pub(super) fn main(_: &Globals, words: &Words) -> Result<i32> {
    let bundle = words.value("bundle").map_or(Path::new("."), Path::new);
    let path = words.value("file").map_or(Path::new("config.json"), Path::new);
    let path = bundle.join(path);
    let rootless = words.is_on("rootless")? || !rustix::process::geteuid().is_root();
    let text = serde_json::to_string_pretty(&document(rootless)).unwrap_or_default();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = match rustix::fs::open(&path, flags, Mode::from_raw_mode(0o644)) {
        Err(Errno::EXIST) => {
            let message = format!("file {} exists. Remove it first", path.display());
            return Err(Error::new(Code::Exists, "", "", message));
        }
        result => result.at("create", &path)?,
    };
    write_all(&file, format!("{text}\n").as_bytes()).at("write", &path)?;
    Ok(0)
}

fn mount(destination: &str, fs_type: &str, source: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": fs_type, "source": source, "options": options})
}

fn document(rootless: bool) -> Value {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    let mut pts = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    let sys = if rootless {
        mount("/sys", "none", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"])
    } else {
        pts.push("gid=5");
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"])
    };
    let mut kinds = vec!["pid", "ipc", "uts", "mount", "cgroup"];
    kinds.push(if rootless { "user" } else { "network" });
    let namespaces: Vec<Value> = kinds.iter().map(|kind| json!({"type": kind})).collect();
    let mut linux = json!({
        "namespaces": namespaces,
        "maskedPaths": [
            "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
            "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
        ],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    });
    if rootless {
        let map = |id: u32| json!([{"containerID": 0, "hostID": id, "size": 1}]);
        linux["uidMappings"] = map(rustix::process::geteuid().as_raw());
        linux["gidMappings"] = map(rustix::process::getegid().as_raw());
    } else {
        linux["resources"] = json!({"devices": [{"allow": false, "access": "rwm"}]});
    }
    json!({
        "ociVersion": "1.3.0",
        "process": {
            "terminal": true,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "pyrt",
        "mounts": [
            mount("/proc", "proc", "proc", &[]),
            mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", "devpts", &pts),
            mount("/dev/shm", "tmpfs", "shm",
                &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            sys,
            mount("/sys/fs/cgroup", "cgroup", "cgroup",
                &["nosuid", "noexec", "nodev", "relatime", "ro"]),
        ],
        "linux": linux,
    })
}
