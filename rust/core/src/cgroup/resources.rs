//! `linux.resources`, typed (config-linux.md#control-groups), and read by hand: derived readers of a dozen structs cost
//! more of the binary than all of this, and would not name the property that is wrong.
//!
//! Null, an empty object and the words for "unlimited" of version 1 say nothing or ask for nothing. What only version 1
//! can do is refused by name, here, before anything is made.

use serde_json::Value;

use crate::cgroup::object::Object;
use crate::cgroup::place::check_name;
use crate::error::{Code, Error, Result};
use crate::spec::Spec;

/// Where in the document it stands.
const ROOT: &str = "linux.resources";

/// What the container may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Bytes.
    pub memory: Memory,
    /// Shares of time and the CPUs themselves.
    pub cpu: Cpu,
    /// Tasks; -1 is no limit, 0 is one.
    pub pids: Option<i64>,
    /// Block devices.
    pub block_io: BlockIo,
    /// Page size (`2MB`) and bytes.
    pub huge_pages: Vec<(String, u64)>,
    /// Device, and the two limits as `hca_handle=2 hca_object=max`.
    pub rdma: Vec<(String, String)>,
    /// File name and content, as they are.
    pub unified: Vec<(String, String)>,
    /// Rules of the device cgroup, in order.
    pub devices: Vec<DeviceRule>,
}

/// config-linux.md#memory. -1 is unlimited; 0 says nothing, as everywhere since version 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// What may be used.
    pub limit: Option<i64>,
    /// What is protected from reclaim.
    pub reservation: Option<i64>,
    /// Memory and swap together.
    pub swap: Option<i64>,
    /// Refuse a limit that is used up already.
    pub check_before_update: bool,
}

/// config-linux.md#cpu.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Version 1's weight, 2 to 262144.
    pub shares: Option<u64>,
    /// Microseconds per period; -1 is unlimited.
    pub quota: Option<i64>,
    /// Microseconds that may be saved up.
    pub burst: Option<u64>,
    /// Microseconds.
    pub period: Option<u64>,
    /// 1: only when nobody else wants the CPU.
    pub idle: Option<i64>,
    /// A list as in cpuset(7).
    pub cpus: Option<String>,
    /// A list of memory nodes.
    pub mems: Option<String>,
}

/// config-linux.md#block-io.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockIo {
    /// 10 to 1000.
    pub weight: Option<u64>,
    /// Device and weight.
    pub device_weights: Vec<(Device, u64)>,
    /// Key of io.max, device and rate per second.
    pub rates: Vec<(&'static str, Device, u64)>,
}

/// A block device, as `major:minor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device(pub u32, pub u32);

/// config-linux.md#allowed-device-list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    /// Whether it allows.
    pub allow: bool,
    /// `a`, `b` or `c`.
    pub kind: char,
    /// None is any.
    pub major: Option<i64>,
    /// None is any.
    pub minor: Option<i64>,
    /// Whether it is about reading.
    pub read: bool,
    /// Whether it is about writing.
    pub write: bool,
}

/// blockIO.throttle…Device, and the key of io.max.
const RATES: [(&str, &str); 4] = [
    ("throttleReadBpsDevice", "rbps"),
    ("throttleWriteBpsDevice", "wbps"),
    ("throttleReadIOPSDevice", "riops"),
    ("throttleWriteIOPSDevice", "wiops"),
];

/// What only version 1 can do: object, property, and the value that asks for nothing.
const VERSION_1: [(&str, &str, &str); 8] = [
    ("memory", "swappiness", "-1"),
    ("memory", "disableOOMKiller", "false"),
    ("memory", "useHierarchy", "true"), // the only way of version 2
    ("cpu", "realtimeRuntime", "0"),
    ("cpu", "realtimePeriod", "0"),
    ("blockIO", "leafWeight", "0"),
    ("network", "classID", "0"),
    ("network", "priorities", "[]"),
];

impl Resources {
    /// Those of a document.
    ///
    /// # Errors
    /// As [`Resources::parse`].
    pub fn of(spec: &Spec) -> Result<Self> {
        let value = spec.linux.as_ref().and_then(|linux| linux.resources.as_ref());
        let resources = value
            .map_or_else(|| Ok(Self::default()), |value| Self::parse(value, &spec.oci_version))?;
        resources.check_devices(spec)?;
        Ok(resources)
    }

    /// Reads `linux.resources` of a document of this version, or what `update` takes.
    ///
    /// # Errors
    /// `invalid_spec` or `unsupported`, naming the property.
    pub fn parse(value: &Value, oci_version: &str) -> Result<Self> {
        let root = Object::new(ROOT.to_owned(), Some(value))?;
        for (object, property, nothing) in VERSION_1 {
            root.object(object)?.refuse_version_1(property, nothing)?;
        }
        Ok(Self {
            memory: memory(&root.object("memory")?)?,
            cpu: cpu(&root.object("cpu")?)?,
            pids: pids(&root.object("pids")?, oci_version)?,
            block_io: block_io(&root.object("blockIO")?)?,
            huge_pages: huge_pages(&root)?,
            rdma: rdma(&root.object("rdma")?)?,
            unified: unified(&root.object("unified")?)?,
            devices: devices(&root)?,
        })
    }

    /// The controllers without which what is asked cannot be.
    #[must_use]
    pub fn controllers(&self) -> Vec<&str> {
        let Memory { limit, reservation, swap, .. } = self.memory;
        let cpu = &self.cpu;
        let is_limit = |value: Option<i64>| value.is_some_and(|value| value > 0);
        let asks_io = self.block_io != BlockIo::default();
        let fixed = [
            ("memory", is_limit(limit) || is_limit(reservation) || is_limit(swap)),
            (
                "cpu",
                cpu.shares.is_some_and(|shares| shares != NORMAL_SHARES)
                    || is_limit(cpu.quota)
                    || cpu.idle == Some(1)
                    || cpu.burst > Some(0),
            ),
            ("cpuset", cpu.cpus.is_some() || cpu.mems.is_some()),
            ("pids", self.pids.is_some_and(|limit| limit >= 0)),
            ("io", asks_io),
            ("hugetlb", !self.huge_pages.is_empty()),
            ("rdma", !self.rdma.is_empty()),
        ];
        let mut wanted: Vec<&str> =
            fixed.into_iter().filter(|(_, asked)| *asked).map(|(name, _)| name).collect();
        let unified = self.unified.iter().filter_map(|(file, _)| file.split('.').next());
        // cgroup.* is the core's, which every cgroup has.
        wanted.extend(unified.filter(|name| *name != "cgroup"));
        wanted
    }

    /// Rules of the device cgroup need eBPF, which an unprivileged user may not load. The default denial holds without:
    /// in a user namespace no device node can be made, so what is not bound in cannot be opened, and an allowance adds
    /// nothing to that. What cannot be is to deny, or to allow by halves, a node that the document itself puts there.
    fn check_devices(&self, spec: &Spec) -> Result<()> {
        for device in spec.linux.iter().flat_map(|linux| &linux.devices) {
            let kind = if device.kind == "u" { "c" } else { &device.kind };
            let (Some(major), Some(minor)) = (device.major, device.minor) else { continue };
            // Every container has these, whatever the rules say (config-linux.md#default-devices).
            if kind == "c" && DEFAULT_DEVICES.contains(&(major, minor)) {
                continue;
            }
            let mut granted: Option<(bool, bool)> = None;
            for rule in self.devices.iter().filter(|rule| rule.names(kind, major, minor)) {
                let (read, write) = granted.unwrap_or((!rule.allow, !rule.allow));
                let allow = |before, concerned: bool| if concerned { rule.allow } else { before };
                granted = Some((allow(read, rule.read), allow(write, rule.write)));
            }
            // Rules about all devices are the default denial or a privileged container's allowance; a node that only
            // they are about is there because it was asked for.
            if granted.is_some_and(|(read, write)| !read || !write) {
                let step = format!("{ROOT}.devices");
                let message = "cannot be denied to a container that has it: device rules need eBPF, and so root";
                return Err(Error::new(Code::Unsupported, step, &device.path, message)
                    .with_hint("allow it `rwm`, or leave it out of linux.devices"));
            }
        }
        Ok(())
    }
}

/// What every cgroup has that nobody gave another weight: Docker and ctr ask for it with each container, also where no
/// cgroup can be had, and are given it by its absence.
pub(super) const NORMAL_SHARES: u64 = 1024;

/// null, zero, full, random, urandom, tty.
const DEFAULT_DEVICES: [(i64, i64); 6] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0)];

impl DeviceRule {
    /// Whether it is about this device and not about all of a kind.
    fn names(&self, kind: &str, major: i64, minor: i64) -> bool {
        kind.starts_with(self.kind)
            && self.major == Some(major)
            && self.minor.is_none_or(|any| any == minor)
    }
}

fn memory(object: &Object<'_>) -> Result<Memory> {
    // `kernel` and `kernelTCP` are not read: on version 2 kernel memory is part of what `limit` limits, and there is no
    // limit of its own. They are "not recommended", runc ignores them, and so docker and containerd may send them.
    let memory = Memory {
        limit: object.integer("limit", -1)?.filter(|bytes| *bytes != 0),
        reservation: object.integer("reservation", -1)?.filter(|bytes| *bytes != 0),
        swap: object.integer("swap", -1)?.filter(|bytes| *bytes != 0),
        check_before_update: object.boolean("checkBeforeUpdate")?,
    };
    Ok(memory)
}

fn cpu(object: &Object<'_>) -> Result<Cpu> {
    let cpu = Cpu {
        shares: object.unsigned("shares")?.filter(|shares| *shares != 0),
        // Negative, as the specification has it, is without limit.
        quota: object.integer("quota", i64::MIN)?.filter(|quota| *quota != 0),
        burst: object.unsigned("burst")?,
        period: object.unsigned("period")?.filter(|period| *period != 0),
        idle: object.integer("idle", 0)?,
        cpus: object.list_of_numbers("cpus")?,
        mems: object.list_of_numbers("mems")?,
    };
    if cpu.idle.is_some_and(|idle| idle > 1) {
        return Err(object.invalid("idle", "is neither 0 nor 1"));
    }
    Ok(cpu)
}

/// Since 1.3 a limit of 0 is one. Before that the property was required, and callers said 0 for none, as podman does for
/// `--pids-limit=-1`.
fn pids(object: &Object<'_>, oci_version: &str) -> Result<Option<i64>> {
    let mut numbers = oci_version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let is_new = (numbers.next(), numbers.next()) >= (Some(1), Some(3));
    Ok(object
        .integer("limit", i64::MIN)?
        .map(|limit| limit.max(-1))
        .filter(|limit| is_new || *limit != 0))
}

fn block_io(object: &Object<'_>) -> Result<BlockIo> {
    let weight_of = |object: &Object<'_>| {
        let weight = object.unsigned("weight")?.filter(|weight| *weight != 0);
        match weight {
            Some(weight) if !(10..=1000).contains(&weight) => {
                Err(object.invalid("weight", "is not between 10 and 1000"))
            }
            weight => Ok(weight),
        }
    };
    let mut block_io = BlockIo { weight: weight_of(object)?, ..BlockIo::default() };
    for device in object.list("weightDevice")? {
        device.refuse_version_1("leafWeight", "0")?;
        if let Some(weight) = weight_of(&device)? {
            block_io.device_weights.push((device_numbers(&device)?, weight));
        }
    }
    for (list, key) in RATES {
        for device in object.list(list)? {
            let rate = device.unsigned("rate")?.unwrap_or_default();
            block_io.rates.push((key, device_numbers(&device)?, rate));
        }
    }
    Ok(block_io)
}

fn huge_pages(root: &Object<'_>) -> Result<Vec<(String, u64)>> {
    let mut limits = Vec::new();
    for object in root.list("hugepageLimits")? {
        let size = object.text("pageSize")?.unwrap_or_default();
        // `<number><K|M|G>B`, which becomes part of a file's name.
        let number =
            size.strip_suffix("KB").or(size.strip_suffix("MB")).or(size.strip_suffix("GB"));
        let is_number =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !number.is_some_and(is_number) {
            return Err(object.invalid("pageSize", "is no size as `2MB`"));
        }
        let limit = object.unsigned("limit")?.ok_or_else(|| object.invalid("limit", "missing"))?;
        limits.push((size.to_owned(), limit));
    }
    Ok(limits)
}

fn rdma(root: &Object<'_>) -> Result<Vec<(String, String)>> {
    let mut limits = Vec::new();
    for name in root.names() {
        let object = root.object(name)?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_plain) {
            return Err(root.invalid(name, "is no device's name"));
        }
        let mut text = String::new();
        for (property, key) in [("hcaHandles", "hca_handle"), ("hcaObjects", "hca_object")] {
            if let Some(number) = object.unsigned(property)? {
                text.push_str(&format!(" {key}={number}"));
            }
        }
        if text.is_empty() {
            return Err(root.invalid(name, "limits neither hcaHandles nor hcaObjects"));
        }
        limits.push((name.clone(), text));
    }
    Ok(limits)
}

fn unified(root: &Object<'_>) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for name in root.names() {
        // CVE class of path injection: a name is one component and belongs to a controller.
        check_name("linux.resources.unified", name)?;
        if name.split('.').count() < 2 || name.starts_with('.') {
            return Err(root.invalid(name, "is not of the form controller.parameter"));
        }
        let text = root.text(name)?.unwrap_or_default();
        if text.contains('\0') {
            return Err(root.invalid(name, "contains a NUL byte"));
        }
        files.push((name.clone(), text.to_owned()));
    }
    Ok(files)
}

fn devices(root: &Object<'_>) -> Result<Vec<DeviceRule>> {
    let mut rules = Vec::new();
    for object in root.list("devices")? {
        let kind = match object.text("type")?.unwrap_or("a") {
            "" | "a" => 'a',
            "b" => 'b',
            "c" | "u" => 'c',
            _ => return Err(object.invalid("type", "is none of a, b and c")),
        };
        let access = object.text("access")?.unwrap_or("rwm");
        if access.is_empty() || !access.chars().all(|letter| "rwm".contains(letter)) {
            return Err(object.invalid("access", "is not made of r, w and m"));
        }
        // -1 is any, as runc's own state has it.
        let number = |name| Ok(object.integer(name, -1)?.filter(|number| *number >= 0));
        rules.push(DeviceRule {
            allow: object.boolean("allow")?,
            kind,
            major: number("major")?,
            minor: number("minor")?,
            read: access.contains('r'),
            write: access.contains('w'),
        });
    }
    Ok(rules)
}

fn device_numbers(object: &Object<'_>) -> Result<Device> {
    let number = |name| {
        let number = object.unsigned(name)?.ok_or_else(|| object.invalid(name, "missing"))?;
        u32::try_from(number).map_err(|_| object.invalid(name, "is no device number"))
    };
    Ok(Device(number("major")?, number("minor")?))
}
