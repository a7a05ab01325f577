//! What containers use, from files and counters that anybody may read: no eBPF, no daemon, no privilege.
//!
//! Every number says where it is from and how good it is, and one that cannot be had says why: a zero is a zero.
//!
//! | | |
//! |---|---|
//! | [`files`] | the files of one cgroup, kept open and read again |
//! | [`postmortem`] | why the kernel killed for want of memory |
//! | [`processes`] | the processes of what has no cgroup |
//! | [`sample`] | what a container uses now |
//! | [`receipt`] | everything about a container that has ended |
//! | [`descendants`] | the sum over init's descendants, for who has no cgroup |
//! | [`network`] | bytes and packets of a network namespace |
//! | [`ring`] | what was used, for a month back |
//! | [`witness`] | who else can tell what a container used |

pub mod descendants;
pub mod files;
pub mod network;
pub mod postmortem;
pub mod processes;
pub mod receipt;
pub mod ring;
pub mod sample;
pub mod witness;

use std::fmt::Write;

/// How far a number can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// The kernel's own count of the whole container.
    Exact,
    /// Not less than this; the reason says what may be missing.
    Bounded,
    /// Near this.
    Estimate,
    /// Not to be had.
    Absent,
}

impl Quality {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Bounded => "bounded",
            Self::Estimate => "estimate",
            Self::Absent => "absent",
        }
    }
}

/// One number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// The number; none if it is absent.
    pub value: Option<u64>,
    /// The file or call that gave it, or would.
    pub source: &'static str,
    /// How good it is.
    pub quality: Quality,
    /// Why it is no better; empty if it is exact.
    pub reason: &'static str,
}

impl Measure {
    /// The kernel's own count.
    #[must_use]
    pub const fn exact(value: u64, source: &'static str) -> Self {
        Self { value: Some(value), source, quality: Quality::Exact, reason: "" }
    }

    /// At least this.
    #[must_use]
    pub const fn bounded(value: u64, source: &'static str, reason: &'static str) -> Self {
        Self { value: Some(value), source, quality: Quality::Bounded, reason }
    }

    /// Nothing.
    #[must_use]
    pub const fn absent(source: &'static str, reason: &'static str) -> Self {
        Self { value: None, source, quality: Quality::Absent, reason }
    }
}

/// A number by its name, which has its unit.
pub type Row = (&'static str, Measure);

/// `{NAME: {value, source, quality, reason}}`; an empty reason is left out.
#[must_use]
pub fn to_json(rows: &[Row]) -> String {
    let mut text = String::from("{");
    for (name, measure) in rows {
        let value = measure.value.map_or_else(|| "null".to_owned(), |value| value.to_string());
        let comma = if text.len() > 1 { "," } else { "" };
        let (source, quality) = (measure.source, measure.quality.as_str());
        // Writing to a String cannot fail; the words are ours, and none needs escaping.
        let _ = write!(
            text,
            "{comma}\"{name}\":{{\"value\":{value},\"source\":\"{source}\",\"quality\":\"{quality}\""
        );
        if !measure.reason.is_empty() {
            let _ = write!(text, ",\"reason\":\"{}\"", measure.reason);
        }
        text.push('}');
    }
    text.push('}');
    text
}
