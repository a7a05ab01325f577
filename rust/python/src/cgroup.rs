//! Containers' cgroups, for what is done to all processes at once.

use std::ffi::OsString;
use std::path::PathBuf;

use pyo3::prelude::*;
use pyrt_core::cgroup::address::Address;
use pyrt_core::cgroup::{Cgroup, Resources, user_scope};
use pyrt_core::{Code, Error, Result};

use crate::error::detached;

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn set_frozen(py: Python<'_>, path: PathBuf, is_frozen: bool) -> PyResult<()> {
    detached(py, || {
        let cgroup = Cgroup::open(&path)?;
        if is_frozen { cgroup.freeze() } else { cgroup.thaw() }
    })
}

/// See `_core.pyi`. The path is a string: for a `PathBuf` Python would import pathlib, which takes 6 ms.
#[pyfunction]
pub(crate) fn make_cgroup(
    py: Python<'_>,
    parent: PathBuf,
    id: &str,
    resources: &[u8],
) -> PyResult<OsString> {
    detached(py, || {
        let resources = parse_resources(resources)?;
        let cgroup = Cgroup::make(&parent, id)?;
        let limited = cgroup.enable_controllers(&resources).and_then(|()| cgroup.apply(&resources));
        if limited.is_err() {
            let _ = cgroup.remove(); // it is empty; and of two errors the first is the one to tell
        }
        limited?;
        Ok(cgroup.path().as_os_str().to_owned())
    })
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn remove_cgroup(py: Python<'_>, path: PathBuf) -> PyResult<bool> {
    detached(py, || match Cgroup::open(&path) {
        Err(error) if error.code == Code::NotFound => Ok(true),
        cgroup => Ok(cgroup?.remove()),
    })
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn update_limits(py: Python<'_>, cgroup: PathBuf, resources: &[u8]) -> PyResult<()> {
    detached(py, || {
        let resources = parse_resources(resources)?;
        Cgroup::open(&cgroup)?.update(&resources)
    })
}

fn parse_resources(text: &[u8]) -> Result<Resources> {
    let value = serde_json::from_slice(text)
        .map_err(|error| Error::new(Code::InvalidSpec, "parse", "resources", error.to_string()))?;
    Resources::parse(&value, "1.3.0")
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn manager_cgroup(py: Python<'_>) -> PyResult<OsString> {
    detached(py, || user_scope::manager_cgroup(&managers()).map(PathBuf::into_os_string))
}

/// Where the user's systemd may listen, by the environment.
pub(crate) fn managers() -> Vec<Address> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let (runtime, bus) = (variable("XDG_RUNTIME_DIR"), variable("DBUS_SESSION_BUS_ADDRESS"));
    Address::of_user(runtime.as_deref(), bus.as_deref())
}
