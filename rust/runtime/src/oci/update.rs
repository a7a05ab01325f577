//! `update`: new limits for a container that lives, from flags or from a document.

use std::path::Path;

use pyrt_core::cgroup::Resources;
use pyrt_core::paths::{read_all, read_host};
use pyrt_core::{Code, Error, Result};
use serde_json::{Map, Value};

use super::cgroups;
use super::command_line::{Words, invalid};
use super::container::{Container, Status};
use super::events::scaled;
use super::globals::Globals;

pub(super) const FLAGS: [&str; 19] = [
    "resources,r=",
    "blkio-weight=",
    "cpu-period=",
    "cpu-quota=",
    "cpu-burst=",
    "cpu-rt-period=",
    "cpu-rt-runtime=",
    "cpu-share=",
    "cpu-idle=",
    "cpuset-cpus=",
    "cpuset-mems=",
    "kernel-memory=",
    "kernel-memory-tcp=",
    "memory=",
    "memory-reservation=",
    "memory-swap=",
    "pids-limit=",
    "l3-cache-schema=",
    "mem-bw-schema=",
];

/// How the value of a flag is written.
#[derive(Clone, Copy)]
enum Form {
    /// `100000`; empty says nothing.
    Integer,
    /// `512m`, -1; empty says nothing.
    Bytes,
    /// As it is.
    Text,
}

/// Flag, object and property of `linux.resources`, and the form.
/// `kernel-memory` and `kernel-memory-tcp` are taken and of no effect, as in runc: `memory` limits those, too.
const PROPERTIES: [(&str, &str, &str, Form); 14] = [
    ("blkio-weight", "blockIO", "weight", Form::Integer),
    ("cpu-period", "cpu", "period", Form::Integer),
    ("cpu-quota", "cpu", "quota", Form::Integer),
    ("cpu-burst", "cpu", "burst", Form::Integer),
    ("cpu-rt-period", "cpu", "realtimePeriod", Form::Integer),
    ("cpu-rt-runtime", "cpu", "realtimeRuntime", Form::Integer),
    ("cpu-share", "cpu", "shares", Form::Integer),
    ("cpu-idle", "cpu", "idle", Form::Integer),
    ("cpuset-cpus", "cpu", "cpus", Form::Text),
    ("cpuset-mems", "cpu", "mems", Form::Text),
    ("memory", "memory", "limit", Form::Bytes),
    ("memory-reservation", "memory", "reservation", Form::Bytes),
    ("memory-swap", "memory", "swap", Form::Bytes),
    ("pids-limit", "pids", "limit", Form::Integer),
];

/// A document of resources is small.
const DOCUMENT_BYTES: usize = 1 << 20;

/// `update [--resources FILE | flags] ID`
pub(super) fn main(globals: &Globals, words: &Words) -> Result<i32> {
    let container = Container::find(globals, words.only_id("update")?)?;
    for flag in ["l3-cache-schema", "mem-bw-schema"] {
        if words.text(flag)?.is_some_and(|schema| !schema.is_empty()) {
            let message = "Intel RDT needs root: the machine's user alone may write resctrl";
            return Err(Error::new(Code::Unsupported, format!("--{flag}"), "", message));
        }
    }
    let resources = match words.text("resources")?.filter(|path| !path.is_empty()) {
        Some(path) => Resources::parse(&read_document(path)?, &container.record.oci_version)?,
        None => Resources::parse(&from_flags(words)?, "1.3.0")?,
    };
    if matches!(container.status()?, Status::Creating | Status::Stopped) {
        return Err(Error::new(Code::Conflict, "", "", "container not running"));
    }
    cgroups::update(&container.record, &resources)?;
    Ok(0)
}

fn read_document(path: &str) -> Result<Value> {
    let data = match path {
        "-" => read_all(rustix::stdio::stdin(), Path::new("stdin"), DOCUMENT_BYTES)?,
        path => read_host(Path::new(path), DOCUMENT_BYTES)?,
    };
    // A decoder of a stream, as runc's: what follows the document is not its matter.
    let first = serde_json::Deserializer::from_slice(&data).into_iter::<Value>().next();
    match first {
        Some(Ok(document)) => Ok(document),
        Some(Err(error)) => Err(invalid(&format!("--resources: {error}"))),
        None => Err(invalid("--resources: empty")),
    }
}

fn from_flags(words: &Words) -> Result<Value> {
    let mut document = Map::new();
    for (flag, object, property, form) in PROPERTIES {
        let Some(text) = words.text(flag)?.filter(|text| !text.is_empty()) else { continue };
        let value = match form {
            Form::Text => Some(Value::from(text)),
            Form::Integer => text.parse::<i64>().ok().map(Value::from),
            Form::Bytes => parse_bytes(text).map(Value::from),
        };
        let value = value.ok_or_else(|| invalid(&format!("invalid value for {flag}: {text:?}")))?;
        let fields = document.entry(object).or_insert_with(|| Value::Object(Map::new()));
        fields[property] = value;
    }
    Ok(Value::Object(document))
}

/// docker's sizes: `512`, `512k`, `1.5g`, `64MiB`; each letter is a power of 1024. -1 is unlimited.
fn parse_bytes(text: &str) -> Option<i64> {
    if text == "-1" {
        return Some(-1);
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_lowercase();
    let unit = unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit);
    let power = ["", "k", "m", "g", "t", "p"].iter().position(|known| *known == unit)?;
    let scale = 1024_u64.checked_pow(u32::try_from(power).ok()?)?;
    scaled(number, scale).and_then(|bytes| i64::try_from(bytes).ok())
}

#[cfg(test)]
mod tests {
    use super::{FLAGS, from_flags, parse_bytes};
    use crate::oci::command_line::parse;

    #[test]
    fn sizes_are_those_of_docker() {
        for (text, bytes) in [
            ("-1", -1),
            ("0", 0),
            ("512", 512),
            ("512k", 524_288),
            ("1.5g", 1_610_612_736),
            ("64MiB", 67_108_864),
            ("64 mb", 67_108_864),
            ("7b", 7),
        ] {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for text in ["", "x", "5x", "-2", "k", "1e3", "9999999p", "5kk"] {
            assert_eq!(parse_bytes(text), None, "{text:?}");
        }
    }

    #[test]
    fn flags_make_a_document() {
        let args =
            ["--memory", "64m", "--pids-limit=-1", "--cpuset-cpus", "0-1", "--cpu-share", "", "id"];
        let args: Vec<_> = args.map(Into::into).into();
        let words = parse(&args, &FLAGS, false).unwrap();
        let expected = serde_json::json!({
            "memory": {"limit": 67_108_864}, "pids": {"limit": -1}, "cpu": {"cpus": "0-1"},
        });
        assert_eq!(from_flags(&words).unwrap(), expected);
        let words = parse(&["--cpu-quota=x".into()], &FLAGS, false).unwrap();
        assert!(from_flags(&words).unwrap_err().message.contains("cpu-quota"));
    }
}
