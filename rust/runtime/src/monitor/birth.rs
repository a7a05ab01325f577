//! Making one container: everything it needs, then init, then word to the lead; and taking it all back.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pyrt_core::cgroup::{Cgroup, Resources};
use pyrt_core::create::{self, Plan};
use pyrt_core::paths::{Reserved, open_host, write_whole};
use pyrt_core::seccomp::{self, Filter};
use pyrt_core::spec::{IdMapping, Spec};
use pyrt_core::state::{State, lock, now};
use pyrt_core::wire::Frame;
use pyrt_core::{At, Code, Error, Result, sys, tree};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::thread::ThreadNameSpaceType;

use super::Job;
use super::again::{self, Life, Rebirth};
use super::alert::Alert;
use super::clients::{Client, set_nonblocking, to_json};
use super::container::{Container, Joining};
use super::control::listen;
use super::course::Course;
use super::events::Events;
use super::log::Log;
use super::pod::{self, Pod};
use super::probes::Probes;
use super::receipt::{Held, Meter};
use super::stdio::Stdio;
use super::uplink;

/// How long processes that are killed may take to be gone.
const DEATH_LIMIT: Duration = Duration::from_secs(5);

/// Room for exit.json, with the receipt in it.
const EXIT_BYTES: u64 = 8192;

/// Creates the container, tells the lead, and watches until the end.
pub(super) fn supervise(mut job: Job, lead: Option<BorrowedFd<'_>>) -> Result<()> {
    let (alive, life) = match job.again.take() {
        Some(again) => (again.alive, again.life),
        None => (begin(&job)?, Life::default()),
    };
    let restarts = life.restarts;
    let undo = Undo::of(&job)?;
    let (start, rebirth) = (job.start, Rebirth::of(&job));
    let has_own_pids = job.spec.makes("pid");
    match prepare(job, undo.cgroup.as_ref(), lead, life) {
        Ok(mut container) => {
            if let Some(attach) = start {
                container.start_for(0, attach);
            }
            if restarts > 0 {
                container.start_again();
            }
            // The documents are parsed and gone; we stay.
            sys::memory::trim_heap();
            sys::memory::trim_stack();
            sys::memory::trim_code();
            let status = container.watch();
            if !has_own_pids {
                undo.end_others();
            }
            let exit = container.conclude(status);
            if container.course.lives_on && container.rest(exit.as_deref()) {
                let error = rebirth.execute(&container, alive.as_fd());
                again::give_up(&container.bundle, &container.id, &error);
            }
            let is_free = undo.release();
            if undo.removes_bundle() && exit.is_some() {
                container.tell("remove", "");
            }
            container.say_goodbye(exit.as_deref());
            undo.finish(is_free);
            Ok(())
        }
        Err(error) => {
            if restarts > 0 {
                let directory = OFlags::PATH | OFlags::DIRECTORY;
                let bundle = open_host(&undo.bundle, directory)?;
                again::give_up(&bundle, &rebirth.id, &error);
            }
            undo.finish(undo.release());
            Err(error)
        }
    }
}

/// Leaves whoever started us, and takes the lock that says that we live.
fn begin(job: &Job) -> Result<OwnedFd> {
    rustix::process::setsid().at("setsid", "")?;
    rustix::process::chdir("/").at("chdir", "/")?;
    make_run_dir(&job.run_dir)?;
    let alive = job.run_dir.join("alive");
    let taken = lock(&alive)?;
    taken.ok_or_else(|| Error::new(Code::Conflict, "start", &*job.config.id, "is running already"))
}

/// The run directory, emptied of what a lost monitor left; the lock in it is taken next.
fn make_run_dir(path: &Path) -> Result<()> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno).at("mkdir", path),
    }
}

/// Up to *created*, with the network, and the lead told.
fn prepare(
    job: Job,
    cgroup: Option<&Cgroup>,
    lead: Option<BorrowedFd<'_>>,
    life: Life,
) -> Result<Container> {
    let (bundle, run_dir) = open_directories(&job, life.listener.is_some())?;
    let log = job.config.log.as_ref().map(Log::open).transpose()?;
    let filter = seccomp::of(&job.spec, job.config.seccomp_cache.as_deref())?;
    give_writable_layer(&job)?;
    let cgroup = limit(&Resources::of(&job.spec)?, cgroup)?; // before init is born in it
    let (mut stdio, theirs) = Stdio::pipes(job.config.stdin)?;
    let alerts = Alert::set_all(&job.config.alerts, cgroup.as_ref())?;
    let (member, joins) = pod::join(&job.spec, life.member)?;
    let held = Held::of(cgroup.is_some());
    let plan = Plan {
        spec: &job.spec,
        id: &job.config.id,
        bundle: &job.bundle,
        rootfs: job.config.rootfs.as_ref(),
        filter: filter.as_ref(),
        create_workdir: job.config.create_workdir,
        stdio: Some(theirs),
        kept_fds: 0,
        cgroup: cgroup.as_ref().map(AsFd::as_fd),
        joinable: job.config.network.is_some() || job.config.infra.is_some(),
        joins: &joins,
        single_id: job.single_id,
        start: None,
        tied: true,
        new_keyring: true,
        settle: Some(&|pid| held.take(&job.spec, pid)),
        task_limit: job.config.task_limit,
        instead: job.config.instead.clone(),
        pivots: true,
        pause: pod::pause(&job.config),
    };
    let joining = describe(&plan);
    let beginning = create::begin(&plan)?;
    drop(plan);
    // Init mounts; meanwhile, on another processor, we prepare what does not depend on it.
    let pid = beginning.pid;
    let undone = |error| (beginning.abandon(), error).1;
    let state = created_state(&job, pid, life.restarts);
    write_whole(run_dir.as_fd(), "state.json", &to_json(&state), 0o600).map_err(undone)?;
    let listener = life.listener.map_or_else(|| listen(&run_dir), Ok).map_err(undone)?;
    let reserve = || Reserved::make(bundle.as_fd(), "exit.json", EXIT_BYTES);
    let record = (!job.config.remove).then(reserve).transpose().map_err(undone)?;
    let meter = Meter::of(&job, cgroup.as_ref(), held).map_err(undone)?;
    let events = Events::watch(cgroup.as_ref());
    let lead = lead.map(keep).transpose().map_err(undone)?;
    let mut created = beginning.finish(&job.spec)?;
    if let Some(terminal) = created.terminal.take() {
        stdio.use_terminal(terminal).inspect_err(|_| create::end(created.pidfd.as_fd()))?;
    }
    let ended = |_: &Error| create::end(created.pidfd.as_fd());
    let pod = Pod::of(&job.config, &job.spec, pid, member).inspect_err(ended)?;
    let bridged = uplink::connect(&job, pid, meter.network()).inspect_err(ended)?;
    Ok(Container {
        id: job.config.id.clone(),
        bundle,
        bridged,
        run_dir,
        probes: Probes::of(&job.config.schedule),
        config: job.config,
        state,
        created,
        cgroup,
        stdio,
        log,
        listener,
        clients: lead.map(|lead| greet(lead, pid)).into_iter().collect(),
        is_deaf: false,
        abandoned: false,
        failure: None,
        record,
        joining,
        meter,
        events,
        alerts,
        history: None,
        has_network: job.spec.makes("network"),
        pod,
        course: Course::of(life.restarts, life.pause_ms),
    })
}

/// The bundle, and the run directory without what a lost monitor left.
fn open_directories(job: &Job, is_again: bool) -> Result<(OwnedFd, OwnedFd)> {
    let directory = OFlags::PATH | OFlags::DIRECTORY;
    let bundle = open_host(&job.bundle, directory)?;
    let run_dir = open_host(&job.run_dir, directory)?;
    let names = if is_again { &[][..] } else { &["control.sock", "state.json"] };
    for name in names {
        // ENOENT is the rule; a lost monitor's socket would make bind fail.
        let _ = rustix::fs::unlinkat(&run_dir, *name, AtFlags::empty());
    }
    Ok((bundle, run_dir))
}

/// Gives the cgroup all controllers that there are, to account by, and writes the limits; a descriptor of it.
fn limit(resources: &Resources, cgroup: Option<&Cgroup>) -> Result<Option<OwnedFd>> {
    if let Some(cgroup) = cgroup {
        cgroup.enable_controllers(resources)?;
    }
    resources.apply_to(cgroup)?;
    let dup = |cgroup: &Cgroup| cgroup.as_fd().try_clone_to_owned().at("dup", "cgroup");
    cgroup.map(dup).transpose()
}

/// The connection to the lead as one of the loop's.
fn keep(lead: BorrowedFd<'_>) -> Result<OwnedFd> {
    let lead = lead.try_clone_to_owned().at("dup", "lead")?;
    set_nonblocking(&lead).map(|()| lead)
}

/// The lead hears that there is an init.
fn greet(lead: OwnedFd, pid: u32) -> Client {
    let mut lead = Client::new(lead, true);
    lead.push(Frame::Created, format!("{{\"pid\":{pid}}}").as_bytes(), Vec::new());
    lead
}

fn created_state(job: &Job, pid: u32, restarts: u64) -> State {
    State {
        oci_version: job.spec.oci_version.clone(),
        id: job.config.id.clone(),
        status: "created".to_owned(),
        pid,
        bundle: job.bundle.to_string_lossy().into_owned(),
        created: now(),
        started_at: String::new(),
        restarts,
    }
}

/// The writable layer belongs to the container's root, which is not the user where the map says otherwise: the
/// overlay would be read-only to it, and `/` somebody else's.
fn give_writable_layer(job: &Job) -> Result<()> {
    let (Some(rootfs), Some(linux)) = (&job.config.rootfs, &job.spec.linux) else { return Ok(()) };
    let root_of = |map: &[IdMapping]| {
        map.iter().find(|range| range.container_id == 0).map_or(0, |range| range.host_id)
    };
    let (uid, gid) = (root_of(&linux.uid_mappings), root_of(&linux.gid_mappings));
    if (uid, gid) == (0, 0) {
        return Ok(());
    }
    for path in [&rootfs.upper, &rootfs.work] {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        rustix::fs::chownat(rustix::fs::CWD, path, owner.0, owner.1, flags).at("chown", path)?;
    }
    Ok(())
}

/// What exec must know.
fn describe(plan: &Plan<'_>) -> Joining {
    Joining {
        namespaces: joined_namespaces(plan.spec),
        may_set_groups: plan.may_set_groups(),
        filter: plan.filter.map(Filter::to_bytes),
    }
}

/// setns(2)'s mask. The user namespace always: even `--userns=host` is the user's own and not the host's.
fn joined_namespaces(spec: &Spec) -> u32 {
    let kinds = [
        ("mount", ThreadNameSpaceType::MOUNT),
        ("pid", ThreadNameSpaceType::PROCESS_ID),
        ("ipc", ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION),
        ("uts", ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME),
        ("network", ThreadNameSpaceType::NETWORK),
        ("cgroup", ThreadNameSpaceType::CONTROL_GROUP),
        ("time", ThreadNameSpaceType::TIME),
    ];
    kinds
        .iter()
        .filter(|(kind, _)| spec.namespace(kind).is_some())
        .fold(ThreadNameSpaceType::USER, |mask, (_, flag)| mask | *flag)
        .bits()
}

/// What is given back when the container has ended, or never was.
struct Undo {
    run_dir: PathBuf,
    bundle: PathBuf,
    /// What Python recorded, with `--rm`.
    paths: Vec<PathBuf>,
    cgroup: Option<Cgroup>,
}

impl Undo {
    fn of(job: &Job) -> Result<Self> {
        Ok(Self {
            run_dir: job.run_dir.clone(),
            bundle: job.bundle.clone(),
            paths: if job.config.remove { job.config.undo.clone() } else { Vec::new() },
            cgroup: job.cgroup.as_deref().map(Cgroup::open).transpose()?,
        })
    }

    /// Ends what init leaves in a pid namespace of others, where the kernel does not.
    fn end_others(&self) {
        if let Some(cgroup) = &self.cgroup {
            // What does not die keeps the cgroup, and so is known to the next sweep.
            let _ = cgroup.kill().and_then(|()| cgroup.wait_empty(DEATH_LIMIT));
        }
    }

    /// Gives back all by which the container can be found. What refuses stays for the next command's sweep, which
    /// can still tell somebody; false if a cgroup is among it, which the bundle's note leads to.
    fn release(&self) -> bool {
        let is_free = self.cgroup.as_ref().is_none_or(Cgroup::remove);
        // Names before the bundle: a name that points nowhere is swept, a bundle without its name is not lost.
        for path in self.paths.iter().filter(|path| **path != self.bundle) {
            let _ = tree::remove_path(path);
        }
        if self.removes_bundle() {
            // Without it the directory is no container any more, and garbage to any sweep.
            let _ = tree::remove_path(self.bundle.join("container.json"));
        }
        let _ = tree::remove_path(&self.run_dir);
        is_free
    }

    /// Removes the rest, which may be much: nobody waits for it.
    fn finish(&self, is_free: bool) {
        if is_free && self.removes_bundle() {
            let _ = tree::remove_path(&self.bundle);
        }
    }

    fn removes_bundle(&self) -> bool {
        self.paths.contains(&self.bundle)
    }
}
