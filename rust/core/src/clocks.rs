//! A time namespace of the container's own, and its offsets: `linux.timeOffsets` (time_namespaces(7)).

use std::path::Path;

use rustix::fs::OFlags;
use rustix::thread::LinkNameSpaceType;

use crate::error::{At, Code, Error, Result};
use crate::paths::{open_host, write_all};
use crate::spec::Spec;
use crate::sys::fork::{CLONE_NEWTIME, unshare};

/// The clocks that can be shifted.
const CLOCKS: [&str; 2] = ["monotonic", "boottime"];

/// Makes the namespace, sets its clocks and moves into it.
///
/// It cannot be cloned with the others: a new one is for children, so that its clocks can be set while nobody has read
/// them; and no child of ours is the container. setns(2) takes us there.
///
/// While /proc/self is ours, since a change of IDs gives it to root. The capabilities it needs are those of the clone.
///
/// # Errors
/// `kernel`; ERANGE for a clock that would be before 0 or beyond what the kernel counts.
pub fn enter(spec: &Spec) -> Result<()> {
    if !spec.makes("time") {
        return Ok(());
    }
    unshare(CLONE_NEWTIME).at("unshare", "time")?;
    let offsets = spec.linux.as_ref().map(|linux| &linux.time_offsets);
    if let Some(offsets) = offsets.filter(|offsets| !offsets.is_empty()) {
        let mut text = String::new();
        for (clock, offset) in offsets {
            text.push_str(clock);
            for number in [offset.secs, i64::from(offset.nanosecs)] {
                text.push(' ');
                text.push_str(&number.to_string());
            }
            text.push('\n');
        }
        let file = open_host(Path::new("/proc/self/timens_offsets"), OFlags::WRONLY)?;
        write_all(&file, text.as_bytes()).at("linux.timeOffsets", text.trim_end())?;
    }
    let ours = open_host(Path::new("/proc/self/ns/time_for_children"), OFlags::RDONLY)?;
    rustix::thread::move_into_link_name_space(
        std::os::fd::AsFd::as_fd(&ours),
        Some(LinkNameSpaceType::Time),
    )
    .at("setns", "time")
}

/// Refuses offsets without a namespace of our own to set them in, and clocks that have none.
///
/// # Errors
/// `invalid_spec` naming the property.
pub fn check(spec: &Spec) -> Result<()> {
    let Some(linux) = &spec.linux else { return Ok(()) };
    let refuse = |subject: &str, message: &str| {
        Err(Error::new(Code::InvalidSpec, "linux.timeOffsets", subject, message))
    };
    if linux.time_offsets.is_empty() {
        return Ok(());
    }
    if !spec.makes("time") {
        return refuse("", "need a new time namespace");
    }
    for (clock, offset) in &linux.time_offsets {
        if !CLOCKS.contains(&clock.as_str()) {
            return refuse(clock, "is not a clock that can be shifted");
        }
        if offset.nanosecs >= 1_000_000_000 {
            return refuse(clock, "has a second or more of nanoseconds");
        }
    }
    Ok(())
}
