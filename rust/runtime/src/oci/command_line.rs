//! Words into flags and arguments, by Go's rules.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use pyrt_core::{Code, Error, Result};

/// What a command line said.
#[derive(Debug, Default)]
pub(super) struct Words {
    flags: Vec<(&'static str, OsString)>,
    /// What is no flag.
    pub(super) rest: Vec<OsString>,
}

/// `name,s=`: the long form, the short one, whether a value follows.
fn split_flag(flag: &'static str) -> (&'static str, Option<&'static str>, bool) {
    let takes_value = flag.ends_with('=');
    let names = flag.trim_end_matches('=');
    match names.split_once(',') {
        Some((name, short)) => (name, Some(short), takes_value),
        None => (names, None, takes_value),
    }
}

/// Parses `args`; flags may stand between arguments unless `ends_at_argument`.
///
/// # Errors
/// `invalid_spec` naming the flag.
pub(super) fn parse(
    args: &[OsString],
    flags: &[&'static str],
    ends_at_argument: bool,
) -> Result<Words> {
    let mut words = Words::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let text = arg.as_bytes();
        if text == b"--" {
            words.rest.extend(args.cloned());
            break;
        }
        if text.len() < 2 || text[0] != b'-' {
            words.rest.push(arg.clone());
            if ends_at_argument {
                words.rest.extend(args.cloned());
                break;
            }
            continue;
        }
        let body = text.strip_prefix(b"--").unwrap_or(&text[1..]);
        let at = body.iter().position(|&byte| byte == b'=');
        let (name, value) = match at {
            Some(at) => (&body[..at], Some(OsStr::from_bytes(&body[at + 1..]).to_owned())),
            None => (body, None),
        };
        let name = String::from_utf8_lossy(name);
        let known = flags.iter().map(|&flag| split_flag(flag));
        let Some((long, _, takes_value)) =
            known.into_iter().find(|(long, short, _)| name == *long || Some(&*name) == *short)
        else {
            return Err(invalid(&format!("flag provided but not defined: -{name}")));
        };
        let value = match (takes_value, value) {
            (_, Some(value)) => value,
            (false, None) => OsString::from("true"),
            (true, None) => args
                .next()
                .cloned()
                .ok_or_else(|| invalid(&format!("flag needs an argument: -{name}")))?,
        };
        words.flags.push((long, value));
    }
    Ok(words)
}

impl Words {
    /// The last value of a flag: a later one overrides.
    pub(super) fn value(&self, name: &str) -> Option<&OsStr> {
        let mut given = self.flags.iter().rev().filter(|(known, _)| *known == name);
        given.next().map(|(_, value)| value.as_os_str())
    }

    /// The last value of a flag as text.
    ///
    /// # Errors
    /// `invalid_spec` if it is not UTF-8.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>> {
        let text = |value: &'_ OsStr| {
            value
                .to_str()
                .map(str::to_owned)
                .ok_or_else(|| invalid(&format!("--{name}: not UTF-8")))
        };
        self.value(name).map(text).transpose()?;
        Ok(self.value(name).and_then(OsStr::to_str))
    }

    /// All values of a flag that may be repeated.
    pub(super) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a OsStr> {
        self.flags.iter().filter(move |(known, _)| *known == name).map(|(_, value)| &**value)
    }

    /// Whether a switch is on.
    ///
    /// # Errors
    /// `invalid_spec` for a value that is no truth value.
    pub(super) fn is_on(&self, name: &str) -> Result<bool> {
        match self.value(name).map(OsStr::as_bytes) {
            None | Some(b"false" | b"0" | b"f" | b"F" | b"FALSE" | b"False") => Ok(false),
            Some(b"true" | b"1" | b"t" | b"T" | b"TRUE" | b"True") => Ok(true),
            Some(other) => {
                let value = String::from_utf8_lossy(other);
                Err(invalid(&format!("invalid boolean value {value:?} for -{name}")))
            }
        }
    }

    /// A number that is not negative; 0 if the flag is absent.
    ///
    /// # Errors
    /// `invalid_spec`.
    pub(super) fn count(&self, name: &str) -> Result<u32> {
        match self.text(name)? {
            None => Ok(0),
            Some(text) => text
                .parse()
                .map_err(|_| invalid(&format!("invalid value {text:?} for flag -{name}"))),
        }
    }

    /// The container ID, the only argument.
    ///
    /// # Errors
    /// `invalid_spec` if there is another number of arguments, or it is no ID.
    pub(super) fn only_id(&self, verb: &str) -> Result<&str> {
        match self.rest.as_slice() {
            [id] => check_id(id),
            others => {
                let count = others.len();
                Err(invalid(&format!("{verb:?} requires exactly 1 argument(s), not {count}")))
            }
        }
    }

    /// The container ID, the first argument.
    ///
    /// # Errors
    /// `invalid_spec` if there is none, or it is no ID.
    pub(super) fn first_id(&self, verb: &str) -> Result<&str> {
        match self.rest.first() {
            Some(id) => check_id(id),
            None => Err(invalid(&format!("{verb:?} requires a minimum of 1 argument"))),
        }
    }
}

/// An ID names a directory below the root and part of a cgroup's path: crun's rule, which is the stricter one.
fn check_id(id: &OsStr) -> Result<&str> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_+.-".contains(byte);
    let bytes = id.as_bytes();
    if bytes.iter().all(is_plain) && !bytes.starts_with(b".") && (1..=1024).contains(&bytes.len()) {
        return id.to_str().ok_or_else(|| invalid("invalid id format"));
    }
    let message = format!("invalid container ID format: {:?}", id.to_string_lossy());
    Err(Error::new(Code::InvalidSpec, "", "", message))
}

pub(super) fn invalid(message: &str) -> Error {
    Error::new(Code::InvalidSpec, "", "", message)
}

#[cfg(test)]
mod tests {
    use super::{Words, parse};

    fn words(line: &str, flags: &[&'static str], ends: bool) -> Result<Words, String> {
        let args: Vec<_> = line.split_whitespace().map(Into::into).collect();
        parse(&args, flags, ends).map_err(|error| error.message)
    }

    #[test]
    fn one_dash_or_two_and_a_value_either_way() {
        let flags = ["bundle,b=", "no-subreaper"];
        for line in [
            "-no-subreaper --bundle=x id",
            "--no-subreaper -b x id",
            "id -bundle x -no-subreaper=1",
        ] {
            let words = words(line, &flags, false).unwrap();
            assert!(words.is_on("no-subreaper").unwrap());
            assert_eq!(words.text("bundle").unwrap(), Some("x"));
            assert_eq!(words.only_id("run").unwrap(), "id");
        }
    }

    #[test]
    fn nothing_is_a_flag_after_the_id_where_flags_end() {
        let words = words("-d id ls -l --all", &["detach,d"], true).unwrap();
        assert_eq!(words.rest, ["id", "ls", "-l", "--all"]);
    }

    #[test]
    fn the_last_value_counts_and_a_comma_is_data() {
        let words = words("-e A=1,2 -e B=3 --env C", &["env,e="], false).unwrap();
        let all: Vec<_> = words.values("env").collect();
        assert_eq!(all, ["A=1,2", "B=3", "C"]);
        assert_eq!(words.text("env").unwrap(), Some("C"));
    }

    #[test]
    fn what_is_not_known_is_named() {
        assert!(words("--nope id", &[], false).unwrap_err().contains("-nope"));
        assert!(words("--bundle", &["bundle="], false).unwrap_err().contains("-bundle"));
    }

    #[test]
    fn ids_stay_below_the_root() {
        for id in [".", "..", ".a", "a/b", "", "a\n", "é"] {
            assert!(super::check_id(id.as_ref()).is_err(), "{id:?}");
        }
        for id in ["a", "A_+.-9", "a..b"] {
            assert!(super::check_id(id.as_ref()).is_ok(), "{id:?}");
        }
    }
}
