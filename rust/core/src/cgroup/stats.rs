//! What a cgroup has used, in the shape of `runc events` (runc: types/events.go): version 1's names, filled from the files
//! of version 2. What a controller that is not here would tell is left out, not zero.
//!
//! Written as text at once: every key is known and every value a number.

use std::fmt::{Display, Write};

use crate::cgroup::{Cgroup, keyed};
use crate::error::Result;

/// Version 1's knobs, which readers of runc's format may look for.
const CPUSET: &str = r#""cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,"memory_spread_slab":0,"memory_pressure":0,"sched_load_balance":0,"sched_relax_domain_level":0}"#;

/// A JSON text that grows.
#[derive(Default)]
struct Json(String);

impl Json {
    fn comma(&mut self) {
        if !self.0.is_empty() && !self.0.ends_with(['{', '[']) {
            self.0.push(',');
        }
    }

    /// `"key":{`, or `"key":[`; an empty key begins an element of a list.
    fn open(&mut self, key: &str, bracket: char) {
        self.comma();
        if !key.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(self.0, "\"{key}\":");
        }
        self.0.push(bracket);
    }

    fn close(&mut self, bracket: char) {
        self.0.push(bracket);
    }

    fn number(&mut self, key: &str, value: impl Display) {
        self.comma();
        let _ = write!(self.0, "\"{key}\":{value}");
    }

    /// Left out without a value.
    fn optional(&mut self, key: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.number(key, value);
        }
    }
}

impl Cgroup {
    /// `{cpu, cpuset, memory, pids, blkio, hugetlb, intel_rdt, network_interfaces}` as JSON. Times are nanoseconds, sizes
    /// bytes.
    ///
    /// # Errors
    /// `kernel`.
    pub fn stats(&self) -> Result<String> {
        let mut json = Json::default();
        json.open("", '{');
        self.write_cpu(&mut json)?;
        json.comma();
        json.0.push_str(CPUSET);
        self.write_memory(&mut json)?;
        json.open("pids", '{');
        match self.number("pids.current")? {
            Some(current) => {
                json.number("current", current);
                json.optional("limit", self.number("pids.max")?);
            }
            // Without the controller processes can be counted, though not their threads.
            None => json.number("current", self.processes()?.len()),
        }
        json.close('}');
        json.open("blkio", '{');
        write_io(&mut json, &self.read("io.stat")?.unwrap_or_default());
        write_pressure(&mut json, self.read("io.pressure")?.as_deref());
        json.close('}');
        self.write_huge_pages(&mut json)?;
        json.0.push_str(r#","intel_rdt":{},"network_interfaces":null}"#);
        Ok(json.0)
    }

    fn write_cpu(&self, json: &mut Json) -> Result<()> {
        // Each cgroup has this file, with or without the controller; only the throttling is the controller's.
        let text = self.read("cpu.stat")?.unwrap_or_default();
        let nanoseconds = |key| keyed(&text, key).unwrap_or_default().saturating_mul(1000);
        json.open("cpu", '{');
        json.open("usage", '{');
        json.number("total", nanoseconds("usage_usec"));
        json.number("kernel", nanoseconds("system_usec"));
        json.number("user", nanoseconds("user_usec"));
        json.close('}');
        if let Some(periods) = keyed(&text, "nr_periods") {
            json.open("throttling", '{');
            json.number("periods", periods);
            json.optional("throttledPeriods", keyed(&text, "nr_throttled"));
            json.number("throttledTime", nanoseconds("throttled_usec"));
            json.close('}');
        }
        write_pressure(json, self.read("cpu.pressure")?.as_deref());
        json.close('}');
        Ok(())
    }

    fn write_memory(&self, json: &mut Json) -> Result<()> {
        json.open("memory", '{');
        if let Some(usage) = self.number("memory.current")? {
            let text = self.read("memory.stat")?.unwrap_or_default();
            json.optional("cache", keyed(&text, "file"));
            let limit = self.number("memory.max")?.unwrap_or(u64::MAX);
            json.open("usage", '{');
            json.number("limit", limit);
            json.number("usage", usage);
            json.optional("max", self.number("memory.peak")?); // since Linux 5.19
            json.number("failcnt", self.keyed("memory.events", "max")?.unwrap_or_default());
            json.close('}');
            if let Some(swap) = self.number("memory.swap.current")? {
                // Version 1's number is of memory and swap together.
                let swap_limit = self.number("memory.swap.max")?.unwrap_or(u64::MAX);
                json.open("swap", '{');
                json.number("limit", limit.saturating_add(swap_limit));
                json.number("usage", usage.saturating_add(swap));
                json.number(
                    "failcnt",
                    self.keyed("memory.swap.events", "max")?.unwrap_or_default(),
                );
                json.close('}');
            }
            json.open("raw", '{');
            for line in text.lines() {
                if let Some((key, value)) = line.split_once(' ') {
                    json.optional(key, value.parse().ok());
                }
            }
            json.close('}');
        }
        write_pressure(json, self.read("memory.pressure")?.as_deref());
        json.close('}');
        Ok(())
    }

    fn write_huge_pages(&self, json: &mut Json) -> Result<()> {
        json.open("hugetlb", '{');
        for file in self.files("hugetlb.", ".current")? {
            let size = file.trim_end_matches(".current").trim_end_matches(".rsvd");
            let size = size.trim_start_matches("hugetlb.");
            // Reserved pages are what the limit counts first; where the kernel has them, they are told.
            let reserved = format!("hugetlb.{size}.rsvd.current");
            if file != reserved && self.has(&reserved) {
                continue;
            }
            json.open(size, '{');
            json.optional("usage", self.number(&file)?);
            let refused = self.keyed(&format!("hugetlb.{size}.events"), "max")?;
            json.number("failcnt", refused.unwrap_or_default());
            json.close('}');
        }
        json.close('}');
        Ok(())
    }
}

/// The two tables of version 1, for reads and for writes, of what io.stat has in one line per device.
fn write_io(json: &mut Json, text: &str) {
    for (table, keys) in [
        ("ioServiceBytesRecursive", ["rbytes", "wbytes"]),
        ("ioServicedRecursive", ["rios", "wios"]),
    ] {
        json.open(table, '[');
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let numbers = words.next().and_then(|device| device.split_once(':'));
            let Some((Ok(major), Ok(minor))) =
                numbers.map(|(major, minor)| (major.parse::<u32>(), minor.parse::<u32>()))
            else {
                continue;
            };
            for word in words {
                let Some((key, value)) = word.split_once('=') else { continue };
                let (Some(index), Ok(value)) =
                    (keys.iter().position(|known| *known == key), value.parse::<u64>())
                else {
                    continue;
                };
                json.open("", '{');
                json.number("major", major);
                json.number("minor", minor);
                json.number("op", if index == 0 { "\"Read\"" } else { "\"Write\"" });
                json.number("value", value);
                json.close('}');
            }
        }
        json.close(']');
    }
}

/// Pressure stall information (accounting/psi.rst); left out where the kernel has none.
fn write_pressure(json: &mut Json, text: Option<&str>) {
    let Some(text) = text.filter(|text| text.starts_with("some ")) else { return };
    json.open("psi", '{');
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(kind @ ("some" | "full")) = words.next() else { continue };
        json.open(kind, '{');
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            // As it is: `0.00` is a number of JSON, too.
            if value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
                json.number(key, value);
            }
        }
        json.close('}');
    }
    json.close('}');
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Json, write_io, write_pressure};

    fn value(write: impl FnOnce(&mut Json)) -> Value {
        let mut json = Json::default();
        json.open("", '{');
        write(&mut json);
        json.close('}');
        serde_json::from_str(&json.0).unwrap()
    }

    #[test]
    fn io_has_tables_of_version_1() {
        let text = "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0\n\
                    253:0 cost.usage=3\nbroken\n8: rbytes=1\n";
        let entry =
            |op: &str, number: u64| json!({"major": 8, "minor": 16, "op": op, "value": number});
        let expected = json!({
            "ioServiceBytesRecursive": [entry("Read", 1_459_200), entry("Write", 314_773_504)],
            "ioServicedRecursive": [entry("Read", 192), entry("Write", 353)],
        });
        assert_eq!(value(|json| write_io(json, text)), expected);
    }

    #[test]
    fn pressure_keeps_its_numbers() {
        let text = "some avg10=1.50 avg60=0.00 avg300=0.01 total=58230\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        let expected = json!({"psi": {
            "some": {"avg10": 1.5, "avg60": 0.0, "avg300": 0.01, "total": 58230},
            "full": {"avg10": 0.0, "avg60": 0.0, "avg300": 0.0, "total": 7},
        }});
        assert_eq!(value(|json| write_pressure(json, Some(text))), expected);
        assert_eq!(value(|json| write_pressure(json, None)), json!({}));
    }
}
