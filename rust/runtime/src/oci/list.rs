//! `state` and `list`.

use std::fmt::Write;

use pyrt_core::{At, Code, Error, Result, subid};
use rustix::io::Errno;
use serde::Serialize;

use super::command_line::Words;
use super::container::{Container, Status};
use super::globals::Globals;

/// runtime.md#state, with what runc adds.
#[derive(Serialize)]
struct State<'a> {
    #[serde(rename = "ociVersion")]
    oci_version: &'a str,
    id: &'a str,
    pid: u32,
    status: &'static str,
    bundle: &'a std::path::Path,
    rootfs: &'a std::path::Path,
    created: &'a str,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    annotations: &'a std::collections::BTreeMap<String, String>,
    owner: String,
}

impl<'a> State<'a> {
    fn of(container: &'a Container, status: Status) -> Result<Self> {
        let record = &container.record;
        Ok(Self {
            oci_version: &record.oci_version,
            id: &record.id,
            pid: if status == Status::Stopped { 0 } else { record.pid }, // 0, too, while it is being created
            status: status.as_str(),
            bundle: &record.bundle,
            rootfs: &record.rootfs,
            created: &record.created,
            annotations: &record.annotations,
            owner: subid::account_name(record.uid)?.unwrap_or_else(|| format!("#{}", record.uid)),
        })
    }
}

/// `state ID`
pub(super) fn state(globals: &Globals, words: &Words) -> Result<i32> {
    let container = Container::find(globals, words.only_id("state")?)?;
    let state = State::of(&container, container.status()?)?;
    let text = serde_json::to_string_pretty(&state).unwrap_or_default();
    Ok(crate::print(&format!("{text}\n")))
}

/// `list [--format table|json] [--quiet]`
pub(super) fn list(globals: &Globals, words: &Words) -> Result<i32> {
    if !words.rest.is_empty() {
        return Err(super::command_line::invalid("\"list\" requires exactly 0 argument(s)"));
    }
    let containers = all(globals)?;
    let mut text = String::new();
    if words.is_on("quiet")? {
        for container in &containers {
            text.push_str(&container.record.id);
            text.push('\n');
        }
        return Ok(crate::print(&text));
    }
    let states = containers.iter().map(|container| State::of(container, container.status()?));
    let states = states.collect::<Result<Vec<_>>>()?;
    match words.text("format")?.unwrap_or("table") {
        "json" => {
            text = serde_json::to_string(&states).unwrap_or_default();
            text.push('\n');
        }
        "table" => print_table(&states, &mut text),
        other => return Err(super::command_line::invalid(&format!("invalid format: {other:?}"))),
    }
    Ok(crate::print(&text))
}

/// runc's columns, padded as Go's tabwriter does.
fn print_table(states: &[State<'_>], text: &mut String) {
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let row = |state: &State<'_>| {
        [
            state.id.to_owned(),
            state.pid.to_string(),
            state.status.to_owned(),
            state.bundle.to_string_lossy().into_owned(),
            state.created.to_owned(),
            state.owner.clone(),
        ]
    };
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(states.iter().map(row)).collect();
    for cells in &rows {
        for (column, cell) in cells.iter().enumerate() {
            let width = rows.iter().map(|row| row[column].len()).max().unwrap_or(0).max(9) + 3;
            let width = if column + 1 == cells.len() { 0 } else { width };
            // Writing to a String does not fail.
            let _ = write!(text, "{cell:width$}");
        }
        text.push('\n');
    }
}

/// All containers of the root by name; one that is deleted meanwhile, or still being created, is left out.
fn all(globals: &Globals) -> Result<Vec<Container>> {
    let entries = match std::fs::read_dir(&globals.root) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(Vec::new()),
        result => result.at("read", &globals.root)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.at("read", &globals.root)?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort_unstable();
    let mut containers = Vec::new();
    for name in names {
        match Container::find(globals, &name) {
            Ok(container) => containers.push(container),
            Err(Error { code: Code::NotFound | Code::Conflict, .. }) => {}
            Err(error) if error.errno == Some(Errno::NOTDIR.raw_os_error()) => {}
            // One that is damaged does not hide the others.
            Err(error) => crate::complain(&error),
        }
    }
    Ok(containers)
}
