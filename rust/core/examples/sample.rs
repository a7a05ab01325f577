//! What a look at many cgroups costs, printed for bench/meter.py: `sample DIRECTORY COUNT ROUNDS` looks at the cgroups
//! DIRECTORY/0 and so on, and prints nanoseconds per cgroup of a basic sample and of a full one, a line each round.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::path::Path;
use std::time::Instant;

use pyrt_core::meter::sample::{BASIC, Meter};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (count, rounds): (usize, usize) = (args[2].parse().unwrap(), args[3].parse().unwrap());
    let open = |at: usize| Meter::at(&Path::new(&args[1]).join(at.to_string())).unwrap();
    let mut meters: Vec<Meter> = (0..count).map(open).collect();
    look(&mut meters, true); // opens the rest
    for _ in 0..rounds {
        let cost = [false, true].map(|is_full| look(&mut meters, is_full) / count as u128);
        println!("{} {}", cost[0], cost[1]);
    }
}

/// Nanoseconds of one look at all.
fn look(meters: &mut [Meter], is_full: bool) -> u128 {
    let begun = Instant::now();
    let mut values = Vec::with_capacity(64);
    for meter in meters {
        values.clear();
        meter.sample(is_full, &mut None, &mut values);
        assert!(values[..BASIC.len()].iter().all(Option::is_some));
    }
    begun.elapsed().as_nanos()
}
