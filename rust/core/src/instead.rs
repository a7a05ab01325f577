//! What limits a container where no controller of cgroups does: set by init upon itself, before it leaves the host.

use std::path::Path;

use rustix::event::Timespec;
use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::Deserialize;

use crate::error::{At, Result};
use crate::paths::{open_host, write_all};
use crate::scheduling::set_affinity;

/// The limits; none of them by default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Instead {
    /// The weight of its session among all sessions, as a nice (sched(7), The autogroup feature).
    pub autogroup_nice: Option<i32>,
    /// The CPUs that it begins with.
    pub affinity: Option<String>,
    /// Bytes per second that may leave by its interface: the monitor's to set.
    pub network_rate: Option<u32>,
}

/// The kernel lets an unprivileged process of the machine set a weight ten times a second, whoever it is.
const TURN: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
const TURNS: u32 = 250;

impl Instead {
    /// Sets them, in a session of our own.
    ///
    /// # Errors
    /// `kernel` naming the limit.
    pub fn enter(&self) -> Result<()> {
        if let Some(list) = &self.affinity {
            set_affinity("--cpuset-cpus", list)?;
        }
        let Some(nice) = self.autogroup_nice else { return Ok(()) };
        let path = Path::new("/proc/self/autogroup");
        let file = open_host(path, OFlags::WRONLY)?;
        let text = nice.to_string();
        for _ in 0..TURNS {
            match write_all(&file, text.as_bytes()) {
                Err(Errno::AGAIN) => drop(rustix::thread::nanosleep(&TURN)),
                written => return written.at("--cpu-shares", "autogroup"),
            }
        }
        Err(Errno::AGAIN).at("--cpu-shares", "autogroup")
    }
}
