//! Who makes a container's cgroup: we, systemd, or nobody.

use std::cell::OnceCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use pyrt_core::cgroup::address::Address;
use pyrt_core::cgroup::systemd::Scope;
use pyrt_core::cgroup::{Cgroup, Place, Resources, take_back};
use pyrt_core::paths::{open_host, write_all};
use pyrt_core::spec::Spec;
use pyrt_core::{At, Code, Result};
use rustix::fs::OFlags;

use super::container::{Directory, Record};
use super::globals::Globals;

/// A container's cgroup while it is created.
pub(super) struct Cgroups {
    resources: Resources,
    /// Made by us, before init.
    place: Option<Place>,
    /// Where init is moved in, if it cannot be born there.
    entrance: Option<OwnedFd>,
    /// Made by systemd, of init.
    scope: Option<Scope>,
    scope_path: OnceCell<PathBuf>,
}

impl Cgroups {
    /// Makes the cgroup that init is to be born in, with its limits.
    ///
    /// # Errors
    /// Limits that cannot be; nothing is left.
    pub(super) fn make(
        globals: &Globals,
        spec: &Spec,
        directory: &Directory,
        record: &Record,
    ) -> Result<Self> {
        let id = record.id.as_str();
        let note = |cgroup: &Path, made: &[PathBuf]| {
            let (cgroup, cgroup_made) = (Some(cgroup.to_owned()), made.to_vec());
            directory.write_record(&Record { cgroup, cgroup_made, ..record.clone() })
        };
        let resources = Resources::of(spec)?;
        let path = spec.linux.as_ref().and_then(|linux| linux.cgroups_path.as_deref());
        let (mut place, mut scope) = (None, None);
        if globals.no_cgroup {
            Place::without(&resources, "--cgroup-manager disabled")?;
        } else if globals.systemd_cgroup {
            scope = Some(Scope::parse(path, id)?);
        } else {
            place = Place::make(path, id, &resources, note)?;
        }
        let entrance = match &place {
            // The first error is the one to tell; what was made was empty.
            Some(place) => place
                .give(spec)
                .and_then(|()| entrance(place, spec))
                .inspect_err(|_| drop(take_back(place.cgroup.path(), &place.made, false)))?,
            None => None,
        };
        Ok(Self { resources, place, entrance, scope, scope_path: OnceCell::new() })
    }

    /// For `CLONE_INTO_CGROUP`.
    pub(super) fn birthplace(&self) -> Option<BorrowedFd<'_>> {
        let place = self.place.as_ref().filter(|_| self.entrance.is_none());
        place.map(|place| place.cgroup.as_fd())
    }

    /// Puts init where it belongs if it was not born there, before it goes on.
    ///
    /// # Errors
    /// The kernel's, systemd's, or the limits'.
    pub(super) fn settle(&self, pid: u32) -> Result<()> {
        if let Some(entrance) = &self.entrance {
            return write_all(entrance, pid.to_string().as_bytes()).at("move into", "cgroup.procs");
        }
        let Some(scope) = &self.scope else { return Ok(()) };
        let cgroup = scope.start(&addresses(), pid, &self.resources)?;
        self.scope_path.get_or_init(|| cgroup.path().to_owned());
        Ok(())
    }

    /// Writes down what is to be taken back.
    pub(super) fn record(&self, record: &mut Record) {
        if let Some(place) = &self.place {
            record.cgroup = Some(place.cgroup.path().to_owned());
            record.cgroup_made.clone_from(&place.made);
        }
        if let Some(scope) = &self.scope {
            record.scope = Some(scope.unit.clone());
            record.cgroup = self.scope_path.get().cloned();
        }
    }
}

/// The way in that takes 10 ms longer. A cgroup that was there before may have been killed once, and Linux 6.18 kills at
/// birth what is cloned into such. And once we are in a cgroup namespace that was given by its path, our own cgroup is out
/// of sight, and nothing can be cloned out of it; what counts for a file is where it was opened.
fn entrance(place: &Place, spec: &Spec) -> Result<Option<OwnedFd>> {
    let joins = spec.namespace("cgroup").is_some_and(|namespace| namespace.path.is_some());
    if place.is_ours() && !joins {
        return Ok(None);
    }
    open_host(&place.cgroup.path().join("cgroup.procs"), OFlags::WRONLY).map(Some)
}

/// New limits for a container that lives.
///
/// # Errors
/// Limits that cannot be; the old ones are in force then.
pub(super) fn update(record: &Record, resources: &Resources) -> Result<()> {
    let Some(path) = &record.cgroup else { return resources.apply_to(None) };
    let cgroup = Cgroup::open(path)?;
    match &record.scope {
        None => cgroup.update(resources),
        Some(unit) => Scope::named(unit).update(&addresses(), &cgroup, resources),
    }
}

/// Takes back what was made.
///
/// # Errors
/// `conflict` if something in it does not die.
pub(super) fn remove(record: &Record) -> Result<()> {
    // What is in it by now is another container's, which was given the same place.
    let have_ended = record.ends_with_init && record.pid != 0;
    let take_back = |path, made| take_back(path, made, have_ended);
    let Some(unit) = &record.scope else {
        return record
            .cgroup
            .as_deref()
            .map_or(Ok(()), |path| take_back(path, &record.cgroup_made));
    };
    // A scope goes when its last process does, be it that it was not made whole. If it went, systemd need not be there
    // any more.
    let Some(path) = &record.cgroup else { return Ok(()) };
    match Cgroup::open(path) {
        Err(error) if error.code == Code::NotFound => return Ok(()),
        cgroup => cgroup?,
    };
    take_back(path, &[])?;
    Scope::named(unit).stop(&addresses())
}

/// Where systemd's manager may listen: as the machine's root the machine's, else the user's.
fn addresses() -> Vec<Address> {
    let address = |path: PathBuf, is_bus| Address { path, is_bus };
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if Scope::is_of_the_machine() {
        return vec![
            address(PathBuf::from("/run/systemd/private"), false),
            address(PathBuf::from("/run/dbus/system_bus_socket"), true),
        ];
    }
    let (runtime, bus) = (variable("XDG_RUNTIME_DIR"), variable("DBUS_SESSION_BUS_ADDRESS"));
    Address::of_user(runtime.as_deref(), bus.as_deref())
}
