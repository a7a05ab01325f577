//! The argv of the verbs that only our own code starts: `--name value` pairs, strict.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use pyrt_core::cgroup::address::Address;
use pyrt_core::{At, Code, Error, Result, userns};

use crate::Status;

/// `--name value` pairs and what follows `--`.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pairs: Vec<(String, OsString)>,
    /// What follows `--`, or the first word that is no option.
    pub(crate) rest: Vec<OsString>,
}

impl Arguments {
    /// Splits argv.
    pub(crate) fn parse(args: &[OsString]) -> Result<Self> {
        let mut parsed = Self::default();
        let mut words = args.iter();
        while let Some(word) = words.next() {
            match word.to_str().and_then(|word| word.strip_prefix("--")) {
                Some("") => {
                    parsed.rest.extend(words.cloned());
                    break;
                }
                Some(name) => {
                    let value = words.next().ok_or_else(|| missing(name))?;
                    parsed.pairs.push((name.to_owned(), value.clone()));
                }
                None => {
                    parsed.rest.push(word.clone());
                    parsed.rest.extend(words.cloned());
                    break;
                }
            }
        }
        Ok(parsed)
    }

    /// The value of an option, if given.
    pub(crate) fn get(&self, name: &str) -> Option<&OsString> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The values of an option that may be given several times.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &OsString> {
        self.pairs.iter().filter(move |(known, _)| known == name).map(|(_, value)| value)
    }

    /// Where the user's systemd may listen (`--manager`).
    pub(crate) fn managers(&self) -> Vec<Address> {
        self.all("manager").map(|text| Address::parse(&text.to_string_lossy())).collect()
    }

    /// A path that must be given.
    pub(crate) fn path(&self, name: &str) -> Result<PathBuf> {
        self.get(name).map(PathBuf::from).ok_or_else(|| missing(name))
    }

    /// A number, if given.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>> {
        let parse = |value: &OsString| {
            let text = value.to_string_lossy();
            text.parse().map_err(|_| invalid(name, &text))
        };
        self.get(name).map(parse).transpose()
    }

    /// A descriptor our parent left open, if given.
    pub(crate) fn descriptor(&self, name: &str) -> Result<Option<OwnedFd>> {
        match self.number::<i32>(name)? {
            None => Ok(None),
            Some(number) => {
                pyrt_core::sys::files::adopt_argument(number).at("descriptor", name).map(Some)
            }
        }
    }

    /// A descriptor that must be given.
    pub(crate) fn needed_descriptor(&self, name: &str) -> Result<OwnedFd> {
        self.descriptor(name)?.ok_or_else(|| missing(name))
    }
}

pub(crate) fn missing(name: &str) -> Error {
    Error::new(Code::InvalidSpec, "argument", format!("--{name}"), "missing")
}

pub(crate) fn invalid(name: &str, value: &str) -> Error {
    Error::new(
        Code::InvalidSpec,
        "argument",
        format!("--{name}"),
        format!("{value:?} is no number"),
    )
}

/// `holder FD RUN-ROOT`
pub(crate) fn holder(args: &[OsString]) -> Status {
    let [number, run_root] = args else { return Err(missing("descriptor")) };
    let text = number.to_string_lossy();
    let number = text.parse().map_err(|_| invalid("descriptor", &text))?;
    let socket = pyrt_core::sys::files::adopt_argument(number).at("descriptor", &*text)?;
    userns::hold(&socket, &PathBuf::from(run_root)).map(|()| 0)
}
