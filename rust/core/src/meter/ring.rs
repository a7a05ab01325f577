//! What a container used, from a while ago until now: a file of fixed size that its monitor writes, and anybody reads.
//!
//! Three tiers of rows: the last hour by 5 seconds, the last day by minutes, the last 30 days by quarters of an hour. The place
//! of a row follows from its time, so nothing else says where the end is; a row that was torn by a crash fails its check
//! and never was. Rows are written with pwrite(2): a mapped file would count as the monitor's memory.
//!
//! | bytes | header, all little-endian |
//! |---|---|
//! | 8 | `pyrtring` |
//! | 4, 4 | version 1, bytes of a row |
//! | 3 × (4, 4) | seconds of a row, number of rows |
//!
//! | bytes | row |
//! |---|---|
//! | 4 | when its span began, in seconds since 1970; 0 for none |
//! | 2 | flags: a bit for each number that is an estimate, [`KILLED`], [`UNEVEN`] |
//! | 2 | CRC-32 of the other 30, its lower half |
//! | 12 × 2 | the numbers of [`COLUMNS`]: 5 bits of exponent, 11 of mantissa, within 0.05 %; all ones for none |

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use crate::error::{At, Result};

/// How a number of a row comes from those of shorter rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A counter's growth: added.
    Growth,
    /// A size: its mean.
    Size,
    /// A size: the largest.
    Largest,
}

/// The numbers of a row.
pub const COLUMNS: [(&str, Kind); COUNT] = [
    ("cpu_usage_usec", Kind::Growth),
    ("cpu_throttled_usec", Kind::Growth),
    ("memory_working_set_bytes", Kind::Size),
    ("memory_peak_bytes", Kind::Largest),
    ("pids_current", Kind::Largest),
    ("io_read_bytes", Kind::Growth),
    ("io_write_bytes", Kind::Growth),
    ("network_receive_bytes", Kind::Growth),
    ("network_transmit_bytes", Kind::Growth),
    ("cpu_pressure_some_usec", Kind::Growth),
    ("memory_pressure_some_usec", Kind::Growth),
    ("io_pressure_some_usec", Kind::Growth),
];

const COUNT: usize = 12;

/// Seconds of a row, and how many rows there are.
pub const TIERS: [(u32, u32); 3] = [(5, 720), (60, 1440), (900, 2880)];

/// In a row's flags: the kernel killed for want of memory.
pub const KILLED: u16 = 1 << 12;

/// In a row's flags: it covers clearly less or more than its span, as at the beginning, at the end and after a stop.
pub const UNEVEN: u16 = 1 << 13;

const HEADER_BYTES: usize = 64;
const ROW_BYTES: usize = 32;
const VERSION: u32 = 1;
const NONE: u16 = u16::MAX;

/// What was read at one moment, by [`COLUMNS`]: counters as they stand, sizes as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// None for what cannot be had.
    pub numbers: [Option<u64>; COUNT],
    /// A bit for each that no kernel counted.
    pub estimates: u16,
    /// Processes killed for want of memory until now.
    pub kills: u64,
}

/// The row of one tier that is being filled.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    time: u32,
    flags: u16,
    /// Of rows that were added.
    seconds: u32,
    numbers: [Option<u64>; COUNT],
    /// How many sizes the means are of.
    sizes: u64,
}

/// The file, and what is on its way into it.
#[derive(Debug)]
pub struct Ring {
    file: OwnedFd,
    before: Reading,
    tallies: [Tally; TIERS.len()],
}

impl Ring {
    /// Opens `name` in a directory, or makes it; its rows go on from `now`, counters counted from `first`.
    ///
    /// # Errors
    /// `kernel`.
    pub fn open(dir: impl AsFd, name: &str, first: Reading) -> Result<Self> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file =
            rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600)).at("open", name)?;
        let mut header = [0; HEADER_BYTES];
        let count = rustix::io::pread(&file, &mut header, 0).at("read", name)?;
        let ours = make_header();
        if count != HEADER_BYTES || header != ours {
            // Another version's rows are not ours to read; and what is not written takes no room.
            rustix::fs::ftruncate(&file, 0).at("write", name)?;
            rustix::fs::ftruncate(&file, file_bytes()).at("write", name)?;
            rustix::io::pwrite(&file, &ours, 0).at("write", name)?;
        }
        Ok(Self { file, before: first, tallies: Default::default() })
    }

    /// Adds what happened in the `seconds` before `now` (of 1970); the longest rows are written once a minute.
    ///
    /// # Errors
    /// `kernel`.
    pub fn record(&mut self, now: u64, seconds: u32, reading: &Reading) -> Result<()> {
        let began = u32::try_from(now).unwrap_or(u32::MAX).saturating_sub(seconds);
        let row = self.difference(began, seconds, reading);
        let before = self.before.numbers;
        self.before = *reading;
        for (number, before) in self.before.numbers.iter_mut().zip(before) {
            // What cannot be read for once has not begun anew.
            *number = number.or(before);
        }
        for (tier, (period, _)) in TIERS.iter().enumerate() {
            let time = began - began % period;
            if self.tallies[tier].time != time {
                if self.tallies[tier].time != 0 {
                    self.write(tier)?;
                }
                self.tallies[tier] = self.read(tier, time);
            }
            self.tallies[tier].add(&row);
            // The shortest at once, and longer ones when a minute of them is over.
            if tier == 0 || (began + seconds) / 60 != began / 60 {
                self.write(tier)?;
            }
        }
        Ok(())
    }

    /// Writes the rows that are not full: there will be no more.
    ///
    /// # Errors
    /// `kernel`.
    pub fn finish(&self) -> Result<()> {
        (0..TIERS.len())
            .filter(|&tier| self.tallies[tier].time != 0)
            .try_for_each(|t| self.write(t))
    }

    /// What happened since the last reading.
    fn difference(&self, time: u32, seconds: u32, reading: &Reading) -> Tally {
        let mut row = Tally { time, seconds, flags: reading.estimates, ..Tally::default() };
        if reading.kills > self.before.kills {
            row.flags |= KILLED;
        }
        for (at, (_, kind)) in COLUMNS.iter().enumerate() {
            let (now, before) = (reading.numbers[at], self.before.numbers[at]);
            row.numbers[at] = match kind {
                // A counter that went back began anew.
                Kind::Growth => now.map(|now| now.checked_sub(before.unwrap_or(0)).unwrap_or(now)),
                Kind::Size | Kind::Largest => now,
            };
        }
        row.sizes = 1;
        row
    }

    /// What is already in the row of this time: the container was stopped and started.
    fn read(&self, tier: usize, time: u32) -> Tally {
        let mut bytes = [0; ROW_BYTES];
        let fresh = Tally { time, ..Tally::default() };
        match rustix::io::pread(&self.file, &mut bytes, place(tier, time)) {
            Ok(ROW_BYTES) => Tally::decode(&bytes, time, TIERS[tier].0).unwrap_or(fresh),
            _ => fresh,
        }
    }

    fn write(&self, tier: usize) -> Result<()> {
        let tally = &self.tallies[tier];
        let bytes = tally.encode(TIERS[tier].0);
        rustix::io::pwrite(&self.file, &bytes, place(tier, tally.time)).at("write", "history")?;
        Ok(())
    }
}

impl Tally {
    fn add(&mut self, row: &Self) {
        self.flags |= row.flags;
        self.seconds += row.seconds;
        for (at, (_, kind)) in COLUMNS.iter().enumerate() {
            let (sum, more) = (self.numbers[at], row.numbers[at]);
            self.numbers[at] = match (sum, more, kind) {
                (None, other, _) | (other, None, _) => other,
                (Some(sum), Some(more), Kind::Growth) => Some(sum.saturating_add(more)),
                (Some(sum), Some(more), Kind::Size) => {
                    // The mean moves towards the new one by its share.
                    let all = u128::from(sum) * u128::from(self.sizes) + u128::from(more);
                    u64::try_from(all / u128::from(self.sizes + 1)).ok()
                }
                (Some(sum), Some(more), Kind::Largest) => Some(sum.max(more)),
            };
        }
        self.sizes += 1;
    }

    fn encode(&self, period: u32) -> [u8; ROW_BYTES] {
        let mut bytes = [0; ROW_BYTES];
        let uneven = self.seconds * 10 < period * 9 || self.seconds * 10 > period * 11;
        let flags = self.flags | if uneven { UNEVEN } else { 0 };
        bytes[..4].copy_from_slice(&self.time.to_le_bytes());
        bytes[4..6].copy_from_slice(&flags.to_le_bytes());
        for (place, number) in bytes[8..].chunks_exact_mut(2).zip(self.numbers) {
            place.copy_from_slice(&number.map_or(NONE, shorten).to_le_bytes());
        }
        let check = check(&bytes);
        bytes[6..8].copy_from_slice(&check);
        bytes
    }

    /// A row that is whole and of this time.
    fn decode(bytes: &[u8; ROW_BYTES], time: u32, period: u32) -> Option<Self> {
        if bytes[..4] != time.to_le_bytes() || bytes[6..8] != check(bytes) {
            return None;
        }
        let flags = u16::from_le_bytes([bytes[4], bytes[5]]);
        // How long an uneven one was is not told: shorter, as it would not go on otherwise.
        let seconds = if flags & UNEVEN == 0 { period } else { 0 };
        let mut numbers = [None; COUNT];
        for (number, short) in numbers.iter_mut().zip(bytes[8..].as_chunks::<2>().0) {
            let short = u16::from_le_bytes(*short);
            *number = (short != NONE).then(|| u64::from(short & 0x7ff) << (short >> 11));
        }
        Some(Self { time, flags: flags & !UNEVEN, seconds, numbers, sizes: 1 })
    }
}

/// The closest number of 11 bits, doubled up to 31 times: 4.4 × 10^12 at most.
fn shorten(number: u64) -> u16 {
    let mut exponent = (u64::BITS - number.leading_zeros()).saturating_sub(11);
    let half = if exponent > 0 { 1 << (exponent - 1) } else { 0 };
    let mut mantissa = number.saturating_add(half) >> exponent;
    if mantissa > 0x7ff {
        mantissa >>= 1;
        exponent += 1;
    }
    if exponent > 31 {
        return NONE - 1;
    }
    let packed = exponent << 11 | u32::try_from(mantissa).unwrap_or(0x7ff);
    u16::try_from(packed).unwrap_or(NONE - 1).min(NONE - 1)
}

/// CRC-32 (IEEE 802.3) of a row but for where it stands, its lower half. Bit by bit: a table would be larger than all rows
/// of an hour are worth.
fn check(row: &[u8; ROW_BYTES]) -> [u8; 2] {
    let mut crc = u32::MAX;
    for byte in row[..6].iter().chain(&row[8..]) {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xedb8_8320 };
        }
    }
    let [low, high, ..] = (!crc).to_le_bytes();
    [low, high]
}

fn make_header() -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(b"pyrtring");
    let tiers = TIERS.iter().flat_map(|&(period, rows)| [period, rows]);
    let numbers = [VERSION, ROW_BYTES as u32].into_iter().chain(tiers);
    for (place, number) in header[8..].chunks_exact_mut(4).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    header
}

fn place(tier: usize, time: u32) -> u64 {
    let before: u32 = TIERS[..tier].iter().map(|(_, rows)| rows).sum();
    let (period, rows) = TIERS[tier];
    let row = before + time / period % rows;
    HEADER_BYTES as u64 + u64::from(row) * ROW_BYTES as u64
}

fn file_bytes() -> u64 {
    let rows: u32 = TIERS.iter().map(|(_, rows)| rows).sum();
    HEADER_BYTES as u64 + u64::from(rows) * ROW_BYTES as u64
}

#[cfg(test)]
mod tests;
