//! Resources written to the files of a cgroup (config-linux.md#control-groups → cgroup-v2.rst).
//!
//! At create and at update alike: the kernel remembers what is not written, so an update writes what it was given.

use rustix::io::Errno;

use crate::cgroup::controllers::enable;
use crate::cgroup::place::find_mount;
use crate::cgroup::resources::{BlockIo, Cpu, Device, Memory, NORMAL_SHARES, Resources};
use crate::cgroup::{Cgroup, Place, absent};
use crate::error::{Code, Error, Result};

/// The kernel's own period, in microseconds.
pub(super) const PERIOD_US: u64 = 100_000;

/// The files with one value, in the order in which they are put back: a quota before the burst within it.
const SINGLE_VALUES: [&str; 11] = [
    "pids.max",
    "memory.max",
    "memory.low",
    "memory.swap.max",
    "cpu.idle",
    "cpu.weight",
    "cpu.max",
    "cpu.max.burst",
    "cpuset.cpus",
    "cpuset.mems",
    "io.weight",
];

impl Resources {
    /// Writes them to a cgroup that is there already, or says that there is none to write them to.
    ///
    /// # Errors
    /// As [`Cgroup::apply`]; `denied` for limits without a cgroup.
    pub fn apply_to(&self, cgroup: Option<&Cgroup>) -> Result<()> {
        match cgroup {
            Some(cgroup) => cgroup.apply(self),
            None => Place::without(self, "none is delegated to this user").map(|_| ()),
        }
    }
}

impl Cgroup {
    /// Writes all limits.
    ///
    /// # Errors
    /// `denied` naming the controller that is missing; `kernel` naming the file; `invalid_spec` for numbers that
    /// contradict each other.
    pub fn apply(&self, resources: &Resources) -> Result<()> {
        if let Some(limit) = resources.pids {
            // 0 forbids every process, and the container's first is charged here before it runs: as one, which leaves it
            // unable to fork, as is meant. systemd's TasksMax= has no 0 either.
            self.limit(
                "pids.max",
                Some(limit.max(1)).filter(|_| limit >= 0).map(i64::cast_unsigned),
            )?;
        }
        self.apply_memory(&resources.memory)?;
        self.apply_block_io(&resources.block_io)?;
        self.apply_cpu(&resources.cpu)?;
        for (file, text) in
            [("cpuset.cpus", &resources.cpu.cpus), ("cpuset.mems", &resources.cpu.mems)]
        {
            if let Some(text) = text {
                self.set(file, text)?;
            }
        }
        for (size, limit) in &resources.huge_pages {
            self.set(&format!("hugetlb.{size}.max"), &limit.to_string())?;
            let reserved = format!("hugetlb.{size}.rsvd.max");
            // Pages are charged when they are reserved, not only when they are touched, since Linux 5.7.
            if self.has(&reserved) {
                self.set(&reserved, &limit.to_string())?;
            }
        }
        for (device, limits) in &resources.rdma {
            self.set("rdma.max", &format!("{device}{limits}"))?;
        }
        for (file, text) in &resources.unified {
            // A line at a time: files as io.max take one device per write.
            for line in text.lines() {
                self.set(file, line)?;
            }
        }
        Ok(())
    }

    /// Has the cgroups above give it their controllers: all that they can, and those without which the limits cannot be.
    ///
    /// # Errors
    /// `denied` naming a controller that a limit needs.
    pub fn enable_controllers(&self, resources: &Resources) -> Result<()> {
        match (self.path().parent(), find_mount()?) {
            (Some(parent), Some(mount)) => {
                enable(parent, self.path(), &mount, &resources.controllers())
            }
            _ => Ok(()),
        }
    }

    /// Writes new limits; if one is refused the old ones are put back.
    ///
    /// # Errors
    /// As [`Cgroup::apply`].
    pub fn update(&self, resources: &Resources) -> Result<()> {
        let mut before = Vec::new();
        for file in SINGLE_VALUES {
            if let Some(text) = self.read(file)? {
                before.push((file, text));
            }
        }
        self.enable_controllers(resources)?;
        let result = self.apply(resources);
        for (file, text) in before.iter().filter(|_| result.is_err()) {
            if self.read(file)?.as_ref() != Some(text) {
                // The first error is the one to tell.
                let _ = self.write(file, text.trim_end());
            }
        }
        result
    }

    /// A number, or `max` for none. None at all is what a cgroup without the controller has.
    fn limit(&self, file: &str, value: Option<u64>) -> Result<()> {
        match value {
            Some(value) => self.set(file, &value.to_string()),
            None if self.has(file) => self.set(file, "max"),
            None => Ok(()),
        }
    }

    fn set(&self, file: &str, text: &str) -> Result<()> {
        match self.write(file, text) {
            Ok(()) => Ok(()),
            Err(Errno::NOENT) => Err(absent("set", self, file)),
            Err(errno) => {
                let error = Error::kernel(
                    "set",
                    self.path().join(file).to_string_lossy(),
                    errno.raw_os_error(),
                );
                let message = format!("{} (value {text:?})", error.message);
                Err(Error { message, ..error })
            }
        }
    }

    fn apply_memory(&self, memory: &Memory) -> Result<()> {
        let Memory { limit, reservation, swap, check_before_update } = *memory;
        if check_before_update {
            self.check_usage(memory)?;
        }
        let swap = match (limit, swap) {
            (Some(-1), None) => Some(-1), // version 1: no limit of memory and swap, either
            (Some(limit), None) => {
                self.total_limit()?.map(|total| swap_max(Some(limit), total)).transpose()?
            }
            (limit, Some(swap)) => {
                Some(swap_max(limit.or(self.current_limit("memory.max")?), swap)?)
            }
            _ => None,
        };
        match swap.map(u64::try_from) {
            None => {}
            // No swap accounting (swapaccount=0, or no swap in the kernel): there is none to use.
            Some(Err(_) | Ok(0)) if !self.has("memory.swap.max") && self.has("memory.max") => {}
            Some(swap) => self.limit("memory.swap.max", swap.ok())?,
        }
        for (file, value) in [("memory.max", limit), ("memory.low", reservation)] {
            if let Some(value) = value {
                self.limit(file, u64::try_from(value).ok())?;
            }
        }
        Ok(())
    }

    /// Memory and swap together, as they are limited now; None where one is not. The total is what a document limits, so
    /// with a new limit of memory alone that of swap changes.
    pub(super) fn total_limit(&self) -> Result<Option<i64>> {
        let swap = self.current_limit("memory.swap.max")?;
        let memory = self.current_limit("memory.max")?;
        Ok(memory.zip(swap).map(|(memory, swap)| memory.saturating_add(swap)))
    }

    fn current_limit(&self, file: &str) -> Result<Option<i64>> {
        Ok(self.number(file)?.and_then(|number| i64::try_from(number).ok()))
    }

    /// checkBeforeUpdate: better no new limit than one that kills at once.
    fn check_usage(&self, memory: &Memory) -> Result<()> {
        let Some(usage) = self.current_limit("memory.current")? else { return Ok(()) };
        for (name, limit) in [("memory+swap", memory.swap), ("memory", memory.limit)] {
            if let Some(limit) = limit.filter(|limit| (1..=usage).contains(limit)) {
                let message = format!("rejecting {name} limit {limit} <= usage {usage}");
                return Err(Error::new(Code::Conflict, "linux.resources.memory", name, message));
            }
        }
        Ok(())
    }

    fn apply_cpu(&self, cpu: &Cpu) -> Result<()> {
        if let Some(idle) = cpu.idle {
            // Not idle is what a cgroup without the controller is.
            if idle == 1 || self.has("cpu.idle") {
                self.set("cpu.idle", &idle.to_string())?;
            }
        }
        let asks = |&shares: &u64| shares != NORMAL_SHARES || self.has("cpu.weight");
        if let Some(shares) = cpu.shares.filter(asks) {
            self.set("cpu.weight", &cpu_weight(shares).to_string())?;
        }
        let sets_quota = cpu.quota.is_some() || cpu.period.is_some();
        // A burst larger than the old quota is refused, one larger than the new is not: then it comes second.
        let mut burst = cpu.burst.map(|burst| burst.to_string());
        if let Some(text) = &burst {
            match self.write("cpu.max.burst", text) {
                Ok(()) => burst = None,
                Err(Errno::INVAL) if sets_quota => {}
                Err(Errno::NOENT) if text == "0" => burst = None,
                Err(_) => self.set("cpu.max.burst", text)?,
            }
        }
        if sets_quota && (cpu.quota.is_some_and(|quota| quota > 0) || self.has("cpu.max")) {
            let now = self.read("cpu.max")?.unwrap_or_default();
            self.set("cpu.max", &cpu_max(cpu.quota, cpu.period, &now))?;
        }
        burst.map_or(Ok(()), |text| self.set("cpu.max.burst", &text))
    }

    fn apply_block_io(&self, io: &BlockIo) -> Result<()> {
        // BFQ's own weights have version 1's range; io.weight has another.
        let (file, scale): (_, fn(u64) -> u64) = if self.has("io.bfq.weight") {
            ("io.bfq.weight", |weight| weight)
        } else {
            ("io.weight", io_weight)
        };
        if let Some(weight) = io.weight {
            self.set(file, &scale(weight).to_string())?;
        }
        for (Device(major, minor), weight) in &io.device_weights {
            self.set(file, &format!("{major}:{minor} {}", scale(*weight)))?;
        }
        for (key, Device(major, minor), rate) in &io.rates {
            // Version 1 took a rule back by 0, which version 2 refuses.
            let rate = if *rate == 0 { "max".to_owned() } else { rate.to_string() };
            self.set("io.max", &format!("{major}:{minor} {key}={rate}"))?;
        }
        Ok(())
    }
}

/// Version 1's shares (2 to 262144, 1024 is normal) as a weight (1 to 10000, 100 is normal).
///
/// The quadratic in the exponent meets all three points. runc 1.3 and before had a line that met two: 1024 became 39.
#[must_use]
pub fn cpu_weight(shares: u64) -> u64 {
    if shares <= 2 {
        return 1;
    }
    if shares >= 262_144 {
        return 10_000;
    }
    #[expect(clippy::cast_precision_loss, reason = "262144 is far below 2^52")]
    let l = (shares as f64).log2();
    let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 10000")]
    let weight = 10_f64.powf(exponent).ceil() as u64;
    weight
}

/// Version 1's weight (10 to 1000) as io.weight's (1 to 10000).
#[must_use]
pub fn io_weight(weight: u64) -> u64 {
    1 + (weight.saturating_sub(10)) * 9999 / 990
}

/// Memory and swap together, as the limit of swap alone; -1 is none.
///
/// # Errors
/// `invalid_spec` if there is no limit of memory to take off, or more than all.
pub fn swap_max(memory: Option<i64>, total: i64) -> Result<i64> {
    let invalid = |message| {
        Err(Error::new(
            Code::InvalidSpec,
            "linux.resources.memory.swap",
            total.to_string(),
            message,
        ))
    };
    match memory {
        _ if total < 0 => Ok(total),
        Some(memory) if memory < 0 => Ok(total), // unlimited memory: as it is
        None => invalid("a limit of memory and swap needs one of memory"),
        Some(memory) if total < memory => invalid("memory+swap limit should be >= memory limit"),
        Some(memory) => Ok(total - memory),
    }
}

/// What to write to cpu.max, which says `now`: what is not given stays.
fn cpu_max(quota: Option<i64>, period: Option<u64>, now: &str) -> String {
    let mut words = now.split_ascii_whitespace();
    let old_quota = words.next().unwrap_or("max");
    let old_period = words.next().and_then(|word| word.parse().ok()).unwrap_or(PERIOD_US);
    let quota = match quota {
        None => old_quota.to_owned(),
        Some(quota) if quota > 0 => quota.to_string(),
        Some(_) => "max".to_owned(),
    };
    format!("{quota} {}", period.unwrap_or(old_period))
}
