//! The meter for Python: many cgroups in one call, their files kept open.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use pyrt_core::meter::sample::{BASIC, FURTHER, Meter as One};

use crate::error::detached;

/// See `_core.pyi`.
#[pyclass(module = "pyrt._core", frozen)]
pub(crate) struct Meter(Mutex<Vec<One>>);

#[pymethods]
impl Meter {
    #[new]
    fn new(py: Python<'_>, cgroups: Vec<PathBuf>) -> PyResult<Self> {
        let meters = detached(py, || cgroups.iter().map(|path| One::at(path)).collect())?;
        Ok(Self(Mutex::new(meters)))
    }

    /// The names of a sample's numbers.
    #[staticmethod]
    #[pyo3(signature = (full=false))]
    fn names(py: Python<'_>, full: bool) -> PyResult<Bound<'_, PyTuple>> {
        let further: &[&str] = if full { &FURTHER } else { &[] };
        PyTuple::new(py, [BASIC.as_slice(), further].concat())
    }

    #[pyo3(signature = (full=false))]
    fn sample<'py>(&self, py: Python<'py>, full: bool) -> PyResult<Bound<'py, PyList>> {
        let samples: Vec<Vec<Option<u64>>> = detached(py, || {
            // What a panicking sampler has left is still a list of open files.
            let mut meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let mut samples = Vec::with_capacity(meters.len());
            for meter in meters.iter_mut() {
                let mut values = Vec::with_capacity(BASIC.len() + FURTHER.len());
                meter.sample(full, &mut values);
                samples.push(values);
            }
            Ok(samples)
        })?;
        let tuples = samples.iter().map(|values| PyTuple::new(py, values));
        PyList::new(py, tuples.collect::<PyResult<Vec<_>>>()?)
    }
}
