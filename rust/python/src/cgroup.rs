//! Containers' cgroups, for what is done to all processes at once.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyrt_core::cgroup::address::Address;
use pyrt_core::cgroup::{Cgroup, Resources, user_scope};
use pyrt_core::{Code, Error};

use crate::error::detached;

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn set_frozen(py: Python<'_>, path: PathBuf, is_frozen: bool) -> PyResult<()> {
    detached(py, || {
        let cgroup = Cgroup::open(&path)?;
        if is_frozen { cgroup.freeze() } else { cgroup.thaw() }
    })
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn update_limits(py: Python<'_>, cgroup: PathBuf, resources: &[u8]) -> PyResult<()> {
    detached(py, || {
        let value = serde_json::from_slice(resources).map_err(|error| {
            Error::new(Code::InvalidSpec, "parse", "resources", error.to_string())
        })?;
        Cgroup::open(&cgroup)?.update(&Resources::parse(&value, "1.3.0")?)
    })
}

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn manager_cgroup(py: Python<'_>) -> PyResult<PathBuf> {
    detached(py, || user_scope::manager_cgroup(&managers()))
}

/// Where the user's systemd may listen, by the environment.
pub(crate) fn managers() -> Vec<Address> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let (runtime, bus) = (variable("XDG_RUNTIME_DIR"), variable("DBUS_SESSION_BUS_ADDRESS"));
    Address::of_user(runtime.as_deref(), bus.as_deref())
}
