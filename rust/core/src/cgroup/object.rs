//! A JSON object that knows where in the document it stands, so that what is wrong in it is named.

use serde_json::{Map, Value};

use crate::error::{Code, Error, Result};

/// An object of the document and where it stands in it; one that is absent has no properties.
pub(super) struct Object<'a> {
    path: String,
    fields: Option<&'a Map<String, Value>>,
}

impl<'a> Object<'a> {
    pub(super) fn new(path: String, value: Option<&'a Value>) -> Result<Self> {
        match value {
            None | Some(Value::Null) => Ok(Self { path, fields: None }),
            Some(Value::Object(fields)) => Ok(Self { path, fields: Some(fields) }),
            Some(_) => Err(Error::new(Code::InvalidSpec, path, "", "is no object")),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields?.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'a String> {
        self.fields.into_iter().flat_map(Map::keys)
    }

    pub(super) fn object(&self, name: &str) -> Result<Self> {
        Self::new(format!("{}.{name}", self.path), self.get(name))
    }

    pub(super) fn list(&self, name: &str) -> Result<Vec<Self>> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items
                .iter()
                .enumerate()
                .map(|(index, item)| {
                    Self::new(format!("{}.{name}[{index}]", self.path), Some(item))
                })
                .collect(),
            Some(_) => Err(self.invalid(name, "is no list")),
        }
    }

    pub(super) fn integer(&self, name: &str, least: i64) -> Result<Option<i64>> {
        match self.get(name).map(Value::as_i64) {
            None => Ok(None),
            Some(Some(number)) if number >= least => Ok(Some(number)),
            Some(Some(_)) => Err(self.invalid(name, "is too small")),
            Some(None) => Err(self.invalid(name, "is no integer")),
        }
    }

    pub(super) fn unsigned(&self, name: &str) -> Result<Option<u64>> {
        match self.get(name).map(Value::as_u64) {
            None => Ok(None),
            Some(Some(number)) => Ok(Some(number)),
            Some(None) => Err(self.invalid(name, "is no unsigned integer")),
        }
    }

    pub(super) fn boolean(&self, name: &str) -> Result<bool> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(self.invalid(name, "is neither true nor false")),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>> {
        match self.get(name).map(Value::as_str) {
            None => Ok(None),
            Some(None) => Err(self.invalid(name, "is no string")),
            Some(text) => Ok(text),
        }
    }

    /// `0-3,7`; empty says nothing.
    pub(super) fn list_of_numbers(&self, name: &str) -> Result<Option<String>> {
        let text = self.text(name)?.map(str::trim).filter(|text| !text.is_empty());
        match text {
            Some(text)
                if !text.bytes().all(|byte| byte.is_ascii_digit() || b",- ".contains(&byte)) =>
            {
                Err(self.invalid(name, "is no list as `0-3,7`"))
            }
            text => Ok(text.map(str::to_owned)),
        }
    }

    /// `nothing` is the JSON of the value that asks for nothing.
    pub(super) fn refuse_version_1(&self, name: &str, nothing: &str) -> Result<()> {
        let Some(shown) = self.get(name).map(Value::to_string).filter(|shown| shown != nothing)
        else {
            return Ok(());
        };
        let step = format!("{}.{name}", self.path);
        Err(Error::new(Code::Unsupported, step, shown, "only cgroup version 1 can do that"))
    }

    pub(super) fn invalid(&self, name: &str, message: &str) -> Error {
        let subject = self.get(name).map_or_else(String::new, Value::to_string);
        Error::new(Code::InvalidSpec, format!("{}.{name}", self.path), subject, message)
    }
}
