//! What a container has used in its whole life, told when it has ended and before its cgroup goes.
//!
//! From its own cgroup where it has one: the kernel counted all its processes, however short they lived. Else from what
//! the kernel tells whoever waits for init (wait4(2)): init and all descendants that were waited for, and each exec'd
//! program with its own. Two kinds are missing there: children of a program that ignores SIGCHLD, and those still alive
//! when init ends; an init of ours (`--init`) ends those before itself, and waits for them. Where an inherited counter has
//! seen more than that, it is taken, and said to be an estimate.

use super::files::{File, Files, keyed, number, pressure_usec, sum};
use super::network::Traffic;
use super::{Measure, Quality, Row};
use crate::sys::usage::Usage;

/// What a receipt is made of.
#[derive(Default)]
pub struct Sources<'a> {
    /// The files of the container's own cgroup.
    pub cgroup: Option<&'a mut Files>,
    /// Init's, with that of all it waited for.
    pub init: Usage,
    /// Of exec'd programs, each with what it waited for.
    pub joined: Usage,
    /// Whether init waits for all (`--init`).
    pub init_reaps: bool,
    /// The inherited counter of init, where there is one.
    pub clock_usec: Option<u64>,
    /// What init, with all it waited for, has read from and written to devices.
    pub device_bytes: Option<(u64, u64)>,
    /// What the cgroup has used that the container shared with others.
    pub session_usec: Option<u64>,
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
const IGNORED: &str = "children of a program that ignores SIGCHLD are missing";
const UNJUDGED: &str =
    "nothing here tells whether a program ignored SIGCHLD, whose children would be missing";
const COUNTED: &str = "within a tenth; processes that nobody waited for are in it";
const LARGEST: &str = "the largest single process";
const DIRTIED: &str = "counts what was written to files, whether or not it reached a device";
const NO_PRESSURE: &str = "the kernel tells no pressure";
const SHARED_NETWORK: &str = "it had no network of its own";
const CLOSED_NETWORK: &str = "its network namespace could not be entered";
const NO_SESSION: &str = "it shared no cgroup but the machine's root";
const NOT_SHARED: &str = "it shared no cgroup";
const REMAINDER: &str = "what others in the same cgroup used, and what is missing above";

/// The rows, in the order in which people read them.
pub fn rows(mut sources: Sources<'_>) -> Vec<Row> {
    let mut rows = Vec::with_capacity(40);
    let mut buffer = Vec::new();
    rows.push(("wall_usec", Measure::exact(sources.wall_usec, "clock_gettime")));
    let gap = sources.missing_of_waited();
    cpu(&mut rows, &mut sources, gap, &mut buffer);
    memory(&mut rows, &mut sources, &mut buffer);
    io(&mut rows, &mut sources, gap, &mut buffer);
    pids(&mut rows, &mut sources, &mut buffer);
    let waited = sources.waited();
    for (name, value) in [
        ("page_faults", waited.minor_faults + waited.major_faults),
        ("major_page_faults", waited.major_faults),
        ("voluntary_switches", waited.voluntary_switches),
        ("involuntary_switches", waited.involuntary_switches),
    ] {
        rows.push((name, waited_for(value, gap)));
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
    let overhead = total_usec(sources.overhead);
    rows.push(("overhead_cpu_usec", Measure::exact(overhead, "getrusage")));
    rows.push(("cpu_remainder_usec", remainder(&rows, &sources, overhead)));
    rows
}

fn total_usec(usage: Usage) -> u64 {
    usage.user_usec + usage.system_usec
}

/// What the shared cgroup has used beside the container and us: the most that can be missing.
fn remainder(rows: &[Row], sources: &Sources<'_>, overhead: u64) -> Measure {
    if sources.cgroup.is_some() {
        return Measure::absent("cpu.stat", NOT_SHARED);
    }
    let Some(session) = sources.session_usec else {
        return Measure::absent("cpu.stat", NO_SESSION);
    };
    let known = rows.iter().find(|(name, _)| *name == "cpu_usage_usec").and_then(|row| row.1.value);
    let rest = session.saturating_sub(known.unwrap_or(0)).saturating_sub(overhead);
    estimate(rest, "cpu.stat", REMAINDER)
}

impl Sources<'_> {
    /// What wait4(2) has told, of all.
    fn waited(&self) -> Usage {
        let mut sum = self.init;
        sum.add(&self.joined.to_bytes());
        sum
    }

    /// Why wait4(2)'s numbers may be too small; empty if they are not. `counted` is the processor time that the kernel
    /// has counted by another way, of init and its descendants or of all as `waited` is.
    fn shortcoming(&self, counted: Option<u64>, waited: u64) -> &'static str {
        match counted {
            _ if !self.init_reaps => UNWAITED,
            None => UNJUDGED,
            Some(counted) if is_more(counted, waited) => IGNORED,
            Some(_) => "",
        }
    }

    /// The same, by whatever can judge it here.
    fn missing_of_waited(&mut self) -> &'static str {
        let mut buffer = Vec::new();
        let text = self.text(File::CpuStat, &mut buffer);
        match text.and_then(|text| keyed(text, "usage_usec")) {
            Some(truth) => self.shortcoming(Some(truth), total_usec(self.waited())),
            None => self.shortcoming(self.clock_usec, total_usec(self.init)),
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

/// A number from wait4(2), and why it may be too small, if it may.
fn waited_for(value: u64, gap: &'static str) -> Measure {
    if gap.is_empty() {
        Measure::exact(value, "wait4")
    } else {
        Measure::bounded(value, "wait4", gap)
    }
}

/// Near this, by a way of counting that is not exact.
fn estimate(value: u64, source: &'static str, reason: &'static str) -> Measure {
    Measure { quality: Quality::Estimate, ..Measure::bounded(value, source, reason) }
}

/// Whether a counter has seen processes that wait4(2) has not: by more than the two differ anyway (the counter is 1.3 %
/// above at most).
fn is_more(counted: u64, waited: u64) -> bool {
    counted > waited + waited / 20 + 5000
}

fn cpu(rows: &mut Vec<Row>, sources: &mut Sources<'_>, gap: &'static str, buffer: &mut Vec<u8>) {
    let waited = sources.waited();
    let joined_usec = total_usec(sources.joined);
    let clock = sources.clock_usec.filter(|clock| is_more(*clock, total_usec(sources.init)));
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
        let measure = match (value, clock) {
            (Some(value), _) => Measure::exact(value, "cpu.stat"),
            (None, Some(clock)) if name == "cpu_usage_usec" => {
                estimate(clock + joined_usec, "perf_event_open", COUNTED)
            }
            (None, _) => waited_for(fallback, gap),
        };
        rows.push((name, measure));
    }
    // Beside the others, to compare: what is missing here was waited for by nobody.
    rows.push(("cpu_waited_usec", waited_for(total_usec(waited), gap)));
    for (name, value) in throttled {
        let absent = Measure::absent("cpu.stat", sources.missing());
        rows.push((name, value.map_or(absent, |value| Measure::exact(value, "cpu.stat"))));
    }
}

fn memory(rows: &mut Vec<Row>, sources: &mut Sources<'_>, buffer: &mut Vec<u8>) {
    let largest = Measure::bounded(sources.waited().largest_resident_bytes, "wait4", LARGEST);
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

fn io(rows: &mut Vec<Row>, sources: &mut Sources<'_>, gap: &'static str, buffer: &mut Vec<u8>) {
    let text = sources.text(File::IoStat, buffer);
    let counted = ["rbytes", "wbytes", "rios", "wios"].map(|key| text.map(|text| sum(text, key)));
    let [read, written, reads, writes] = counted;
    // The same counts as wait4's, but for what was dirtied and removed before it was written.
    let (init, source) = match sources.device_bytes {
        Some(bytes) => (bytes, "/proc/<pid>/io"),
        None => ((sources.init.read_bytes, sources.init.written_bytes), "wait4"),
    };
    let fallback = Measure { source, ..waited_for(init.0 + sources.joined.read_bytes, gap) };
    rows.push(("io_read_bytes", read.map_or(fallback, |value| Measure::exact(value, "io.stat"))));
    let fallback = estimate(init.1 + sources.joined.written_bytes, source, DIRTIED);
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
    use super::{COUNTED, IGNORED, Sources, UNJUDGED, UNWAITED, rows};
    use crate::meter::{Measure, Quality, Row, to_json};
    use crate::sys::usage::Usage;

    fn measure(rows: &[Row], name: &str) -> Measure {
        rows.iter().find(|(found, _)| *found == name).unwrap().1
    }

    fn sources(init_reaps: bool, clock_usec: Option<u64>) -> Sources<'static> {
        let init = Usage {
            user_usec: 500_000,
            system_usec: 200_000,
            written_bytes: 512,
            ..Usage::default()
        };
        Sources { init, init_reaps, clock_usec, wall_usec: 9, ..Sources::default() }
    }

    #[test]
    fn without_a_cgroup_what_was_waited_for_counts() {
        for (init_reaps, clock, reason) in [
            (true, Some(690_000), ""),
            (true, None, UNJUDGED),
            (false, Some(690_000), UNWAITED),
            (false, None, UNWAITED),
        ] {
            let rows = rows(sources(init_reaps, clock));
            let cpu = measure(&rows, "cpu_usage_usec");
            assert_eq!((cpu.value, cpu.source, cpu.reason), (Some(700_000), "wait4", reason));
            for (name, measure) in &rows {
                assert_eq!(measure.reason.is_empty(), measure.quality == Quality::Exact, "{name}");
            }
            let text: serde_json::Value = serde_json::from_str(&to_json(&rows)).unwrap();
            assert_eq!(text["pids_peak"]["value"], serde_json::Value::Null);
            assert_eq!(text["wall_usec"]["value"], 9);
        }
    }

    #[test]
    fn a_counter_that_saw_more_is_believed() {
        let joined = Usage { user_usec: 1000, ..Usage::default() };
        let rows = rows(Sources { joined, ..sources(true, Some(2_000_000)) });
        let cpu = measure(&rows, "cpu_usage_usec");
        assert_eq!((cpu.value, cpu.quality), (Some(2_001_000), Quality::Estimate));
        assert_eq!(cpu.reason, COUNTED);
        assert_eq!(measure(&rows, "cpu_waited_usec").reason, IGNORED);
        assert_eq!(measure(&rows, "page_faults").quality, Quality::Bounded);
    }

    #[test]
    fn the_rest_of_a_shared_cgroup_is_told() {
        let overhead = Usage { user_usec: 50, ..Usage::default() };
        let session_usec = Some(700_070);
        let shared = Sources { overhead, session_usec, ..sources(true, Some(700_000)) };
        let rest = measure(&rows(shared), "cpu_remainder_usec");
        assert_eq!((rest.value, rest.quality), (Some(20), Quality::Estimate));
    }

    #[test]
    fn what_was_taken_back_was_not_written() {
        let device_bytes = Some((4096, 0));
        let rows = rows(Sources { device_bytes, ..sources(true, Some(1)) });
        assert_eq!(measure(&rows, "io_write_bytes").value, Some(0));
        let read = measure(&rows, "io_read_bytes");
        assert_eq!((read.value, read.source), (Some(4096), "/proc/<pid>/io"));
    }
}
