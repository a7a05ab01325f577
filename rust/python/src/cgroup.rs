//! Containers' cgroups, for what is done to all processes at once.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyrt_core::cgroup::Cgroup;

use crate::error::detached;

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn set_frozen(py: Python<'_>, path: PathBuf, is_frozen: bool) -> PyResult<()> {
    detached(py, || {
        let cgroup = Cgroup::open(&path)?;
        if is_frozen { cgroup.freeze() } else { cgroup.thaw() }
    })
}
