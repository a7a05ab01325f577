//! `events`: what a container uses, told every few seconds, and each process that was killed for want of memory.

use std::time::{Duration, Instant};

use pyrt_core::cgroup::Cgroup;
use pyrt_core::cgroup::watch::{Event, Watch};
use pyrt_core::paths::write_all;
use pyrt_core::{At, Code, Error, Result};

use super::command_line::{Words, invalid};
use super::container::{Container, Status};
use super::freezer::no_cgroup;
use super::globals::Globals;

pub(super) const FLAGS: [&str; 2] = ["interval=", "stats"];

/// `events [--interval DURATION] [--stats] ID`
pub(super) fn main(globals: &Globals, words: &Words) -> Result<i32> {
    let id = words.only_id("events")?;
    let interval = words.text("interval")?.unwrap_or("5s");
    let interval = parse_duration(interval)
        .ok_or_else(|| invalid(&format!("invalid value {interval:?} for flag -interval")))?;
    if interval.is_zero() {
        return Err(invalid("duration interval must be greater than 0"));
    }
    let container = Container::find(globals, id)?;
    if matches!(container.status()?, Status::Creating | Status::Stopped) {
        let message = format!("container with id {id} is not running");
        return Err(Error::new(Code::Conflict, "", "", message));
    }
    let cgroup = container.cgroup()?.ok_or_else(|| no_cgroup("events"))?;
    if words.is_on("stats")? {
        return tell_stats(&cgroup, id).map(|()| 0);
    }
    let mut watch = Watch::open(&cgroup)?;
    let mut next = Instant::now() + interval;
    loop {
        match watch.wait(next)? {
            Event::Oom => tell(&format!("{{\"type\":\"oom\",\"id\":\"{id}\"}}\n"))?,
            Event::Empty => return Ok(0),
            Event::Nothing => {
                tell_stats(&cgroup, id)?;
                next += interval;
            }
        }
    }
}

/// An ID has no character that JSON would escape.
fn tell_stats(cgroup: &Cgroup, id: &str) -> Result<()> {
    let data = cgroup.stats()?;
    tell(&format!("{{\"type\":\"stats\",\"id\":\"{id}\",\"data\":{data}}}\n"))
}

/// One write per event; a reader that is gone ends it.
fn tell(line: &str) -> Result<()> {
    write_all(rustix::stdio::stdout(), line.as_bytes()).at("write", "stdout")
}

/// Go's durations: `5s`, `1m30s`, `1.5h`, `100ms`.
fn parse_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 7] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(scaled(number, *scale)?)?;
        rest = tail;
    }
    (!text.is_empty()).then(|| Duration::from_nanos(total))
}

/// A decimal number times `scale`, without what is smaller than one.
pub(super) fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u64>().ok() };
    let places = u32::try_from(fraction.len()).ok()?;
    let part = u128::from(digits(fraction)?) * u128::from(scale) / 10_u128.checked_pow(places)?;
    digits(whole)?.checked_mul(scale)?.checked_add(u64::try_from(part).ok()?)
}

#[cfg(test)]
mod tests {
    use super::{parse_duration, scaled};

    #[test]
    fn durations_are_those_of_go() {
        for (text, milliseconds) in [
            ("5s", 5000),
            ("1m30s", 90_000),
            ("1.5s", 1500),
            ("100ms", 100),
            (".5s", 500),
            ("0", 0),
        ] {
            assert_eq!(
                parse_duration(text).map(|time| time.as_millis()),
                Some(milliseconds),
                "{text}"
            );
        }
        for text in ["", "5", "s", "-5s", "5 s", "5x", "1..5s", ".s"] {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_fraction_is_of_the_scale() {
        assert_eq!(scaled("1.5", 1024), Some(1536));
        assert_eq!(scaled("18446744073709551615", 2), None);
        assert_eq!(scaled(".", 2), None);
    }
}
