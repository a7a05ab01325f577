//! A container's receipt: its sources, held while it lives, and read when it has ended.

use std::cell::OnceCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use pyrt_core::bundle::ReceiptConfig;
use pyrt_core::meter::files::Files;
use pyrt_core::meter::network::{self, Traffic};
use pyrt_core::meter::receipt::{Sources, rows};
use pyrt_core::meter::to_json;
use pyrt_core::paths::{open_host, read_host};
use pyrt_core::spec::Spec;
use pyrt_core::state::Exit;
use pyrt_core::sys::usage::{self, USAGE_BYTES, Usage};
use pyrt_core::{At, Result, journal, wire};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::Job;

/// How long the last exec'd programs, which ended with init, may take to tell.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// net/dev has some 130 bytes per interface.
const NET_DEV_BYTES: usize = 1 << 20;

/// The network namespace of a container that is being made.
#[derive(Default)]
pub(super) struct Network(OnceCell<OwnedFd>);

impl Network {
    /// Holds it, if the container has one of its own. Before init changes its IDs: then it is closed to all who have no
    /// rights in the namespace in which our executable was started.
    pub(super) fn hold(&self, spec: &Spec, pid: u32) -> Result<()> {
        if spec.makes("network") {
            let path = format!("/proc/{pid}/ns/net");
            let held = open_host(Path::new(&path), OFlags::RDONLY)?;
            self.0.get_or_init(|| held);
        }
        Ok(())
    }
}

/// Where what was used will be read.
pub(super) struct Meter {
    cgroup: Option<Files>,
    init_reaps: bool,
    /// The container's own network namespace: it outlives init by this descriptor.
    network: Option<OwnedFd>,
    started: Option<Instant>,
    /// Whoever waits for an exec'd program writes here what it has used.
    joined: Option<(OwnedFd, Option<OwnedFd>)>,
    /// Of exec'd programs that have ended.
    sum: Usage,
}

impl Meter {
    /// Of a container that is being created.
    pub(super) fn of(job: &Job, cgroup: Option<&OwnedFd>, network: Network) -> Result<Self> {
        let network = network.0.into_inner();
        let init_reaps = job.config.init;
        let cgroup = cgroup.map(|dir| dir.try_clone().at("dup", "cgroup")).transpose()?;
        let cgroup = cgroup.map(Files::of);
        let sum = Usage::default();
        Ok(Self { cgroup, init_reaps, network, started: None, joined: None, sum })
    }

    /// The container's own network namespace.
    pub(super) fn network(&self) -> Option<&OwnedFd> {
        self.network.as_ref()
    }

    /// The program runs from now on.
    pub(super) fn begin(&mut self) {
        self.started = Some(Instant::now());
    }

    /// Where the parent of one more program tells what that has used.
    pub(super) fn usage_pipe(&mut self) -> Result<OwnedFd> {
        if self.joined.is_none() {
            let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
            let (read, write) = pipe_with(flags).at("pipe", "usage")?;
            self.joined = Some((read, Some(write)));
        }
        let write = self.joined.as_ref().and_then(|(_, write)| write.as_ref());
        let write = write.ok_or_else(wire::lost)?;
        write.try_clone().at("dup", "usage")
    }

    /// What becomes readable when such a program has ended.
    pub(super) fn joined(&self) -> Option<BorrowedFd<'_>> {
        self.joined.as_ref().map(|(read, _)| read.as_fd())
    }

    /// Adds what ended programs have used; false when nobody is left who could tell more.
    pub(super) fn collect(&mut self) -> bool {
        let Some((read, _)) = &self.joined else { return false };
        let mut buffer = [0; USAGE_BYTES];
        loop {
            match rustix::io::retry_on_intr(|| rustix::io::read(read, &mut buffer)) {
                Ok(USAGE_BYTES) => self.sum.add(&buffer),
                Ok(0) => return false,
                // EAGAIN; and writes this short are whole.
                Ok(_) | Err(_) => return true,
            }
        }
    }

    /// The receipt, as JSON. The last thing that is done for a container before its cgroup goes: we leave our network
    /// namespace for the container's.
    pub(super) fn conclude(&mut self, init: Usage) -> String {
        self.wait_for_joined();
        let mut waited = init;
        waited.add(&self.sum.to_bytes());
        let traffic = self.network.as_ref().map(|network| read_traffic(network).ok());
        let wall = self.started.map_or(Duration::ZERO, |started| started.elapsed());
        to_json(&rows(Sources {
            cgroup: self.cgroup.as_mut(),
            waited,
            init_reaps: self.init_reaps,
            traffic,
            wall_usec: u64::try_from(wall.as_micros()).unwrap_or(u64::MAX),
            overhead: usage::own(),
        }))
    }

    /// Programs of exec end with init, by the kernel; their parents outside tell what they used right after.
    fn wait_for_joined(&mut self) {
        let deadline = Instant::now() + LAST_WORDS;
        // Without ours, its end of file says that all have told.
        if let Some((_, write)) = &mut self.joined {
            *write = None;
        }
        while self.collect() {
            let rest = deadline.saturating_duration_since(Instant::now());
            let Some(read) = self.joined().filter(|_| !rest.is_zero()) else { return };
            let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(rest.subsec_nanos()) };
            // EINTR: the deadline counts.
            let _ = poll(&mut [PollFd::from_borrowed_fd(read, PollFlags::IN)], Some(&timeout));
        }
    }
}

/// Through the host's procfs, by ourselves: nobody of the container lives any more.
fn read_traffic(network: &OwnedFd) -> Result<Traffic> {
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
        .at("setns", "network")?;
    let text = read_host(Path::new("/proc/thread-self/net/dev"), NET_DEV_BYTES)?;
    Ok(network::parse(&String::from_utf8_lossy(&text)))
}

/// Appends a receipt to the file of all.
///
/// # Errors
/// `kernel`.
pub(super) fn file(config: &ReceiptConfig, exit: &Exit, receipt: &str) -> Result<()> {
    let head = serde_json::json!({
        "id": exit.id, "name": config.name, "image": config.image, "exit_code": exit.exit_code,
        "started_at": exit.started_at, "finished_at": exit.finished_at,
    });
    let head = head.to_string();
    let line = format!("{},\"usage\":{receipt}}}\n", head.trim_end_matches('}'));
    journal::append(&config.path, config.max_size_bytes, line.as_bytes())
}
