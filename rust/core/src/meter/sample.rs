//! What a container uses now: a few numbers often, the rest when somebody asks.
//!
//! From its own cgroup where it has one, and for what that does not tell from its processes.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files::{File, Files, keyed, number, pressure_usec, sum};
use super::network;
use super::processes::{self, Walk};
use super::witness::{Device, text_of};
use super::{Measure, Quality};
use crate::error::Result;

/// What is cheap, by three reads: processor time, memory, tasks.
pub const BASIC: [&str; 5] =
    ["cpu_usage_usec", "cpu_user_usec", "cpu_system_usec", "memory_current_bytes", "pids_current"];

/// What comes after [`BASIC`] in a full sample: memory.stat alone costs more than all of that.
pub const FURTHER: [&str; 24] = [
    "memory_inactive_file_bytes",
    "memory_peak_bytes",
    "memory_swap_current_bytes",
    "memory_limit_hits",
    "oom_kills",
    "io_read_bytes",
    "io_write_bytes",
    "cpu_throttled_periods",
    "cpu_throttled_usec",
    "cpu_pressure_some_usec",
    "memory_pressure_some_usec",
    "io_pressure_some_usec",
    "cpu_pressure_full_usec",
    "memory_pressure_full_usec",
    "io_pressure_full_usec",
    "memory_anon_bytes",
    "memory_file_bytes",
    "page_faults",
    "major_page_faults",
    "io_reads",
    "io_writes",
    "cpu_periods",
    "network_receive_bytes",
    "network_transmit_bytes",
];

/// Where each is from, [`BASIC`] first.
const SOURCES: [&str; COUNT] = [
    "cpu.stat",
    "cpu.stat",
    "cpu.stat",
    "memory.current",
    "pids.current",
    "memory.stat",
    "memory.peak",
    "memory.swap.current",
    "memory.events",
    "memory.events",
    "io.stat",
    "io.stat",
    "cpu.stat",
    "cpu.stat",
    "cpu.pressure",
    "memory.pressure",
    "io.pressure",
    "cpu.pressure",
    "memory.pressure",
    "io.pressure",
    "memory.stat",
    "memory.stat",
    "memory.stat",
    "memory.stat",
    "io.stat",
    "io.stat",
    "cpu.stat",
    "/proc/<pid>/net/dev",
    "/proc/<pid>/net/dev",
];

const COUNT: usize = BASIC.len() + FURTHER.len();

const MEMORY: usize = 3;
const PIDS: usize = 4;
const SWAP: usize = 7;
const IO_READ: usize = 10;
const IO_WRITE: usize = 11;
const RECEIVED: usize = 27;

const NO_CGROUP: &str = "it has no cgroup of its own";
const NOT_TOLD: &str = "its cgroup does not tell it";
const SUMMED: &str = "summed over processes that live, each with what it waited for";
const IGNORED: &str = "children of a program in it that ignores SIGCHLD are missing";
const COUNTED: &str = "an inherited counter, within a tenth";
const ANONYMOUS: &str =
    "what is backed by no file, summed over processes: a page of two counts twice";
const SHARES: &str = "each process's share, without what files have in the page cache";
const DIRTIED: &str = "what processes wrote to files, whether or not it reached a device yet";
const SHARED_NETWORK: &str = "it shares a network";

/// What a container's monitor tells while it lives.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Told {
    /// The inherited counter of init, where there is one.
    pub clock_usec: Option<u64>,
    /// Of exec'd programs that have ended.
    pub joined_usec: u64,
}

/// A container that is looked at again and again.
#[derive(Debug, Default)]
pub struct Meter {
    files: Option<Files>,
    /// Its first process, in the mounted procfs; 0 if it is only a cgroup.
    init: u32,
    owns_namespace: bool,
    has_network: bool,
    /// What its monitor tells, asked before each sample that wants it.
    pub told: Told,
    buffer: Vec<u8>,
    /// Of the last sample: what is from elsewhere than [`SOURCES`] says, or is not there for a reason of its own.
    origins: Vec<(usize, &'static str, Quality, &'static str)>,
    /// Sums over what comes and goes may fall; what was used does not.
    floor: [u64; 3],
}

impl Meter {
    /// Of the cgroup at `path`, and nothing else.
    ///
    /// # Errors
    /// `not_found`.
    pub fn at(path: &Path) -> Result<Self> {
        Ok(Self { files: Some(Files::at(path)?), ..Self::default() })
    }

    /// Of a container, with its own cgroup if it has one; `init` is its first process, in the mounted procfs.
    ///
    /// # Errors
    /// `not_found`.
    pub fn of(cgroup: Option<&Path>, init: u32) -> Result<Self> {
        let network = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        Ok(Self {
            files: cgroup.map(Files::at).transpose()?,
            init,
            owns_namespace: processes::owns_namespace(init),
            has_network: network(&init.to_string()) != network("self"),
            ..Self::default()
        })
    }

    /// Whether [`Meter::told`] is of use: no cgroup counts processor time.
    #[must_use]
    pub fn wants_telling(&self) -> bool {
        self.files.is_none()
    }

    /// The numbers of [`BASIC`], and of [`FURTHER`] in a full sample, into `values`; none for what is not to be had. `walk`
    /// is made by the first of many meters that needs it, and serves all of one moment.
    pub fn sample(
        &mut self,
        is_full: bool,
        walk: &mut Option<Walk>,
        values: &mut Vec<Option<u64>>,
    ) {
        self.origins.clear();
        let Self { files, buffer, .. } = self;
        match files {
            Some(files) => read(files, is_full, buffer, values),
            None => values.resize(if is_full { COUNT - 2 } else { BASIC.len() }, None),
        }
        if is_full {
            self.count_traffic(values);
        }
        if self.init != 0 && values[..BASIC.len()].contains(&None)
            || is_full && self.init != 0 && values[IO_READ].is_none()
        {
            self.fill_in(is_full, walk, values);
        }
    }

    /// The same numbers of the sample `values` with all that is known of them.
    #[must_use]
    pub fn describe(&self, values: &[Option<u64>]) -> Vec<Measure> {
        let missing = if self.files.is_some() { NOT_TOLD } else { NO_CGROUP };
        let describe = |(at, value): (usize, &Option<u64>)| {
            let origin = self.origins.iter().find(|origin| origin.0 == at);
            match (origin, *value) {
                (Some(&(_, source, quality, reason)), value) => {
                    Measure { value, source, quality, reason }
                }
                (None, Some(value)) => Measure::exact(value, SOURCES[at]),
                (None, None) => Measure::absent(SOURCES[at], missing),
            }
        };
        values.iter().enumerate().map(describe).collect()
    }

    fn count_traffic(&mut self, values: &mut Vec<Option<u64>>) {
        if !self.has_network {
            let absent = |at| (at, SOURCES[at], Quality::Absent, SHARED_NETWORK);
            self.origins.extend([RECEIVED, RECEIVED + 1].map(absent));
            values.extend([None, None]);
            return;
        }
        let traffic = text_of(&format!("/proc/{}/net/dev", self.init));
        let traffic = traffic.map(|text| network::parse(&text));
        values.push(traffic.map(|traffic| traffic.received_bytes));
        values.push(traffic.map(|traffic| traffic.sent_bytes));
    }

    /// What the cgroup does not tell, from the processes.
    fn fill_in(
        &mut self,
        is_full: bool,
        walk: &mut Option<Walk>,
        values: &mut [Option<u64>],
    ) -> Option<()> {
        if walk.is_none() {
            *walk = Some(Walk::new().ok()?);
        }
        let sum = walk.as_ref()?.sum(self.init, self.owns_namespace);
        if sum.pids.is_empty() {
            return None; // it has ended
        }
        if values[0].is_none() {
            self.fill_in_cpu(is_full, &sum, values);
        }
        let mut set = |at: usize, value, source, quality, reason| {
            if values[at].is_none() {
                values[at] = value;
                self.origins.push((at, source, quality, reason));
            }
        };
        set(PIDS, Some(sum.threads), "/proc/<pid>/stat", Quality::Exact, "");
        if is_full {
            let shares = sum.pids.iter().filter_map(|pid| processes::proportional_bytes(*pid));
            let (all, swapped) = shares.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            let source = "/proc/<pid>/smaps_rollup";
            set(MEMORY, Some(all), source, Quality::Estimate, SHARES);
            set(SWAP, Some(swapped), source, Quality::Estimate, SHARES);
            let moved = sum.pids.iter().filter_map(|pid| Device::of(*pid)?.bytes());
            let (read, written) = moved.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            set(IO_READ, Some(read), "/proc/<pid>/io", Quality::Bounded, SUMMED);
            set(IO_WRITE, Some(written), "/proc/<pid>/io", Quality::Estimate, DIRTIED);
        } else {
            let memory = sum.pids.iter().filter_map(|pid| processes::anonymous_bytes(*pid)).sum();
            set(MEMORY, Some(memory), "/proc/<pid>/statm", Quality::Estimate, ANONYMOUS);
        }
        Some(())
    }

    fn fill_in_cpu(&mut self, is_full: bool, sum: &processes::Sum, values: &mut [Option<u64>]) {
        let told = self.told;
        let summed = sum.user_usec + sum.system_usec + told.joined_usec;
        let clock = told.clock_usec.map(|clock| clock + sum.joined_usec + told.joined_usec);
        // Both miss something, and neither counts twice: the larger is nearer.
        let (usage, source, reason) = match clock {
            Some(clock) if clock >= summed => (clock, "perf_event_open", COUNTED),
            _ => (summed, "/proc/<pid>/stat", SUMMED),
        };
        let has_hole = is_full && sum.pids.iter().any(|pid| processes::ignores_children(*pid));
        let told = [(usage, source, reason), (sum.user_usec, "/proc/<pid>/stat", SUMMED), {
            (sum.system_usec, "/proc/<pid>/stat", SUMMED)
        }];
        for (at, (value, source, reason)) in told.into_iter().enumerate() {
            self.floor[at] = value.max(self.floor[at]);
            values[at] = Some(self.floor[at]);
            let is_short = has_hole && source != "perf_event_open";
            let (quality, reason) =
                if is_short { (Quality::Bounded, IGNORED) } else { (Quality::Estimate, reason) };
            self.origins.push((at, source, quality, reason));
        }
    }
}

/// What the files of a cgroup tell.
fn read(files: &mut Files, is_full: bool, buffer: &mut Vec<u8>, values: &mut Vec<Option<u64>>) {
    let cpu = files.read(File::CpuStat, buffer);
    let of_cpu = |key| cpu.and_then(|text| keyed(text, key));
    values.extend(["usage_usec", "user_usec", "system_usec"].map(of_cpu));
    let throttled = ["nr_throttled", "throttled_usec", "nr_periods"];
    let [throttled_periods, throttled_usec, periods] =
        if is_full { throttled.map(of_cpu) } else { [None; 3] };
    for file in [File::MemoryCurrent, File::PidsCurrent] {
        values.push(files.read(file, buffer).and_then(number));
    }
    if !is_full {
        return;
    }
    let stat = files.read(File::MemoryStat, buffer);
    let [inactive_file, of_stat @ ..] = ["inactive_file", "anon", "file", "pgfault", "pgmajfault"]
        .map(|key| stat.and_then(|text| keyed(text, key)));
    values.push(inactive_file);
    for file in [File::MemoryPeak, File::MemorySwapCurrent] {
        values.push(files.read(file, buffer).and_then(number));
    }
    let events = files.read(File::MemoryEvents, buffer);
    values.extend(["max", "oom_kill"].map(|key| events.and_then(|text| keyed(text, key))));
    let io = files.read(File::IoStat, buffer);
    let [read, written, of_io @ ..] =
        ["rbytes", "wbytes", "rios", "wios"].map(|key| io.map(|text| sum(text, key)));
    values.extend([read, written, throttled_periods, throttled_usec]);
    let pressure = [File::CpuPressure, File::MemoryPressure, File::IoPressure].map(|file| {
        let text = files.read(file, buffer);
        ["some", "full"].map(|kind| text.and_then(|text| pressure_usec(text, kind)))
    });
    values.extend(pressure.map(|[some, _]| some));
    values.extend(pressure.map(|[_, full]| full));
    values.extend(of_stat);
    values.extend(of_io);
    values.push(periods);
}

#[cfg(test)]
mod tests {
    use super::{BASIC, COUNT, FURTHER, IO_READ, IO_WRITE, MEMORY, Meter, PIDS, RECEIVED, SWAP};
    use crate::meter::Quality;

    #[test]
    fn places_are_those_of_the_names() {
        let names = [BASIC.as_slice(), &FURTHER].concat();
        for (at, name) in [
            (MEMORY, "memory_current_bytes"),
            (PIDS, "pids_current"),
            (SWAP, "memory_swap_current_bytes"),
            (IO_READ, "io_read_bytes"),
            (IO_WRITE, "io_write_bytes"),
            (RECEIVED, "network_receive_bytes"),
        ] {
            assert_eq!(names[at], name);
        }
    }

    #[test]
    fn a_container_without_a_cgroup_is_its_processes() {
        let mut meter = Meter::of(None, std::process::id()).unwrap();
        for is_full in [false, true] {
            let mut values = Vec::new();
            meter.sample(is_full, &mut None, &mut values);
            assert_eq!(values.len(), if is_full { COUNT } else { BASIC.len() });
            assert!(values[..BASIC.len()].iter().all(Option::is_some), "{values:?}");
            assert!(values[MEMORY].unwrap() > 100_000, "{values:?}");
            for (value, measure) in values.iter().zip(meter.describe(&values)) {
                assert_eq!(*value, measure.value);
                assert_eq!(value.is_none(), measure.quality == Quality::Absent, "{measure:?}");
                assert_eq!(measure.reason.is_empty(), measure.quality == Quality::Exact);
            }
        }
    }
}
