//! A container's receipt: its sources, held while it lives, and read when it has ended.

use std::cell::OnceCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pyrt_core::bundle::ReceiptConfig;
use pyrt_core::meter::files::Files;
use pyrt_core::meter::network::{self, Traffic};
use pyrt_core::meter::postmortem::{Above, PostMortem, examine};
use pyrt_core::meter::receipt::{Sources, rows};
use pyrt_core::meter::sample::Told;
use pyrt_core::meter::witness::{Clock, Device, Session};
use pyrt_core::paths::{open_host, read_all, read_host, write_all};
use pyrt_core::spec::Spec;
use pyrt_core::state::Exit;
use pyrt_core::sys::fork::{self, Fork};
use pyrt_core::sys::usage::{self, Ended, USAGE_BYTES, Usage};
use pyrt_core::{At, Result, journal, meter, wire};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::Job;
use super::clients::to_json;

/// How long the last exec'd programs, which ended with init, may take to tell.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// net/dev has some 130 bytes per interface.
const NET_DEV_BYTES: usize = 1 << 20;

/// What must be held of a container that is being made, before init changes its IDs: then it is closed to all who have no
/// rights in the namespace in which our executable was started.
#[derive(Default)]
pub(super) struct Held {
    /// Its network namespace, if it has one of its own.
    network: OnceCell<OwnedFd>,
    /// Its processor time, where no cgroup counts it.
    clock: OnceCell<Clock>,
    /// What init moves.
    device: OnceCell<Device>,
    has_cgroup: bool,
}

impl Held {
    pub(super) fn of(has_cgroup: bool) -> Self {
        Self { has_cgroup, ..Self::default() }
    }

    /// Takes hold of what `pid` has, on the host.
    pub(super) fn take(&self, spec: &Spec, pid: u32) -> Result<()> {
        if spec.makes("network") {
            let path = format!("/proc/{pid}/ns/net");
            let network = open_host(Path::new(&path), OFlags::RDONLY)?;
            self.network.get_or_init(|| network);
        }
        if let Some(device) = Device::of(pid) {
            self.device.get_or_init(|| device);
        }
        if !self.has_cgroup
            && let Some(clock) = Clock::of(pid)
        {
            self.clock.get_or_init(|| clock);
        }
        Ok(())
    }
}

/// Where what was used will be read.
pub(super) struct Meter {
    cgroup: Option<Files>,
    path: Option<PathBuf>,
    /// The cgroups above its own, where memory is limited.
    above: Option<Above>,
    init_reaps: bool,
    clock: Option<Clock>,
    /// The cgroup that it shares with us, if it has none of its own.
    session: Option<Session>,
    device: Option<Device>,
    /// What init had read and written when it ended.
    device_bytes: Option<(u64, u64)>,
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
    pub(super) fn of(job: &Job, cgroup: Option<&OwnedFd>, held: Held) -> Result<Self> {
        let cgroup = cgroup.map(|dir| dir.try_clone().at("dup", "cgroup")).transpose()?;
        Ok(Self {
            cgroup: cgroup.map(Files::of),
            path: job.cgroup.clone(),
            above: None,
            init_reaps: job.config.init,
            clock: held.clock.into_inner(),
            session: None,
            device: held.device.into_inner(),
            device_bytes: None,
            network: held.network.into_inner(),
            started: None,
            joined: None,
            sum: Usage::default(),
        })
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

    /// What nobody waits for, once the program runs.
    pub(super) fn settle(&mut self) {
        if self.cgroup.is_none() {
            self.session = Session::begin();
        } else {
            self.above = self.path.as_deref().and_then(Above::of);
        }
    }

    /// Reads what init, which has ended, tells until it is waited for.
    pub(super) fn look_back(&mut self) {
        self.device_bytes = self.device.as_ref().and_then(Device::bytes);
    }

    /// Its processor time where no cgroup counts it: the inherited counter, and what exec'd programs have used that ended.
    pub(super) fn counted_usec(&self) -> Option<u64> {
        let usec = self.clock.as_ref().and_then(Clock::usec)?;
        Some(usec + self.sum.user_usec + self.sum.system_usec)
    }

    /// What nobody else knows while the container lives, as [`pyrt_core::meter::sample::Told`] in JSON.
    pub(super) fn tell(&self) -> Vec<u8> {
        let told = Told {
            clock_usec: self.clock.as_ref().and_then(Clock::usec),
            joined_usec: self.sum.user_usec + self.sum.system_usec,
        };
        to_json(&told)
    }

    /// The receipt. The last thing that is done for a container before its cgroup goes: we leave our network namespace for
    /// the container's, unless we live on.
    pub(super) fn conclude(&mut self, ended: Option<Ended>, lives_on: bool) -> Receipt {
        self.wait_for_joined();
        let post_mortem = self.examine(ended);
        let init = ended.map(|ended| ended.usage).unwrap_or_default();
        let traffic = self.network.as_ref().map(|network| read_traffic(network, lives_on).ok());
        let wall = self.started.map_or(Duration::ZERO, |started| started.elapsed());
        let usage = meter::to_json(&rows(Sources {
            cgroup: self.cgroup.as_mut(),
            init,
            joined: self.sum,
            init_reaps: self.init_reaps,
            clock_usec: self.clock.as_ref().and_then(Clock::usec),
            device_bytes: self.device_bytes,
            session_usec: self.session.as_ref().and_then(Session::used_usec),
            traffic,
            wall_usec: u64::try_from(wall.as_micros()).unwrap_or(u64::MAX),
            overhead: usage::own(),
        }));
        let post_mortem = post_mortem.map(|known| to_json(&known));
        let post_mortem = post_mortem.and_then(|text| String::from_utf8(text).ok());
        let post_mortem = post_mortem.map_or(String::new(), |text| format!(",\"oom\":{text}"));
        Receipt(format!(",\"usage\":{usage}{post_mortem}}}"))
    }

    fn examine(&mut self, ended: Option<Ended>) -> Option<PostMortem> {
        let (files, path, above) =
            (self.cgroup.as_mut()?, self.path.as_ref()?, self.above.as_ref()?);
        // Our init tells the end of the program as a shell does.
        let is_killed =
            |ended: Ended| ended.signal == Some(9) || self.init_reaps && ended.code == Some(137);
        examine(files, path, above, ended.is_some_and(is_killed))
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

/// The end of a JSON object: what is known of the use of a container, and of its end for want of memory.
pub(super) struct Receipt(String);

impl Receipt {
    /// Adds it to an object in JSON.
    pub(super) fn append_to(&self, object: &mut Vec<u8>) {
        if object.pop() == Some(b'}') {
            object.extend_from_slice(self.0.as_bytes());
        }
    }
}

/// Through the host's procfs, by ourselves: nobody of the container lives any more. Who lives on has it done by a child: from
/// the container's network namespace there is no way back.
fn read_traffic(network: &OwnedFd, lives_on: bool) -> Result<Traffic> {
    let text = if lives_on {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).at("pipe", "network")?;
        match fork::fork_single(0, None).at("clone", "network")? {
            Fork::Child => {
                let text = read_counters(network).unwrap_or_default();
                // Without it there is no traffic in the receipt.
                let _ = write_all(&write, &text);
                fork::exit_now(0);
            }
            Fork::Parent { pidfd, .. } => {
                drop(write);
                let text = read_all(read, Path::new("net/dev"), NET_DEV_BYTES)?;
                usage::wait(pidfd.as_fd()).at("wait", "network")?;
                text
            }
        }
    } else {
        read_counters(network)?
    };
    Ok(network::parse(&String::from_utf8_lossy(&text)))
}

fn read_counters(network: &OwnedFd) -> Result<Vec<u8>> {
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
        .at("setns", "network")?;
    read_host(Path::new("/proc/thread-self/net/dev"), NET_DEV_BYTES)
}

/// Appends a receipt to the file of all.
///
/// # Errors
/// `kernel`.
pub(super) fn file(config: &ReceiptConfig, exit: &Exit, receipt: &Receipt) -> Result<()> {
    let head = serde_json::json!({
        "id": exit.id, "name": config.name, "image": config.image, "exit_code": exit.exit_code,
        "started_at": exit.started_at, "finished_at": exit.finished_at, "pod": config.pod,
    });
    let mut line = head.to_string().into_bytes();
    receipt.append_to(&mut line);
    line.push(b'\n');
    journal::append(&config.path, config.max_size_bytes, &line)
}
