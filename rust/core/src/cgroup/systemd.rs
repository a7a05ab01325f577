//! Cgroups made by systemd: a transient scope for each container, delegated to us.
//!
//! A scope is made of a process, so it is asked for when init is there and has not yet gone on. systemd moves it in: that
//! is more than we may do where our own cgroup and the manager's have no delegated one above them, as in a login session.
//!
//! Limits are told to systemd, too, which else would put back its own when it is reloaded, and are then written as they are
//! asked for: systemd rounds, and does not know all.

use std::path::Path;

use crate::cgroup::address::{Address, MANAGER, connect};
use crate::cgroup::dbus::{Body, Connection, Variant};
use crate::cgroup::limits::{PERIOD_US, cpu_weight, swap_max};
use crate::cgroup::place::{find_mount, join, parse_own};
use crate::cgroup::{Cgroup, Resources};
use crate::cpuset;
use crate::error::{Code, Error, Result};
use crate::paths::read_host;

/// The scope of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// `<prefix>-<name>.scope`
    pub unit: String,
    /// Empty for the manager's default.
    slice: String,
}

impl Scope {
    /// Reads `linux.cgroupsPath`, which is `slice:prefix:name` here.
    ///
    /// # Errors
    /// `invalid_spec`.
    pub fn parse(cgroups_path: Option<&str>, id: &str) -> Result<Self> {
        let field = "linux.cgroupsPath";
        let path = cgroups_path.unwrap_or_default();
        if path.is_empty() {
            return Ok(Self { unit: format!("pyrt-{id}.scope"), slice: String::new() });
        }
        let invalid = |message| Err(Error::new(Code::InvalidSpec, field, path, message));
        let parts: Vec<&str> = path.split(':').collect();
        let [slice, prefix, name] = parts[..] else {
            return invalid("expected the format \"slice:prefix:name\" for cgroups by systemd");
        };
        // systemd.unit(5). A `\` would be taken as an escape, `@` as an instance.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if name.is_empty() || !path.chars().all(|c| c == ':' || is_plain(c)) {
            return invalid("is not made of names of units");
        }
        if !slice.is_empty() && !slice.ends_with(".slice") {
            return invalid("does not begin with a slice");
        }
        if name.ends_with(".slice") {
            return invalid("names a slice: a container is a scope");
        }
        let dash = if prefix.is_empty() { "" } else { "-" };
        Ok(Self { unit: format!("{prefix}{dash}{name}.scope"), slice: slice.to_owned() })
    }

    /// The one that was started under this name.
    #[must_use]
    pub fn named(unit: &str) -> Self {
        Self { unit: unit.to_owned(), slice: String::new() }
    }

    /// Whether the manager is the machine's and not a user's: for the machine's own root.
    #[must_use]
    pub fn is_of_the_machine() -> bool {
        rustix::process::geteuid().is_root() && !is_in_user_namespace()
    }

    /// Has systemd make the scope with `pid` in it, and limits it.
    ///
    /// # Errors
    /// `denied` without a manager; systemd's own; the limits'.
    pub fn start(&self, addresses: &[Address], pid: u32, resources: &Resources) -> Result<Cgroup> {
        let mut connection = connect(addresses)?;
        let slice = if !self.slice.is_empty() {
            &self.slice
        } else if Self::is_of_the_machine() {
            "system.slice"
        } else {
            "user.slice"
        };
        let mut properties = vec![
            ("Description", Variant::Text(format!("pyrt container {}", self.unit))),
            ("Slice", Variant::Text(slice.to_owned())),
            ("PIDs", Variant::Numbers(vec![pid])),
            ("Delegate", Variant::Bool(true)),
            ("DefaultDependencies", Variant::Bool(false)),
            // One that failed does not stay for somebody to look at.
            ("CollectMode", Variant::Text("inactive-or-failed".to_owned())),
        ];
        for accounting in ["CPUAccounting", "IOAccounting", "MemoryAccounting", "TasksAccounting"] {
            properties.push((accounting, Variant::Bool(true)));
        }
        properties.extend(limits(resources, PERIOD_US, None)?);
        let mut body = Body::default();
        body.text(&self.unit);
        body.text("replace");
        body.properties(&properties);
        body.array(8, |_| {}); // no further units
        let start = |connection: &mut Connection| {
            connection.call(MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", &body)
        };
        match start(&mut connection) {
            // What an earlier container of this name left behind when it failed.
            Err(error) if error.code == Code::Exists => {
                connection.reset(&self.unit)?;
                start(&mut connection)?;
            }
            result => result?,
        }
        match connection.job_result(&self.unit)?.as_str() {
            "done" => {}
            result => {
                let message = format!("could not make the scope: {result}");
                return Err(Error::new(Code::Kernel, "start", &self.unit, message)
                    .with_hint(format!("look at `journalctl --user -u {}`", self.unit)));
            }
        }
        let cgroup = self.find(pid)?;
        cgroup.apply(resources)?;
        Ok(cgroup)
    }

    /// The cgroup that systemd put the process into.
    fn find(&self, pid: u32) -> Result<Cgroup> {
        let path = format!("/proc/{pid}/cgroup");
        let text = read_host(Path::new(&path), 65536)?;
        let text = String::from_utf8_lossy(&text);
        let inner = parse_own(&text).filter(|path| path.ends_with(&self.unit));
        let (Some(inner), Some(mount)) = (inner, find_mount()?) else {
            let message =
                "its cgroup is out of sight: no cgroup2 is mounted, or a cgroup namespace hides it";
            return Err(Error::new(Code::Kernel, "start", &self.unit, message));
        };
        Cgroup::open(&join(&mount, inner))
    }

    /// Tells systemd new limits, and writes them.
    ///
    /// # Errors
    /// As [`Scope::start`]; the old limits are in force then.
    pub fn update(
        &self,
        addresses: &[Address],
        cgroup: &Cgroup,
        resources: &Resources,
    ) -> Result<()> {
        let now = cgroup.read("cpu.max")?.unwrap_or_default();
        let period = now.split_whitespace().nth(1).and_then(|word| word.parse().ok());
        let memory_now = cgroup.number("memory.max")?.and_then(|bytes| i64::try_from(bytes).ok());
        let mut resources = resources.clone();
        let memory = &mut resources.memory;
        if memory.limit.is_some_and(|limit| limit > 0) && memory.swap.is_none() {
            memory.swap = cgroup.total_limit()?; // before systemd writes the one and the sum is another
        }
        let properties = limits(&resources, period.unwrap_or(PERIOD_US), memory_now)?;
        let mut body = Body::default();
        body.text(&self.unit);
        body.bool(true); // until the end of the unit, not in files
        body.properties(&properties);
        connect(addresses)?.call(MANAGER, "SetUnitProperties", "sba(sv)", &body)?;
        cgroup.update(&resources)
    }

    /// Ends the scope and all in it. One that is gone is done: it goes when its last process does.
    ///
    /// # Errors
    /// systemd's own.
    pub fn stop(&self, addresses: &[Address]) -> Result<()> {
        let mut connection = connect(addresses)?;
        let mut body = Body::default();
        body.text(&self.unit);
        body.text("replace");
        match connection.call(MANAGER, "StopUnit", "ss", &body) {
            Ok(()) => connection.job_result(&self.unit).map(|_| ())?,
            Err(error) if error.code == Code::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        connection.reset(&self.unit)
    }
}

impl Connection {
    /// Has systemd forget a unit that failed.
    fn reset(&mut self, unit: &str) -> Result<()> {
        let mut body = Body::default();
        body.text(unit);
        match self.call(MANAGER, "ResetFailedUnit", "s", &body) {
            Err(error) if error.code == Code::NotFound => Ok(()),
            result => result,
        }
    }
}

/// Whether 0 here is not the machine's.
fn is_in_user_namespace() -> bool {
    let map = read_host(Path::new("/proc/self/uid_map"), 4096).unwrap_or_default();
    let map = String::from_utf8_lossy(&map);
    !map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Limits as properties of a unit (systemd.resource-control(5)); u64::MAX is infinity.
fn limits(
    resources: &Resources,
    period: u64,
    memory_now: Option<i64>,
) -> Result<Vec<(&'static str, Variant)>> {
    let mut properties = Vec::new();
    let mut set = |name, value: u64| properties.push((name, Variant::Number(value)));
    let or_infinity = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
    let memory = &resources.memory;
    if let Some(limit) = memory.limit {
        set("MemoryMax", or_infinity(limit));
    }
    if let Some(reservation) = memory.reservation {
        set("MemoryLow", or_infinity(reservation));
    }
    if let Some(total) = memory.swap {
        set("MemorySwapMax", or_infinity(swap_max(memory.limit.or(memory_now), total)?));
    }
    if let Some(limit) = resources.pids {
        set("TasksMax", or_infinity(if limit == 0 { 1 } else { limit }));
    }
    let cpu = &resources.cpu;
    // Idle has no number in the older of them; cpu.idle is written afterwards.
    if let Some(shares) = cpu.shares.filter(|_| cpu.idle != Some(1)) {
        set("CPUWeight", cpu_weight(shares));
    }
    if let Some(period) = cpu.period {
        set("CPUQuotaPeriodUSec", period);
    }
    if let Some(quota) = cpu.quota {
        let period = cpu.period.unwrap_or(period).max(1);
        // Of a second, in whole percents, rounded up: systemd keeps no more.
        let per_second = u64::try_from(quota).ok().map(|quota| {
            let exact = u128::from(quota) * 1_000_000 / u128::from(period);
            u64::try_from(exact.div_ceil(10_000) * 10_000).unwrap_or(u64::MAX)
        });
        set("CPUQuotaPerSecUSec", per_second.unwrap_or(u64::MAX));
    }
    for (file, text) in &resources.unified {
        if let Some((_, name)) = UNIFIED.iter().find(|(known, _)| known == file) {
            match (text.trim(), text.trim().parse()) {
                ("max", _) => set(name, u64::MAX),
                (_, Ok(number)) => set(name, number),
                _ => {} // `64M`, say: for the kernel alone, which is given the text afterwards
            }
        }
    }
    for (name, list) in [("AllowedCPUs", &cpu.cpus), ("AllowedMemoryNodes", &cpu.mems)] {
        if let Some(list) = list {
            let words = cpuset::parse("linux.resources.cpu", list)?;
            let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            while bytes.last() == Some(&0) {
                bytes.pop();
            }
            properties.push((name, Variant::Bytes(bytes)));
        }
    }
    Ok(properties)
}

/// Files of `unified` that systemd would write, too.
const UNIFIED: [(&str, &str); 7] = [
    ("memory.min", "MemoryMin"),
    ("memory.low", "MemoryLow"),
    ("memory.high", "MemoryHigh"),
    ("memory.max", "MemoryMax"),
    ("memory.swap.max", "MemorySwapMax"),
    ("pids.max", "TasksMax"),
    ("cpu.weight", "CPUWeight"),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Scope, Variant, limits};
    use crate::cgroup::Resources;

    #[test]
    fn a_path_is_a_slice_a_prefix_and_a_name() {
        for (path, unit, slice) in [
            (None, "pyrt-c1.scope", ""),
            (Some(""), "pyrt-c1.scope", ""),
            (Some("user.slice:libpod:9f"), "libpod-9f.scope", "user.slice"),
            (Some(":x:y"), "x-y.scope", ""),
            (Some("a-b.slice::y"), "y.scope", "a-b.slice"),
        ] {
            let scope = Scope::parse(path, "c1").unwrap();
            assert_eq!((scope.unit.as_str(), scope.slice.as_str()), (unit, slice), "{path:?}");
        }
        for path in [
            "/a/b",
            "a:b",
            "a.slice:b:",
            "a:b:c",
            "a.slice:b:c.slice",
            "a.slice:b:c/d",
            "a.slice:b:c\n",
            "::..@x",
        ] {
            assert!(Scope::parse(Some(path), "c1").is_err(), "{path:?}");
        }
    }

    #[test]
    fn limits_become_properties() {
        let document = json!({
            "memory": {"limit": 100, "swap": 150, "reservation": -1},
            "pids": {"limit": 0},
            "cpu": {"quota": 12_345, "shares": 1024, "cpus": "0,9"},
            "unified": {"memory.high": "max", "io.max": "8:0 rbps=1"},
        });
        let resources = Resources::parse(&document, "1.3.0");
        let number = Variant::Number;
        let expected = vec![
            ("MemoryMax", number(100)),
            ("MemoryLow", number(u64::MAX)),
            ("MemorySwapMax", number(50)),
            ("TasksMax", number(1)),
            ("CPUWeight", number(100)),
            ("CPUQuotaPerSecUSec", number(130_000)),
            ("MemoryHigh", number(u64::MAX)),
            ("AllowedCPUs", Variant::Bytes(vec![1, 2])),
        ];
        assert_eq!(limits(&resources.unwrap(), 100_000, None).unwrap(), expected);
    }
}
