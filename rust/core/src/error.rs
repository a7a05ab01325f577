//! An error is a value: made where the failure happens, never logged on the way, rendered once.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What a caller does differently; the table that exit codes and gRPC statuses follow from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A document or argument says something it may not.
    InvalidSpec,
    /// Known, and refused.
    Unsupported,
    /// There is no such thing.
    NotFound,
    /// There is one already.
    Exists,
    /// Not in this state.
    Conflict,
    /// The machine does not allow it.
    Denied,
    /// The program cannot be run (ENOENT: 127, else 126).
    Exec,
    /// A system call refused.
    Kernel,
}

impl Code {
    /// The word that crosses process boundaries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidSpec => "invalid_spec",
            Self::Unsupported => "unsupported",
            Self::NotFound => "not_found",
            Self::Exists => "exists",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Exec => "exec",
            Self::Kernel => "kernel",
        }
    }
}

/// `{step} {subject}: {message}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// What the caller does differently.
    pub code: Code,
    /// The step that failed, a verb or a system call.
    pub step: String,
    /// The path, field or thing it was about.
    pub subject: String,
    /// The kernel's number, if it was the kernel.
    pub errno: Option<i32>,
    /// The reason; the kernel's own words where there is an errno.
    pub message: String,
    /// A true thing to do, or nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error that is not a system call's.
    pub fn new(
        code: Code,
        step: impl Into<String>,
        subject: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            step: step.into(),
            subject: subject.into(),
            errno: None,
            message: message.into(),
            hint: String::new(),
        }
    }

    /// A system call's refusal, in its own words.
    pub fn kernel(step: impl Into<String>, subject: impl Into<String>, errno: i32) -> Self {
        Self {
            code: Code::Kernel,
            step: step.into(),
            subject: subject.into(),
            errno: Some(errno),
            message: describe(errno),
            hint: String::new(),
        }
    }

    /// The same error under another code.
    #[must_use]
    pub fn with_code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// The same error with something true to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

/// The kernel's words for an errno, as strerror(3) has them: the number stands beside them already.
fn describe(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.step)?;
        if !self.subject.is_empty() {
            write!(f, " {}", self.subject)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for Error {}

/// Names the failed step and what it was about, once, where it happened.
pub trait At<T> {
    /// Turns a refusal into an [`Error`] with this step and subject.
    ///
    /// # Errors
    /// `kernel` with the errno of `self`.
    fn at(self, step: &str, subject: impl AsRef<Path>) -> Result<T>;
}

impl<T> At<T> for std::result::Result<T, rustix::io::Errno> {
    fn at(self, step: &str, subject: impl AsRef<Path>) -> Result<T> {
        self.map_err(|errno| {
            Error::kernel(step, subject.as_ref().to_string_lossy(), errno.raw_os_error())
        })
    }
}

impl<T> At<T> for std::io::Result<T> {
    fn at(self, step: &str, subject: impl AsRef<Path>) -> Result<T> {
        self.map_err(|error| match error.raw_os_error() {
            Some(errno) => Error::kernel(step, subject.as_ref().to_string_lossy(), errno),
            None => Error::new(
                Code::Kernel,
                step,
                subject.as_ref().to_string_lossy(),
                error.to_string(),
            ),
        })
    }
}
