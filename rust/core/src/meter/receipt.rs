//! What a container has used in its whole life, told when it has ended and before its cgroup goes.
//!
//! From its own cgroup where it has one: the kernel counted all its processes, however short they lived. Else from what
//! the kernel tells whoever waits for init (wait4(2)): init and all descendants that were waited for, and each exec'd
//! program with its own. Two kinds are missing there: children of a program that ignores SIGCHLD, and those still alive
//! when init ends; an init of ours (`--init`) ends those before itself, and waits for them.

use super::files::{File, Files, keyed, number, pressure_usec, sum};
use super::network::Traffic;
use super::{Measure, Row};
use crate::sys::usage::Usage;

/// What a receipt is made of.
pub struct Sources<'a> {
    /// The files of the container's own cgroup.
    pub cgroup: Option<&'a mut Files>,
    /// Init's, with that of exec'd programs.
    pub waited: Usage,
    /// Whether init waits for all (`--init`).
    pub init_reaps: bool,
    /// Of the container's own network namespace, if it has one and that could be read.
    pub traffic: Option<Option<Traffic>>,
    /// From start to end.
    pub wall_usec: u64,
    /// What the monitor has used itself.
    pub overhead: Usage,
}

const NO_CGROUP: &str = "it had no cgroup of its own";
const NO_CONTROLLER: &str = "its cgroup has no such controller";
const NO_FILE: &str = "this kernel has no such file";
const UNWAITED: &str = "processes that nobody waited for are missing";
const LARGEST: &str = "the largest single process";
const DIRTIED: &str = "counts what was written to files, be it removed before it reached a device";
const NO_PRESSURE: &str = "the kernel tells no pressure";
const SHARED_NETWORK: &str = "it had no network of its own";
const CLOSED_NETWORK: &str = "its network namespace could not be entered";

/// The rows, in the order in which people read them.
pub fn rows(mut sources: Sources<'_>) -> Vec<Row> {
    let mut rows = Vec::with_capacity(40);
    let mut buffer = Vec::new();
    rows.push(("wall_usec", Measure::exact(sources.wall_usec, "clock_gettime")));
    cpu(&mut rows, &mut sources, &mut buffer);
    memory(&mut rows, &mut sources, &mut buffer);
    io(&mut rows, &mut sources, &mut buffer);
    pids(&mut rows, &mut sources, &mut buffer);
    let waited = sources.waited;
    for (name, value) in [
        ("page_faults", waited.minor_faults + waited.major_faults),
        ("major_page_faults", waited.major_faults),
        ("voluntary_switches", waited.voluntary_switches),
        ("involuntary_switches", waited.involuntary_switches),
    ] {
        rows.push((name, sources.waited_for(value)));
    }
    let traffic = sources.traffic;
    for (name, pick) in [
        ("network_receive_bytes", (|t| t.received_bytes) as fn(Traffic) -> u64),
        ("network_receive_packets", |t| t.received_packets),
        ("network_transmit_bytes", |t| t.sent_bytes),
        ("network_transmit_packets", |t| t.sent_packets),
    ] {
        rows.push((
            name,
            match traffic {
                Some(Some(traffic)) => Measure::exact(pick(traffic), "net/dev"),
                Some(None) => Measure::absent("net/dev", CLOSED_NETWORK),
                None => Measure::absent("net/dev", SHARED_NETWORK),
            },
        ));
    }
    pressure(&mut rows, &mut sources, &mut buffer);
    let overhead = sources.overhead;
    let overhead = overhead.user_usec + overhead.system_usec;
    rows.push(("overhead_cpu_usec", Measure::exact(overhead, "getrusage")));
    rows
}

impl Sources<'_> {
    /// A number from wait4(2).
    fn waited_for(&self, value: u64) -> Measure {
        if self.init_reaps {
            Measure::exact(value, "wait4")
        } else {
            Measure::bounded(value, "wait4", UNWAITED)
        }
    }

    /// The text of a file of the cgroup.
    fn text<'b>(&mut self, file: File, buffer: &'b mut Vec<u8>) -> Option<&'b str> {
        self.cgroup.as_mut()?.read(file, buffer)
    }

    /// Why a file of the cgroup is not there.
    fn missing(&self) -> &'static str {
        if self.cgroup.is_some() { NO_CONTROLLER } else { NO_CGROUP }
    }
}

fn cpu(rows: &mut Vec<Row>, sources: &mut Sources<'_>, buffer: &mut Vec<u8>) {
    let waited = sources.waited;
    let text = sources.text(File::CpuStat, buffer);
    let counted = [
        ("cpu_usage_usec", "usage_usec", waited.user_usec + waited.system_usec),
        ("cpu_user_usec", "user_usec", waited.user_usec),
        ("cpu_system_usec", "system_usec", waited.system_usec),
    ]
    .map(|(name, key, fallback)| (name, text.and_then(|text| keyed(text, key)), fallback));
    let throttled = [
        ("cpu_periods", "nr_periods"),
        ("cpu_throttled_periods", "nr_throttled"),
        ("cpu_throttled_usec", "throttled_usec"),
    ]
    .map(|(name, key)| (name, text.and_then(|text| keyed(text, key))));
    for (name, value, fallback) in counted {
        let measure = match value {
            Some(value) => Measure::exact(value, "cpu.stat"),
            None => sources.waited_for(fallback),
        };
        rows.push((name, measure));
    }
    // Beside the cgroup's, to compare: what is missing here was waited for by nobody.
    let waited = sources.waited_for(waited.user_usec + waited.system_usec);
    rows.push(("cpu_waited_usec", waited));
    for (name, value) in throttled {
        let absent = Measure::absent("cpu.stat", sources.missing());
        rows.push((name, value.map_or(absent, |value| Measure::exact(value, "cpu.stat"))));
    }
}

fn memory(rows: &mut Vec<Row>, sources: &mut Sources<'_>, buffer: &mut Vec<u8>) {
    let largest = Measure::bounded(sources.waited.largest_resident_bytes, "wait4", LARGEST);
    let peak = sources.text(File::MemoryPeak, buffer).and_then(number);
    let has_controller = peak.is_some();
    let peak = peak.map_or(largest, |peak| Measure::exact(peak, "memory.peak"));
    rows.push(("memory_peak_bytes", peak));
    let swap = sources.text(File::MemorySwapPeak, buffer).and_then(number);
    // Since Linux 6.5.
    let reason = if has_controller { NO_FILE } else { sources.missing() };
    let absent = Measure::absent("memory.swap.peak", reason);
    let swap = swap.map_or(absent, |peak| Measure::exact(peak, "memory.swap.peak"));
    rows.push(("memory_swap_peak_bytes", swap));
    for (name, file, key, source) in [
        ("memory_limit_hits", File::MemoryEvents, "max", "memory.events"),
        ("oom_kills", File::MemoryEvents, "oom_kill", "memory.events"),
        ("oom_own_limit", File::MemoryEventsLocal, "oom", "memory.events.local"),
    ] {
        let value = sources.text(file, buffer).and_then(|text| keyed(text, key));
        let absent = Measure::absent(source, sources.missing());
        rows.push((name, value.map_or(absent, |value| Measure::exact(value, source))));
    }
}

fn io(rows: &mut Vec<Row>, sources: &mut Sources<'_>, buffer: &mut Vec<u8>) {
    let text = sources.text(File::IoStat, buffer);
    let counted = ["rbytes", "wbytes", "rios", "wios"].map(|key| text.map(|text| sum(text, key)));
    let [read, written, reads, writes] = counted;
    let waited = sources.waited;
    let fallback = Measure::bounded(waited.read_bytes, "wait4", UNWAITED);
    rows.push(("io_read_bytes", read.map_or(fallback, |value| Measure::exact(value, "io.stat"))));
    let fallback = Measure {
        quality: super::Quality::Estimate,
        ..Measure::bounded(waited.written_bytes, "wait4", DIRTIED)
    };
    rows.push(("io_write_bytes", written.map_or(fallback, |v| Measure::exact(v, "io.stat"))));
    for (name, value) in [("io_reads", reads), ("io_writes", writes)] {
        let absent = Measure::absent("io.stat", sources.missing());
        rows.push((name, value.map_or(absent, |value| Measure::exact(value, "io.stat"))));
    }
}

fn pids(rows: &mut Vec<Row>, sources: &mut Sources<'_>, buffer: &mut Vec<u8>) {
    let peak = sources.text(File::PidsPeak, buffer).and_then(number);
    let absent = Measure::absent("pids.peak", sources.missing());
    rows.push(("pids_peak", peak.map_or(absent, |peak| Measure::exact(peak, "pids.peak"))));
    let hits = sources.text(File::PidsEvents, buffer).and_then(|text| keyed(text, "max"));
    let absent = Measure::absent("pids.events", sources.missing());
    rows.push(("pids_limit_hits", hits.map_or(absent, |v| Measure::exact(v, "pids.events"))));
}

fn pressure(rows: &mut Vec<Row>, sources: &mut Sources<'_>, buffer: &mut Vec<u8>) {
    for (file, source, some, full) in [
        (File::CpuPressure, "cpu.pressure", "cpu_pressure_some_usec", "cpu_pressure_full_usec"),
        (
            File::MemoryPressure,
            "memory.pressure",
            "memory_pressure_some_usec",
            "memory_pressure_full_usec",
        ),
        (File::IoPressure, "io.pressure", "io_pressure_some_usec", "io_pressure_full_usec"),
    ] {
        let text = sources.text(file, buffer);
        let values = ["some", "full"].map(|kind| text.and_then(|text| pressure_usec(text, kind)));
        let reason = if sources.cgroup.is_some() { NO_PRESSURE } else { NO_CGROUP };
        for (name, value) in [some, full].into_iter().zip(values) {
            let absent = Measure::absent(source, reason);
            rows.push((name, value.map_or(absent, |value| Measure::exact(value, source))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Sources, rows};
    use crate::meter::{Quality, to_json};
    use crate::sys::usage::Usage;

    #[test]
    fn without_a_cgroup_what_was_waited_for_counts() {
        let waited = Usage { user_usec: 5, system_usec: 2, written_bytes: 512, ..Usage::default() };
        let sources = |init_reaps| Sources {
            cgroup: None,
            waited,
            init_reaps,
            traffic: None,
            wall_usec: 9,
            overhead: Usage::default(),
        };
        for (init_reaps, quality) in [(true, Quality::Exact), (false, Quality::Bounded)] {
            let rows = rows(sources(init_reaps));
            let cpu = rows.iter().find(|(name, _)| *name == "cpu_usage_usec").unwrap().1;
            assert_eq!((cpu.value, cpu.quality), (Some(7), quality));
            for (name, measure) in &rows {
                assert_eq!(measure.reason.is_empty(), measure.quality == Quality::Exact, "{name}");
            }
            let text: serde_json::Value = serde_json::from_str(&to_json(&rows)).unwrap();
            assert_eq!(text["pids_peak"]["value"], serde_json::Value::Null);
            assert_eq!(text["wall_usec"]["value"], 9);
        }
    }
}
