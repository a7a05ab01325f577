//! `linux.personality` (config-linux.md#personality, personality(2)).

use crate::error::{At, Code, Error, Result};
use crate::spec::Personality;
use crate::sys;

/// Domain and the kernel's number (linux/personality.h).
const DOMAINS: [(&str, u32); 2] = [("LINUX", 0), ("LINUX32", 8)];

/// Sets it for this process; execve keeps it.
///
/// # Errors
/// `kernel`.
pub fn apply(personality: Option<&Personality>) -> Result<()> {
    let Some(personality) = personality else { return Ok(()) };
    sys::exec::set_personality(parse(personality)?).at("linux.personality", &personality.domain)
}

/// The kernel's number of the domain.
///
/// The specification reserves `flags` and defines none, so any is unknown.
///
/// # Errors
/// `invalid_spec` naming the property.
pub fn parse(personality: &Personality) -> Result<u32> {
    if let Some(flag) = personality.flags.first() {
        let message = "the specification defines no flags";
        return Err(Error::new(Code::Unsupported, "linux.personality.flags", flag, message));
    }
    match DOMAINS.iter().find(|(name, _)| *name == personality.domain) {
        Some((_, number)) => Ok(*number),
        None => Err(Error::new(
            Code::InvalidSpec,
            "linux.personality.domain",
            &personality.domain,
            "is neither LINUX nor LINUX32",
        )),
    }
}
