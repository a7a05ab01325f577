//! What a cgroup uses now: a few numbers often, the rest when somebody asks.

use std::path::Path;

use super::files::{File, Files, keyed, number, pressure_usec, sum};
use crate::error::Result;

/// What is cheap, by three reads: processor time, memory, tasks.
pub const BASIC: [&str; 5] =
    ["cpu_usage_usec", "cpu_user_usec", "cpu_system_usec", "memory_current_bytes", "pids_current"];

/// What comes after [`BASIC`] in a full sample: memory.stat alone costs more than all of that.
pub const FURTHER: [&str; 12] = [
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
];

/// A cgroup that is looked at again and again.
#[derive(Debug)]
pub struct Meter {
    files: Files,
    buffer: Vec<u8>,
}

impl Meter {
    /// Of the cgroup at `path`.
    ///
    /// # Errors
    /// `not_found`.
    pub fn at(path: &Path) -> Result<Self> {
        Ok(Self { files: Files::at(path)?, buffer: Vec::new() })
    }

    /// The numbers of [`BASIC`], and of [`FURTHER`] in a full sample, into `values`; none for what the cgroup does not tell.
    pub fn sample(&mut self, is_full: bool, values: &mut Vec<Option<u64>>) {
        let Self { files, buffer } = self;
        let cpu = files.read(File::CpuStat, buffer);
        let of_cpu = |key| cpu.and_then(|text| keyed(text, key));
        values.extend(["usage_usec", "user_usec", "system_usec"].map(of_cpu));
        let throttled = ["nr_throttled", "throttled_usec"].map(of_cpu);
        for file in [File::MemoryCurrent, File::PidsCurrent] {
            values.push(files.read(file, buffer).and_then(number));
        }
        if !is_full {
            return;
        }
        let stat = files.read(File::MemoryStat, buffer);
        values.push(stat.and_then(|text| keyed(text, "inactive_file")));
        for file in [File::MemoryPeak, File::MemorySwapCurrent] {
            values.push(files.read(file, buffer).and_then(number));
        }
        let events = files.read(File::MemoryEvents, buffer);
        values.extend(["max", "oom_kill"].map(|key| events.and_then(|text| keyed(text, key))));
        let io = files.read(File::IoStat, buffer);
        values.extend(["rbytes", "wbytes"].map(|key| io.map(|text| sum(text, key))));
        values.extend(throttled);
        for file in [File::CpuPressure, File::MemoryPressure, File::IoPressure] {
            let text = files.read(file, buffer);
            values.push(text.and_then(|text| pressure_usec(text, "some")));
        }
    }
}
