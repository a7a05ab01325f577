//! JSON to Python objects and back, without an intermediate tree: hot verbs import no JSON module.

use std::fmt;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use pyrt_core::{Code, Error};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::error::raise;

/// Deeper documents are refused instead of exhausting the stack.
const DEPTH: usize = 128;

#[pyfunction]
pub(crate) fn loads<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = data.py();
    if let Ok(text) = data.cast::<PyString>() {
        return parse(py, text.to_string_lossy().as_bytes());
    }
    parse(py, data.extract::<&[u8]>()?)
}

pub(crate) fn parse<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    // serde_json refuses more than 128 levels by itself.
    let mut deserializer = serde_json::Deserializer::from_slice(data);
    let value = Build(py)
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| {
        raise(py, &Error::new(Code::InvalidSpec, "parse", "JSON", error.to_string()))
    })
}

struct Build<'py>(Python<'py>);

impl<'de, 'py> DeserializeSeed<'de> for Build<'py> {
    type Value = Bound<'py, PyAny>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

fn custom<E: serde::de::Error>(error: impl fmt::Display) -> E {
    E::custom(error)
}

impl<'de, 'py> Visitor<'de> for Build<'py> {
    type Value = Bound<'py, PyAny>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(PyBool::new(self.0, value).to_owned().into_any())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        value.into_pyobject(self.0).map(Bound::into_any).map_err(custom)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        value.into_pyobject(self.0).map(Bound::into_any).map_err(custom)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(PyFloat::new(self.0, value).into_any())
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(PyString::new(self.0, value).into_any())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(self.0.None().into_bound(self.0))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let list = PyList::empty(self.0);
        while let Some(item) = items.next_element_seed(Build(self.0))? {
            list.append(item).map_err(custom)?;
        }
        Ok(list.into_any())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let dict = PyDict::new(self.0);
        while let Some(key) = entries.next_key_seed(Build(self.0))? {
            let value = entries.next_value_seed(Build(self.0))?;
            dict.set_item(key, value).map_err(custom)?;
        }
        Ok(dict.into_any())
    }
}

#[pyfunction]
pub(crate) fn dumps<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(value.py(), &to_json(value)?))
}

/// Compact JSON of a Python value.
pub(crate) fn to_json(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let mut text = Vec::with_capacity(1024);
    write(&mut text, value, 0)?;
    Ok(text)
}

fn write(text: &mut Vec<u8>, value: &Bound<'_, PyAny>, depth: usize) -> PyResult<()> {
    if depth > DEPTH {
        return Err(PyTypeError::new_err("nested too deeply for JSON"));
    }
    if value.is_none() {
        text.extend_from_slice(b"null");
    } else if let Ok(flag) = value.cast::<PyBool>() {
        text.extend_from_slice(if flag.is_true() { b"true" } else { b"false" });
    } else if let Ok(string) = value.cast::<PyString>() {
        write_string(text, string)?;
    } else if value.is_instance_of::<PyInt>() {
        text.extend_from_slice(value.str()?.to_string_lossy().as_bytes());
    } else if let Ok(float) = value.cast::<PyFloat>() {
        let number = serde_json::Number::from_f64(pyo3::types::PyFloatMethods::value(float))
            .ok_or_else(|| PyTypeError::new_err("no JSON for a number that is not finite"))?;
        text.extend_from_slice(number.to_string().as_bytes());
    } else if let Ok(dict) = value.cast::<PyDict>() {
        text.push(b'{');
        for (position, (key, item)) in dict.iter().enumerate() {
            if position > 0 {
                text.push(b',');
            }
            write_string(text, key.cast::<PyString>()?)?;
            text.push(b':');
            write(text, &item, depth + 1)?;
        }
        text.push(b'}');
    } else if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        text.push(b'[');
        for (position, item) in value.try_iter()?.enumerate() {
            if position > 0 {
                text.push(b',');
            }
            write(text, &item?, depth + 1)?;
        }
        text.push(b']');
    } else {
        let kind = value.get_type().name()?;
        return Err(PyTypeError::new_err(format!("no JSON for {kind}")));
    }
    Ok(())
}

fn write_string(text: &mut Vec<u8>, string: &Bound<'_, PyString>) -> PyResult<()> {
    let string = string.to_cow()?;
    serde_json::to_writer(text, string.as_ref())
        .map_err(|error| PyTypeError::new_err(error.to_string()))
}
