//! `pyrt-network probe`: one probe or hook of a container, done, judged and written down; the exit code is the verdict.
//!
//! The monitor runs it, and gives it what exec needs. It is no part of the monitor because that stays for the container's life
//! and this for a moment.
//!
//! | exit code | means                                                            |
//! |-----------|------------------------------------------------------------------|
//! | 0         | it passes; of a hook: it succeeded                               |
//! | 1         | it has failed as often as is too often; of a hook: it failed     |
//! | 2         | not decided yet                                                  |
//! | other     | could not be done: no verdict                                    |

mod grpc;
mod program;
mod record;
mod talk;

use std::path::Path;
use std::time::{Duration, Instant};

use pyrt_core::paths::{open_host, read_host};
use pyrt_core::state::now;
use pyrt_core::{Code, Error, Result};
use rustix::fs::OFlags;
use serde_json::Value;

use crate::Status;
use crate::arguments::{Arguments, missing};

/// What the container's probes and hooks do, by their names.
const DOCUMENT: &str = "probes.json";
const DOCUMENT_BYTES: usize = 1 << 20;
/// Of the output, this much is kept.
pub(crate) const OUTPUT_BYTES: usize = 500;

/// How one went.
pub(crate) struct Outcome {
    /// 0 if it went well.
    pub(crate) code: i32,
    pub(crate) output: String,
}

impl Outcome {
    pub(crate) fn of(code: i32, output: impl Into<String>) -> Self {
        Self { code, output: output.into() }
    }
}

/// `probe --bundle DIR --name NAME --namespaces MASK --elapsed-ms N --init FD --filter FD --usage FD [--cgroup FD]
/// [--no-groups 1]`
pub(crate) fn main(args: &Arguments) -> Status {
    let bundle = args.path("bundle")?;
    let name = args.get("name").and_then(|name| name.to_str()).unwrap_or_default();
    let elapsed_ms: u64 = args.number("elapsed-ms")?.ok_or_else(|| missing("elapsed-ms"))?;
    let directory = open_host(&bundle, OFlags::PATH | OFlags::DIRECTORY)?;
    let document: Value = parse(&read_host(&bundle.join(DOCUMENT), DOCUMENT_BYTES)?)?;
    let probe = document
        .get(name)
        .ok_or_else(|| Error::new(Code::NotFound, "probe", name, "the container has none"))?;
    let start = now();
    let timeout = Duration::from_millis(number(probe, "timeout_ms"));
    let outcome = act(args, probe, Instant::now() + timeout);
    let outcome = outcome.unwrap_or_else(|error| Outcome::of(125, error.to_string()));
    if probe.get("failure_threshold").is_none() {
        return Ok(i32::from(outcome.code != 0)); // a hook
    }
    record::keep(&bundle, &directory, name, probe, elapsed_ms, &start, &outcome)
}

/// Does it, until the deadline.
fn act(args: &Arguments, probe: &Value, deadline: Instant) -> Result<Outcome> {
    let action = probe.get("action").unwrap_or(&Value::Null);
    let part = |name: &str| action.get(name).filter(|part| !part.is_null());
    if part("exec").is_some() {
        return program::run(args, probe.get("process").unwrap_or(&Value::Null), deadline);
    }
    if let Some(seconds) = part("sleep_s").and_then(Value::as_f64) {
        std::thread::sleep(Duration::try_from_secs_f64(seconds).unwrap_or_default());
        return Ok(Outcome::of(0, ""));
    }
    talk::enter_network(args)?;
    let answer = if let Some(http) = part("http") {
        talk::http(http, deadline)
    } else if let Some(tcp) = part("tcp") {
        talk::connect(tcp, deadline).map(|_| Outcome::of(0, ""))
    } else if let Some(grpc) = part("grpc") {
        talk::connect(grpc, deadline).and_then(|socket| grpc::check(socket, grpc, deadline))
    } else {
        return Err(Error::new(Code::InvalidSpec, DOCUMENT, "action", "is none that is known"));
    };
    Ok(answer.unwrap_or_else(|error| Outcome::of(1, talk::describe(&error, deadline))))
}

fn parse(data: &[u8]) -> Result<Value> {
    serde_json::from_slice(data)
        .map_err(|error| Error::new(Code::InvalidSpec, "read", DOCUMENT, error.to_string()))
}

pub(crate) fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}

pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// What is read of a document beside it, if it is there.
pub(crate) fn read_document(path: &Path) -> Value {
    read_host(path, DOCUMENT_BYTES).and_then(|data| parse(&data)).unwrap_or(Value::Null)
}
