//! Archives that nobody has thought of: those of the corpus, changed at random and again and again from what was made.
//!
//! A few seconds with every test run; `PYRT_FUZZ_SECONDS=600 cargo test -p pyrt-core --release fuzz -- --nocapture` for
//! longer. A panic ends the program, since panics abort.

use std::time::{Duration, Instant};

use super::corpus::{corpus, limits};
use super::tar::Tar;
use super::{Scratch, gzip};

const SECONDS: u64 = 5;
/// No archive of the fuzzer's may take longer.
const ONE: Duration = Duration::from_secs(5);
/// Of the whole test program, which runs others beside this one.
const MEMORY_KB: u64 = 512 << 10;
const LARGEST: usize = 64 << 10;

/// xorshift64*: the same archives in every run of the same length.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end.max(1)
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

const NAMES: [&[u8]; 12] = [
    b"..\0",
    b"../victim\0",
    b"/\0",
    b".\0",
    b"a\0",
    b"a/b\0",
    b".wh.a\0",
    b".wh..wh..opq\0",
    b"a/../..\0",
    b"../rootfs/a\0",
    b"\0",
    b"a/b/c/d/e\0",
];
const NUMBERS: [&[u8]; 8] = [
    b"00000000000\0",
    b"77777777777\0",
    b"00000001000\0",
    b"00000000001\0",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"           \0",
    b"00000000777\0",
];
const FLAGS: &[u8] = b"0123456xgLKSV7\0";

fn change(random: &mut Random, blob: &mut Vec<u8>, others: &[Vec<u8>]) {
    let blocks = blob.len() / 512;
    let block = random.below(blocks.max(1)) * 512;
    let put = |blob: &mut Vec<u8>, at: usize, bytes: &[u8]| {
        if at + bytes.len() <= blob.len() {
            blob[at..at + bytes.len()].copy_from_slice(bytes);
        }
    };
    match random.below(10) {
        0 if !blob.is_empty() => {
            let at = random.below(blob.len());
            blob[at] ^= 1 << random.below(8);
        }
        1 if !blob.is_empty() => {
            let at = random.below(blob.len());
            blob[at] = random.below(256) as u8;
        }
        2 => {
            let name = random.pick(&NAMES);
            put(blob, block, name);
        }
        3 => {
            let name = random.pick(&NAMES);
            put(blob, block + 157, name);
        }
        4 => {
            let at = *random.pick(&[100, 108, 116, 124, 136, 345, 386, 398, 483]);
            let number = random.pick(&NUMBERS);
            put(blob, block + at, number);
        }
        5 => put(blob, block + 156, &[*random.pick(FLAGS)]),
        6 if blocks > 0 => {
            let copied = blob[block..block + 512].to_vec();
            let at = random.below(blocks + 1) * 512;
            blob.splice(at..at, copied);
        }
        7 if blocks > 1 => {
            blob.drain(block..block + 512);
        }
        8 => {
            let other = random.pick(others);
            let from = random.below(other.len() / 512 + 1) * 512;
            let at = block.min(blob.len());
            blob.splice(at.., other[from.min(other.len())..].iter().copied());
        }
        _ => blob.truncate(random.below(blob.len() + 1)),
    }
    blob.truncate(LARGEST);
}

/// Makes checksums right, or little would be seen of what stands behind them.
fn seal(blob: &mut [u8]) {
    for block in blob.as_chunks_mut::<512>().0 {
        if block.iter().any(|byte| *byte != 0) && FLAGS.contains(&block[156]) {
            *block = Tar::seal(*block);
        }
    }
}

fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn fuzz() {
    let seconds = option_env!("PYRT_FUZZ_SECONDS").map_or(SECONDS, |text| text.parse().unwrap());
    let mut pool: Vec<Vec<u8>> = corpus()
        .into_iter()
        .map(|(_, blob, _)| blob)
        .filter(|blob| blob.len() <= LARGEST)
        .collect();
    let (mut random, mut runs, mut taken, mut longest) = (Random(0x5eed), 0u64, 0u64, ONE / 1000);
    let mut scratch = Scratch::new("fuzz");
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        let mut blob = random.pick(&pool).clone();
        for _ in 0..=random.below(6) {
            change(&mut random, &mut blob, &pool);
        }
        if random.below(8) != 0 {
            seal(&mut blob);
        }
        let packed = match random.below(16) {
            0 => gzip(&blob),
            1 => zstd::encode_all(blob.as_slice(), 1).unwrap(),
            _ => blob.clone(),
        };
        let begin = Instant::now();
        let result = scratch.unpack_within(&packed, &limits());
        longest = longest.max(begin.elapsed());
        assert!(longest < ONE, "took {longest:?}: {packed:02x?}");
        scratch.is_safe();
        runs += 1;
        if result.is_ok_and(|out| out.entries > 0) {
            taken += 1;
            // What goes through leads on to what else goes through.
            let at = random.below(pool.len());
            if pool.len() < 2000 {
                pool.push(blob);
            } else {
                pool[at] = blob;
            }
        }
        if runs % 64 == 0 {
            drop(scratch);
            scratch = Scratch::new("fuzz");
        }
    }
    assert!(taken > 0 && taken < runs, "{taken} of {runs}");
    assert!(peak_kb() < MEMORY_KB, "{} kB", peak_kb());
    let summary = format!(
        "fuzz: {seconds} s, {runs} archives, {taken} taken, the longest {longest:?}, peak {} kB",
        peak_kb()
    );
    // Shown with --nocapture: printing is not for the core.
    std::io::Write::write_all(&mut std::io::stdout(), format!("{summary}\n").as_bytes()).unwrap();
}
