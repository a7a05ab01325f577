//! The meter for Python: many cgroups and containers in one call, their files kept open.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use pyrt_core::meter::sample::{BASIC, FURTHER, Meter as One, Told};
use pyrt_core::wire::{self, Frame};
use pyrt_core::{At, Code, Error, Result};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use crate::error::detached;
use crate::monitor::connect_to;

/// How long a monitor may take to tell: it answers at once, or is stopped.
const PATIENCE: Duration = Duration::from_millis(200);

/// What is measured.
#[derive(FromPyObject)]
enum Target {
    /// A cgroup.
    Cgroup(PathBuf),
    /// A container: its cgroup or None, init's pid, its monitor's directory.
    Container(Option<PathBuf>, u32, PathBuf),
}

struct Measured {
    meter: One,
    /// Its monitor's directory, if that has something to tell, and the connection.
    monitor: Option<(PathBuf, Option<OwnedFd>)>,
}

impl Measured {
    fn of(target: &Target) -> Result<Self> {
        match target {
            Target::Cgroup(path) => Ok(Self { meter: One::at(path)?, monitor: None }),
            Target::Container(cgroup, init, directory) => {
                let meter = One::of(cgroup.as_deref(), *init)?;
                let monitor = meter.wants_telling().then(|| (directory.clone(), None));
                Ok(Self { meter, monitor })
            }
        }
    }

    /// Asks the monitor; what it said last stays if it is gone.
    fn listen(&mut self) {
        let Some((directory, socket)) = &mut self.monitor else { return };
        match ask(directory, socket) {
            Ok(told) => self.meter.told = told,
            Err(_) => *socket = None,
        }
    }
}

fn ask(directory: &PathBuf, socket: &mut Option<OwnedFd>) -> Result<Told> {
    if socket.is_none() {
        let connected = connect_to(directory)?;
        set_socket_timeout(&connected, Timeout::Recv, Some(PATIENCE)).at("connect", directory)?;
        *socket = Some(connected);
    }
    let Some(socket) = socket else { return Err(wire::lost()) };
    wire::send(&*socket, Frame::Request, br#"{"op":"usage"}"#, &[]).at("monitor", "send")?;
    let answer = wire::receive_answer(&*socket)?;
    serde_json::from_slice(&answer.content)
        .map_err(|error| Error::new(Code::Kernel, "monitor", "reply", error.to_string()))
}

/// See `_core.pyi`.
#[pyclass(module = "pyrt._core", frozen)]
pub(crate) struct Meter(Mutex<Vec<Measured>>);

impl Meter {
    /// One value of each, made by `make` from its meter and its numbers.
    fn each<T: Send>(
        &self,
        py: Python<'_>,
        full: bool,
        make: fn(&One, Vec<Option<u64>>) -> T,
    ) -> PyResult<Vec<T>> {
        detached(py, || {
            // What a panicking sampler has left is still a list of open files.
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let mut walk = None;
            let mut samples = Vec::with_capacity(all.len());
            for measured in all.iter_mut() {
                measured.listen();
                let mut values = Vec::with_capacity(BASIC.len() + FURTHER.len());
                measured.meter.sample(full, &mut walk, &mut values);
                samples.push(make(&measured.meter, values));
            }
            Ok(samples)
        })
    }
}

fn names(full: bool) -> Vec<&'static str> {
    let further: &[&str] = if full { &FURTHER } else { &[] };
    [BASIC.as_slice(), further].concat()
}

#[pymethods]
impl Meter {
    #[new]
    fn new(py: Python<'_>, targets: Vec<Target>) -> PyResult<Self> {
        let all = detached(py, || targets.iter().map(Measured::of).collect())?;
        Ok(Self(Mutex::new(all)))
    }

    #[staticmethod]
    #[pyo3(name = "names", signature = (full=false))]
    fn all_names(py: Python<'_>, full: bool) -> PyResult<Bound<'_, PyTuple>> {
        PyTuple::new(py, names(full))
    }

    #[pyo3(signature = (full=false))]
    fn sample<'py>(&self, py: Python<'py>, full: bool) -> PyResult<Bound<'py, PyList>> {
        let samples = self.each(py, full, |_, values| values)?;
        let tuples = samples.iter().map(|values| PyTuple::new(py, values));
        PyList::new(py, tuples.collect::<PyResult<Vec<_>>>()?)
    }

    #[pyo3(signature = (full=false))]
    fn measure<'py>(&self, py: Python<'py>, full: bool) -> PyResult<Bound<'py, PyList>> {
        let samples = self.each(py, full, |meter, values| meter.describe(&values))?;
        let names = names(full);
        let told = samples.iter().map(|measures| {
            let told = PyDict::new(py);
            for (name, one) in names.iter().zip(measures) {
                told.set_item(name, (one.value, one.source, one.quality.as_str(), one.reason))?;
            }
            Ok(told)
        });
        PyList::new(py, told.collect::<PyResult<Vec<_>>>()?)
    }
}
