//! The core's error as a Python exception with its fields.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;

pyo3::create_exception!(_core, CoreError, PyException);

/// A `CoreError` with `code`, `step`, `subject`, `errno`, `message` and `hint`.
pub(crate) fn raise(py: Python<'_>, error: &pyrt_core::Error) -> PyErr {
    let raised = CoreError::new_err(error.to_string());
    let value = raised.value(py);
    let fields = [
        ("code", error.code.as_str()),
        ("step", &error.step),
        ("subject", &error.subject),
        ("message", &error.message),
        ("hint", &error.hint),
    ];
    for (name, text) in fields {
        if let Err(failure) = value.setattr(name, text) {
            return failure;
        }
    }
    match value.setattr("errno", error.errno) {
        Ok(()) => raised,
        Err(failure) => failure,
    }
}

/// Runs `work` without the GIL and turns its error into an exception.
pub(crate) fn detached<T: Send>(
    py: Python<'_>,
    work: impl Send + FnOnce() -> pyrt_core::Result<T>,
) -> PyResult<T> {
    py.detach(work).map_err(|error| raise(py, &error))
}
