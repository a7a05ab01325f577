//! `pyrt.scope`: one cgroup for all containers of a user, made by the user's systemd and delegated to us.
//!
//! Nobody may move a process, or clone one, from a login session to where systemd delegates: that takes the right to write
//! cgroup.procs of a cgroup above both, which is root's (cgroup-v2.rst, Delegation Containment). So the manager moves
//! whoever is about to make a container's process into `monitors` there, and from then on all is done by mkdir and clone,
//! without systemd. The scope lives as long as somebody is in it: the monitors keep it, and the next one makes it anew.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::cgroup::address::{Address, DBUS_NAME, MANAGER, connect};
use crate::cgroup::dbus::{Body, Connection, Target, Variant};
use crate::cgroup::place::{find_mount, join, own_cgroup};
use crate::error::{At, Code, Error, Result};
use crate::paths::{read_host, write_all};

const UNIT: &str = "pyrt.scope";

const SCOPE: Target =
    (DBUS_NAME, "/org/freedesktop/systemd1/unit/pyrt_2escope", "org.freedesktop.systemd1.Scope");

/// Beside the containers, for a cgroup that gives controllers has no processes of its own.
const LEAF: &str = "monitors";

/// The scope ends with its last process, which may be while we look: then we make it anew.
const ATTEMPTS: u32 = 10;

/// Has the user's manager move this process into the scope, which is made if it is not there; the scope's directory.
///
/// # Errors
/// `denied` without a manager; systemd's own; `kernel`.
pub fn enter(addresses: &[Address]) -> Result<PathBuf> {
    let mut connection = connect(addresses)?;
    let mut refusal = None;
    for _ in 0..ATTEMPTS {
        let cgroup = connection.property(SCOPE, "ControlGroup")?;
        let entered = if cgroup.is_empty() {
            make(&mut connection)
        } else {
            attach(&mut connection, &directory(&cgroup)?)
        };
        match entered {
            Ok(scope) => {
                clear(&scope)?;
                return Ok(scope);
            }
            // Made meanwhile by another, or ended.
            Err(error) => refusal = Some(error),
        }
    }
    Err(refusal.unwrap_or_else(out_of_sight))
}

/// Whether it takes the manager to put a process of ours into this cgroup.
fn is_outside(target: &Path) -> Result<bool> {
    let (Some(own), Some(mount)) = (own_cgroup()?, find_mount()?) else { return Ok(true) };
    let own = join(&mount, &own);
    let above = target.ancestors().find(|above| own.starts_with(above)).unwrap_or(&mount);
    let may =
        rustix::fs::accessat(CWD, above.join("cgroup.procs"), Access::WRITE_OK, AtFlags::EACCESS);
    Ok(may.is_err())
}

/// Has the manager bring this process to where one can be put into `target`, if it is not; where no manager listens, the
/// kernel's refusal is the one to tell.
///
/// # Errors
/// As [`enter`].
pub fn reach(addresses: &[Address], target: &Path) -> Result<()> {
    if addresses.is_empty() || !is_outside(target)? {
        return Ok(());
    }
    match enter(addresses) {
        Err(error) if error.code == Code::Denied => Ok(()),
        entered => entered.map(drop),
    }
}

/// The manager's own cgroup, below which the scope will be.
///
/// # Errors
/// As [`enter`].
pub fn manager_cgroup(addresses: &[Address]) -> Result<PathBuf> {
    directory(&connect(addresses)?.property(MANAGER, "ControlGroup")?)
}

/// Makes the scope of this process.
fn make(connection: &mut Connection) -> Result<PathBuf> {
    let properties = [
        ("Description", Variant::Text("containers of pyrt".to_owned())),
        ("Slice", Variant::Text("user.slice".to_owned())),
        ("PIDs", Variant::Numbers(vec![own_pid()])),
        ("Delegate", Variant::Bool(true)),
        ("CollectMode", Variant::Text("inactive-or-failed".to_owned())),
        ("CPUAccounting", Variant::Bool(true)),
        ("IOAccounting", Variant::Bool(true)),
        ("MemoryAccounting", Variant::Bool(true)),
        ("TasksAccounting", Variant::Bool(true)),
        ("TasksMax", Variant::Number(u64::MAX)), // systemd's default is a part of the machine's
    ];
    let mut body = Body::default();
    body.text(UNIT);
    body.text("fail");
    body.properties(&properties);
    body.array(8, |_| {}); // no further units
    connection.forget_jobs();
    connection.call(MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", &body)?;
    match connection.job_result(UNIT)?.as_str() {
        "done" => {}
        result => {
            let message = format!("could not make the scope: {result}");
            return Err(Error::new(Code::Kernel, "start", UNIT, message)
                .with_hint(format!("look at `systemctl --user status {UNIT}`")));
        }
    }
    let own = own_cgroup()?.filter(|own| own.ends_with(UNIT)).ok_or_else(out_of_sight)?;
    let scope = directory(&own)?;
    let leaf = make_leaf(&scope)?;
    move_to(&leaf, own_pid()).at("move into", &leaf)?;
    Ok(scope)
}

/// Has the manager move this process into the one that is there.
fn attach(connection: &mut Connection, scope: &Path) -> Result<PathBuf> {
    make_leaf(scope)?;
    let mut body = Body::default();
    body.text(UNIT);
    body.text(&format!("/{LEAF}"));
    body.numbers(&[own_pid()]);
    connection.call(MANAGER, "AttachProcessesToUnit", "ssau", &body)?;
    Ok(scope.to_owned())
}

/// Whoever made the scope was born in its own cgroup, and may not have left it yet.
fn clear(scope: &Path) -> Result<()> {
    let leaf = scope.join(LEAF);
    let text = read_host(&scope.join("cgroup.procs"), 1 << 20)?;
    for pid in String::from_utf8_lossy(&text).lines().filter_map(|line| line.parse().ok()) {
        match move_to(&leaf, pid) {
            Ok(()) | Err(Errno::SRCH) => {} // it has ended
            Err(errno) => return Err(errno).at("move into", &leaf),
        }
    }
    Ok(())
}

fn make_leaf(scope: &Path) -> Result<PathBuf> {
    let leaf = scope.join(LEAF);
    match rustix::fs::mkdir(&leaf, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(leaf),
        Err(errno) => Err(errno).at("mkdir", leaf),
    }
}

fn move_to(leaf: &Path, pid: u32) -> std::result::Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(leaf.join("cgroup.procs"), flags, Mode::empty())?;
    write_all(file, pid.to_string().as_bytes())
}

fn own_pid() -> u32 {
    rustix::process::getpid().as_raw_nonzero().get().unsigned_abs()
}

fn directory(inner: &str) -> Result<PathBuf> {
    Ok(join(&find_mount()?.ok_or_else(out_of_sight)?, inner))
}

fn out_of_sight() -> Error {
    let message =
        "its cgroup is out of sight: no cgroup2 is mounted, or a cgroup namespace hides it";
    Error::new(Code::Kernel, "start", UNIT, message)
}
