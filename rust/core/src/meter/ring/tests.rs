//! Rows come back as they went in, long ones are sums of short ones, and a torn one is none.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use super::{COUNT, KILLED, NONE, ROW_BYTES, Reading, Ring, TIERS, Tally, UNEVEN, place, shorten};

fn directory(name: &str) -> (std::path::PathBuf, OwnedFd) {
    let path = std::env::temp_dir().join(format!("pyrt-ring-{name}-{}", std::process::id()));
    std::fs::create_dir(&path).unwrap();
    let fd = rustix::fs::open(&path, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap();
    (path, fd)
}

fn reading(cpu: u64, memory: u64) -> Reading {
    let mut numbers = [None; COUNT];
    (numbers[0], numbers[2], numbers[3]) = (Some(cpu), Some(memory), Some(memory));
    Reading { numbers, ..Reading::default() }
}

fn row(ring: &Ring, tier: usize, time: u32) -> Option<Tally> {
    let mut bytes = [0; ROW_BYTES];
    rustix::io::pread(&ring.file, &mut bytes, place(tier, time)).unwrap();
    let row = Tally::decode(&bytes, time, TIERS[tier].0)?;
    Some(Tally { flags: u16::from_le_bytes([bytes[4], bytes[5]]), ..row })
}

#[test]
fn numbers_are_short_and_near() {
    for number in (0..64).map(|bit| (1_u64 << bit).wrapping_mul(1337) >> 7).chain(0..5000) {
        let short = shorten(number);
        assert_ne!(short, NONE);
        let back = u64::from(short & 0x7ff) << (short >> 11);
        if number < 2046 << 31 {
            assert!(back.abs_diff(number) <= number / 2048, "{number} {back}");
        }
    }
}

#[test]
fn long_rows_are_sums_of_short_ones() {
    let (path, dir) = directory("sums");
    let mut ring = Ring::open(dir.as_fd(), "history", reading(100, 0)).unwrap();
    let start = 1_800_000_000 / 900 * 900;
    for step in 1..=180 {
        let mut now = reading(100 + step * 10, step * 1000);
        now.kills = u64::from(step > 100);
        ring.record(start + step * 5, 5, &now).unwrap();
    }
    let time = u32::try_from(start).unwrap();
    let short = row(&ring, 0, time).unwrap();
    assert_eq!((short.numbers[0], short.numbers[2], short.flags), (Some(10), Some(1000), 0));
    let minute = row(&ring, 1, time + 60).unwrap();
    assert_eq!((minute.numbers[0], minute.numbers[2]), (Some(120), Some(18496)));
    assert_eq!((minute.numbers[3], minute.numbers[5]), (Some(24000), None));
    let quarter = row(&ring, 2, time).unwrap();
    assert_eq!((quarter.numbers[0], quarter.flags), (Some(1800), KILLED));
    // Then it stops, and starts again within the same minute.
    ring.record(start + 905, 5, &reading(1910, 7)).unwrap();
    ring.finish().unwrap();
    drop(ring);
    let mut ring = Ring::open(dir.as_fd(), "history", Reading::default()).unwrap();
    ring.record(start + 930, 5, &reading(40, 3)).unwrap();
    ring.finish().unwrap();
    let minute = row(&ring, 1, time + 900).unwrap();
    assert_eq!((minute.numbers[0], minute.flags), (Some(50), UNEVEN));
    assert!(row(&ring, 0, time + 900).is_some());
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
fn what_cannot_be_read_for_once_is_not_counted_twice() {
    let (path, dir) = directory("once");
    let mut ring = Ring::open(dir.as_fd(), "history", Reading::default()).unwrap();
    let start = 1_800_000_000;
    for (step, now) in [reading(100, 1), Reading::default(), reading(130, 1)].iter().enumerate() {
        ring.record(start + 5 + step as u64 * 5, 5, now).unwrap();
    }
    let told = [0, 5, 10].map(|second| row(&ring, 0, 1_800_000_000 + second).unwrap().numbers[0]);
    assert_eq!(told, [Some(100), None, Some(30)]);
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
fn what_is_torn_or_old_is_none() {
    let (path, dir) = directory("torn");
    let mut ring = Ring::open(dir.as_fd(), "history", Reading::default()).unwrap();
    ring.record(1_800_000_005, 5, &reading(1, 1)).unwrap();
    assert!(row(&ring, 0, 1_800_000_000).is_some());
    assert!(row(&ring, 0, 1_800_003_600).is_none(), "the same place an hour later");
    rustix::io::pwrite(&ring.file, &[7], place(0, 1_800_000_000) + 9).unwrap();
    assert!(row(&ring, 0, 1_800_000_000).is_none());
    // Another's file is begun anew.
    rustix::io::pwrite(&ring.file, b"x", 0).unwrap();
    let ring = Ring::open(dir.as_fd(), "history", Reading::default()).unwrap();
    assert!(row(&ring, 1, 1_800_000_000).is_none());
    let size = std::fs::metadata(path.join("history")).unwrap().len();
    assert_eq!(size, super::file_bytes());
    std::fs::remove_dir_all(path).unwrap();
}
