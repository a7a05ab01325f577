//! The options of one mount, sorted by table into who applies them (runtime-spec config.md#linux-mount-options).

use crate::error::{Code, Error, Result};
use crate::spec::Mount;
use crate::sys::mount::MountAttr;

/// linux/mount.h.
pub const RDONLY: u64 = 0x01;
/// See [`RDONLY`].
pub const NOSUID: u64 = 0x02;
/// See [`RDONLY`].
pub const NODEV: u64 = 0x04;
/// See [`RDONLY`].
pub const NOEXEC: u64 = 0x08;
const ATIME: u64 = 0x70;
const NOATIME: u64 = 0x10;
const STRICTATIME: u64 = 0x20;
const NODIRATIME: u64 = 0x80;
const NOSYMFOLLOW: u64 = 0x0020_0000;

/// Option, bits to set, bits to clear. With an `r` before it, recursively.
///
/// `atime` and `nostrictatime` ask for the kernel's default, which is relatime; `norelatime` asks for nothing that
/// the kernel still knows.
const ATTRIBUTES: [(&str, u64, u64); 18] = [
    ("ro", RDONLY, 0),
    ("rw", 0, RDONLY),
    ("nosuid", NOSUID, 0),
    ("suid", 0, NOSUID),
    ("nodev", NODEV, 0),
    ("dev", 0, NODEV),
    ("noexec", NOEXEC, 0),
    ("exec", 0, NOEXEC),
    ("noatime", NOATIME, ATIME),
    ("atime", 0, ATIME),
    ("strictatime", STRICTATIME, ATIME),
    ("nostrictatime", 0, ATIME),
    ("relatime", 0, ATIME),
    ("norelatime", 0, 0),
    ("nodiratime", NODIRATIME, 0),
    ("diratime", 0, NODIRATIME),
    ("nosymfollow", NOSYMFOLLOW, 0),
    ("symfollow", 0, NOSYMFOLLOW),
];

/// Option, MS_* propagation, whether recursive.
const PROPAGATION: [(&str, u64, bool); 8] = [
    ("private", libc::MS_PRIVATE, false),
    ("rprivate", libc::MS_PRIVATE, true),
    ("slave", libc::MS_SLAVE, false),
    ("rslave", libc::MS_SLAVE, true),
    ("shared", libc::MS_SHARED, false),
    ("rshared", libc::MS_SHARED, true),
    ("unbindable", libc::MS_UNBINDABLE, false),
    ("runbindable", libc::MS_UNBINDABLE, true),
];

/// Flags of the file system, not of the mount: told to a new one; a bind has the one that is there, as mount(8) has it.
const SUPERBLOCK: [&str; 4] = ["dirsync", "lazytime", "mand", "sync"];

/// mount(8) words that say what the kernel does anyway. `iversion` is among them: the file systems that a user may
/// mount count versions by themselves or not at all.
const DEFAULTS: [&str; 9] = [
    "async",
    "defaults",
    "iversion",
    "loud",
    "noiversion",
    "nolazytime",
    "nomand",
    "notmpcopyup",
    "silent",
];

/// What is neither an attribute nor a default.
const OTHERS: [&str; 6] = ["bind", "idmap", "rbind", "remount", "ridmap", "tmpcopyup"];

/// Every option known here, sorted, for `features`.
#[must_use]
pub fn known() -> Vec<String> {
    let plain = ATTRIBUTES.iter().map(|(name, ..)| (*name).to_owned());
    let mut names: Vec<String> = plain
        .clone()
        .map(|name| ["r", &name].concat())
        .chain(plain)
        .chain(PROPAGATION.iter().map(|(name, ..)| (*name).to_owned()))
        .chain([&SUPERBLOCK[..], &DEFAULTS, &OTHERS].concat().iter().map(|&name| name.to_owned()))
        .filter(|name| name != "notmpcopyup") // podman's own, and so is its meaning
        .collect();
    names.sort();
    names
}

/// MS_* and recursive, of a word such as `rslave`.
#[must_use]
pub fn propagation(word: &str) -> Option<(u64, bool)> {
    PROPAGATION.iter().find(|(name, ..)| *name == word).map(|&(_, flag, all)| (flag, all))
}

/// The options of one mount, sorted by who applies them.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// None: a new file system. Some(recursive): a bind.
    pub bind: Option<bool>,
    /// Change the mount that is there.
    pub remount: bool,
    /// For this mount alone.
    pub attr: MountAttr,
    /// For this mount and all below it.
    pub recursive: MountAttr,
    /// MS_* and whether recursive, in order.
    pub propagation: Vec<(u64, bool)>,
    /// Copy what the image has at the destination into the new tmpfs.
    pub copy_up: bool,
    /// None: IDs as they are. Some(recursive): mapped.
    pub idmap: Option<bool>,
    /// What the file system itself is told: `key[=value]`.
    pub data: Vec<String>,
}

impl Options {
    /// Whether what is mounted in it is to be seen where it is from.
    pub(crate) fn is_shared(&self) -> bool {
        self.propagation.iter().any(|(flag, _)| *flag == libc::MS_SHARED)
    }

    /// Sorts the options of a mount.
    ///
    /// # Errors
    /// `invalid_spec` for what contradicts itself, naming the destination.
    pub fn parse(mount: &Mount) -> Result<Self> {
        let mut options = Self::default();
        if mount.fs_type.as_deref() == Some("bind") {
            options.bind = Some(false);
        }
        for option in &mount.options {
            options.add(option);
        }
        if !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty() {
            options.idmap = Some(options.idmap.unwrap_or(false));
            if mount.uid_mappings.is_empty() || mount.gid_mappings.is_empty() {
                let message = "uidMappings and gidMappings go together";
                return Err(refuse("mounts.uidMappings", mount, message));
            }
        }
        Ok(options)
    }

    /// What the document tells the file system of a bind, which was mounted before and hears nothing: as mount(2) does
    /// with its last argument, that is no error.
    #[must_use]
    pub fn unheard(&self) -> &[String] {
        if self.bind.is_some() && !self.remount { &self.data } else { &[] }
    }

    fn add(&mut self, option: &str) {
        let attribute = |word: &str| ATTRIBUTES.iter().find(|(name, ..)| *name == word);
        if let Some(&(_, set, clear)) = attribute(option) {
            merge(&mut self.attr, set, clear);
        } else if let Some(&(_, set, clear)) = option.strip_prefix('r').and_then(attribute) {
            merge(&mut self.recursive, set, clear);
        } else if let Some(propagation) = propagation(option) {
            self.propagation.push(propagation);
        } else if SUPERBLOCK.contains(&option) {
            if self.bind.is_none() {
                self.data.push(option.to_owned());
            }
        } else if !DEFAULTS.contains(&option) {
            self.add_other(option);
        }
    }

    fn add_other(&mut self, option: &str) {
        match option {
            "bind" | "rbind" => {
                self.bind = Some(option == "rbind" || self.bind == Some(true));
                self.data.retain(|word| !SUPERBLOCK.contains(&word.as_str()));
            }
            "remount" => self.remount = true,
            "idmap" => self.idmap = Some(self.idmap.unwrap_or(false)),
            "ridmap" => self.idmap = Some(true),
            "tmpcopyup" => self.copy_up = true,
            // One word of the document may hold several of the file system's, as mount(2) takes them.
            _ => self.data.extend(split(option)),
        }
    }
}

/// At the commas that are neither quoted nor escaped: those belong to a label or to a path of an overlay.
fn split(option: &str) -> Vec<String> {
    let (mut words, mut quoted, mut escaped) = (vec![String::new()], false, false);
    for letter in option.chars() {
        quoted ^= letter == '"' && !escaped;
        match words.last_mut() {
            Some(word) if letter != ',' || quoted || escaped => word.push(letter),
            _ => words.push(String::new()),
        }
        escaped = letter == '\\' && !escaped;
    }
    words.retain(|word| !word.is_empty());
    words
}

fn merge(attr: &mut MountAttr, set: u64, clear: u64) {
    attr.attr_set = (attr.attr_set & !clear) | set;
    // The atime bits are one number to the kernel, cleared as a whole before any is set.
    attr.attr_clr |= clear | if set & ATIME == 0 { 0 } else { ATIME };
    attr.attr_clr &= !(set & !ATIME);
}

fn refuse(field: &str, mount: &Mount, message: &str) -> Error {
    Error::new(Code::InvalidSpec, field, mount.destination.as_str(), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> Options {
        Options::parse(&Mount {
            destination: "/x".to_owned(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            ..Mount::default()
        })
        .unwrap()
    }

    #[test]
    fn the_last_word_wins() {
        let options = parse(&["ro", "rw", "noexec"]);
        assert_eq!(options.attr.attr_set, NOEXEC);
        assert_eq!(options.attr.attr_clr, RDONLY);
    }

    #[test]
    fn atime_is_one_number() {
        let options = parse(&["noatime", "strictatime"]);
        assert_eq!(options.attr.attr_set, STRICTATIME);
        assert_eq!(options.attr.attr_clr, ATIME);
        let options = parse(&["noatime", "atime"]);
        assert_eq!((options.attr.attr_set, options.attr.attr_clr), (0, ATIME));
    }

    #[test]
    fn recursive_words_are_not_binds() {
        let options = parse(&["rbind", "rro", "rslave", "shared"]);
        assert_eq!(options.bind, Some(true));
        assert_eq!(options.recursive.attr_set, RDONLY);
        assert_eq!(options.propagation, [(libc::MS_SLAVE, true), (libc::MS_SHARED, false)]);
    }

    #[test]
    fn unknown_words_are_the_file_systems() {
        assert_eq!(parse(&["size=1m,mode=755", "sync"]).data, ["size=1m", "mode=755", "sync"]);
        assert_eq!(parse(&["context=\"a:b,c\",rw"]).data, ["context=\"a:b,c\"", "rw"]);
        let overlay = parse(&["lowerdir=/a\\:b:/c\\,d,upperdir=/e,,workdir=/f"]).data;
        assert_eq!(overlay, ["lowerdir=/a\\:b:/c\\,d", "upperdir=/e", "workdir=/f"]);
        assert!(parse(&["rbind", "sync", "silent"]).data.is_empty());
        assert!(parse(&["sync", "rbind"]).data.is_empty());
        assert_eq!(parse(&["rbind", "size=1m"]).unheard(), ["size=1m"]);
        assert!(parse(&["remount", "bind", "size=1m"]).unheard().is_empty());
    }

    /// config.md's table: 37 MUST, 21 SHOULD, 3 MAY.
    #[test]
    fn every_option_of_the_specification_is_known() {
        let table = "async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev \
            nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime \
            rbind rdev rdiratime relatime remount rexec rnoatime rnodiratime rnoexec rnorelatime rnostrictatime \
            rnosuid rnosymfollow ro rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow \
            runbindable rw shared silent slave strictatime suid symfollow sync tmpcopyup unbindable idmap ridmap";
        let known = known();
        for option in table.split_whitespace() {
            assert!(known.iter().any(|name| name == option), "{option}");
            let sorted = parse(&[option]);
            assert!(sorted.data.is_empty() || SUPERBLOCK.contains(&option), "{option}");
        }
        // What `r` before a word makes of it beyond the table: nodev has rnodev, and the table forgot it.
        assert_eq!(known.len(), table.split_whitespace().count() + 1);
    }
}
