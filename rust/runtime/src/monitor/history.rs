//! What a container used, written to the ring in its directory every five seconds of its life.
//!
//! Nothing of it is there before the first five seconds are over: a short container pays nothing, and has its receipt.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use pyrt_core::Result;
use pyrt_core::meter::descendants;
use pyrt_core::meter::files::{File, Files, keyed, number, pressure_usec, sum};
use pyrt_core::meter::network;
use pyrt_core::meter::ring::{Reading, Ring, TIERS};
use pyrt_core::paths::open_host;
use rustix::event::Timespec;
use rustix::fs::{Mode, OFlags};
use rustix::time::{ClockId, clock_gettime};

/// Of one of the shortest rows.
const PERIOD: Duration = Duration::from_secs(TIERS[0].0 as u64);

/// Places of columns.
const CPU: usize = 0;
const MEMORY: usize = 2;
const PEAK: usize = 3;
const PIDS: usize = 4;
const IO_READ: usize = 5;
const IO_WRITE: usize = 6;

/// Its name in the bundle.
const NAME: &str = "history";

/// The ring, and where its numbers come from.
pub(super) struct History {
    ring: Option<Ring>,
    cgroup: Option<Files>,
    /// memory.peak: set back, it is so for whoever holds this descriptor alone.
    peak: Option<OwnedFd>,
    peak_before: u64,
    traffic: Option<OwnedFd>,
    first: Reading,
    pid: u32,
    /// Readings for which descendants are not counted again.
    resting: u32,
    /// The greatest sums until now, by column.
    floor: [u64; IO_WRITE + 1],
    last: Instant,
    due: Instant,
}

impl History {
    /// Begins with the program's start.
    pub(super) fn begin(cgroup: Option<BorrowedFd<'_>>, pid: u32, has_network: bool) -> Self {
        // What cannot be opened, for want of descriptors, say, is estimated or absent in the rows, which say so.
        let owned = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().ok();
        let peak = cgroup.and_then(|dir| open(dir, "memory.peak"));
        let path = format!("/proc/{pid}/net/dev");
        let open_traffic = || open_host(Path::new(&path), OFlags::RDONLY).ok();
        let traffic = has_network.then(open_traffic).flatten();
        let now = Instant::now();
        Self {
            ring: None,
            cgroup: cgroup.and_then(owned).map(Files::of),
            peak,
            peak_before: 0,
            traffic,
            first: Reading::default(),
            pid,
            resting: 0,
            floor: [0; IO_WRITE + 1],
            last: now,
            due: now + until_middle(pid),
        }
    }

    /// How long until the next reading.
    pub(super) fn timeout(&self) -> Timespec {
        let rest = self.due.saturating_duration_since(Instant::now());
        Timespec { tv_sec: rest.as_secs().cast_signed(), tv_nsec: rest.subsec_nanos().into() }
    }

    /// Whether it is time.
    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.due
    }

    /// Reads once and writes a row; `buffer` is for what is read, `counted_usec` the processor time where no cgroup counts it.
    ///
    /// # Errors
    /// `kernel`; there will be no more rows then.
    pub(super) fn record(
        &mut self,
        bundle: BorrowedFd<'_>,
        counted_usec: Option<u64>,
        buffer: &mut [u8],
    ) -> Result<()> {
        let now = Instant::now();
        // After a stop of the whole machine one row has all of it.
        let seconds =
            now.saturating_duration_since(self.last).as_millis().saturating_add(500) / 1000;
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        self.last = now;
        while self.due <= now {
            self.due += PERIOD;
        }
        let reading = self.read(counted_usec, buffer);
        let ring = match &mut self.ring {
            Some(ring) => ring,
            none => none.insert(Ring::open(bundle, NAME, self.first)?),
        };
        let clock = clock_gettime(ClockId::Realtime);
        ring.record(u64::try_from(clock.tv_sec).unwrap_or(0), seconds, &reading)
    }

    /// The last row, when the container has ended and its cgroup is still there.
    ///
    /// # Errors
    /// `kernel`.
    pub(super) fn finish(
        &mut self,
        bundle: BorrowedFd<'_>,
        counted_usec: Option<u64>,
    ) -> Result<()> {
        if self.ring.is_none() {
            return Ok(());
        }
        self.record(bundle, counted_usec, &mut [0; 4096])?;
        self.ring.as_ref().map_or(Ok(()), Ring::finish)
    }

    fn read(&mut self, counted_usec: Option<u64>, buffer: &mut [u8]) -> Reading {
        let mut reading = Reading::default();
        let numbers = &mut reading.numbers;
        if let Some(files) = &mut self.cgroup {
            if let Some(text) = files.read_into(File::CpuStat, buffer) {
                numbers[CPU] = keyed(text, "usage_usec");
                numbers[1] = keyed(text, "throttled_usec");
            }
            let memory = files.read_into(File::MemoryCurrent, buffer).and_then(number);
            // The longest of these files comes out where it does; what has no line there is no cache.
            let stat = memory.and_then(|_| files.read_into(File::MemoryStat, buffer));
            let cache = stat.and_then(|text| keyed(text, "inactive_file")).unwrap_or(0);
            numbers[MEMORY] = memory.map(|memory| memory.saturating_sub(cache));
            numbers[PEAK] = memory;
            numbers[PIDS] = files.read_into(File::PidsCurrent, buffer).and_then(number);
            let io = files.read_into(File::IoStat, buffer);
            (numbers[IO_READ], numbers[IO_WRITE]) =
                (io.map(|io| sum(io, "rbytes")), io.map(|io| sum(io, "wbytes")));
            for (at, file) in
                [(9, File::CpuPressure), (10, File::MemoryPressure), (11, File::IoPressure)]
            {
                let text = files.read_into(file, buffer);
                numbers[at] = text.and_then(|text| pressure_usec(text, "some"));
            }
            let events = files.read_into(File::MemoryEvents, buffer);
            reading.kills = events.and_then(|text| keyed(text, "oom_kill")).unwrap_or(0);
        }
        set(&mut reading, CPU, counted_usec);
        let numbers = &mut reading.numbers;
        let before = &mut self.peak_before;
        if let Some(peak) = self.peak.as_ref().and_then(|file| peak_since(file, before, buffer)) {
            numbers[PEAK] = numbers[PEAK].max(Some(peak));
        }
        if [CPU, MEMORY, PIDS, IO_READ].iter().any(|&at| numbers[at].is_none()) {
            self.fill_in(&mut reading, buffer);
        }
        let numbers = &mut reading.numbers;
        if let Some(text) = self.traffic.as_ref().and_then(|file| read_from(file, buffer)) {
            let traffic = network::parse(text);
            numbers[7] = Some(traffic.received_bytes);
            numbers[8] = Some(traffic.sent_bytes);
        }
        reading
    }
}

impl History {
    /// What no cgroup tells: the sum over init's descendants.
    fn fill_in(&mut self, reading: &mut Reading, buffer: &mut [u8]) {
        if self.resting > 0 {
            self.resting -= 1;
            return;
        }
        let began = Instant::now();
        let Some(sum) = descendants::sum(self.pid, buffer) else { return };
        // A thousandth of a processor at most: many processes are counted less often.
        let spent = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
        self.resting = spent / TIERS[0].0;
        let counters =
            [(CPU, Some(sum.cpu_usec)), (IO_READ, sum.read_bytes), (IO_WRITE, sum.written_bytes)];
        for (at, value) in counters {
            // Processes come and go while they are counted, and a sum may fall; what was used does not.
            let floor = &mut self.floor[at];
            *floor = value.map_or(*floor, |value| value.max(*floor));
            set(reading, at, value.map(|_| *floor));
        }
        let memory = sum.anonymous_bytes;
        for (at, value) in [(MEMORY, memory), (PEAK, memory), (PIDS, sum.tasks)] {
            set(reading, at, Some(value));
        }
    }
}

/// Sets an estimate where there is no better number.
fn set(reading: &mut Reading, at: usize, value: Option<u64>) {
    if reading.numbers[at].is_none() && value.is_some() {
        reading.numbers[at] = value;
        reading.estimates |= 1 << at;
    }
}

/// How long until the middle of a row's span, so that no delay puts a reading into the next. Not to the moment: all monitors
/// of a machine at once would be a crowd.
fn until_middle(pid: u32) -> Duration {
    let clock = clock_gettime(ClockId::Realtime);
    let period = i64::from(TIERS[0].0) * 1000;
    let wanted = 1500 + i64::from(pid) * 7919 % 2000;
    let rest = (wanted - clock.tv_sec * 1000 - clock.tv_nsec / 1_000_000).rem_euclid(period);
    let rest = if rest < 2000 { rest + period } else { rest };
    Duration::from_millis(rest.unsigned_abs())
}

/// The most memory that was in use since the last call, if it is known: from a peak that begins anew each time (since Linux
/// 6.12), or from one that has grown meanwhile.
fn peak_since(file: &OwnedFd, before: &mut u64, buffer: &mut [u8]) -> Option<u64> {
    let peak = read_from(file, buffer).and_then(number)?;
    // EINVAL where it cannot.
    if rustix::io::pwrite(file, b"r", 0).is_ok() {
        return Some(peak);
    }
    let has_grown = peak > *before;
    *before = peak;
    has_grown.then_some(peak)
}

fn open(dir: BorrowedFd<'_>, name: &str) -> Option<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty()).ok()
}

fn read_from<'a>(file: &OwnedFd, buffer: &'a mut [u8]) -> Option<&'a str> {
    let count = rustix::io::retry_on_intr(|| rustix::io::pread(file.as_fd(), &mut *buffer, 0));
    std::str::from_utf8(&buffer[..count.ok()?]).ok()
}
