//! Subordinate IDs of a user (subuid(5), subgid(5)).

use std::path::Path;

use crate::error::Result;
use crate::paths::read_host;

/// First ID and count, in the file's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(pub Vec<(u32, u32)>);

/// The ranges given to the user by name or by number. An absent file gives none.
///
/// # Errors
/// `kernel` if the file is there and cannot be read.
pub fn subordinate_ranges(path: &Path, uid: u32, name: Option<&str>) -> Result<Ranges> {
    Ok(parse_ranges(&read_optional(path)?, uid, name))
}

/// The login name of `uid`, from /etc/passwd.
///
/// # Errors
/// `kernel` if the file is there and cannot be read.
pub fn account_name(uid: u32) -> Result<Option<String>> {
    let text = read_optional(Path::new("/etc/passwd"))?;
    let number = uid.to_string();
    Ok(text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    }))
}

fn read_optional(path: &Path) -> Result<String> {
    match read_host(path, 1 << 20) {
        Ok(data) => Ok(String::from_utf8_lossy(&data).into_owned()),
        Err(error) if error.errno == Some(libc::ENOENT) => Ok(String::new()),
        Err(error) => Err(error),
    }
}

fn parse_ranges(text: &str, uid: u32, name: Option<&str>) -> Ranges {
    let number = uid.to_string();
    let range = |line: &str| {
        let mut fields = line.split(':');
        let who = fields.next()?;
        if Some(who) != name && who != number {
            return None;
        }
        let first: u32 = fields.next()?.parse().ok()?;
        let count: u32 = fields.next()?.trim().parse().ok().filter(|&count| count > 0)?;
        // The user's own ID inside its range would be mapped twice, which the kernel refuses.
        let overlaps = (first..=first.saturating_add(count - 1)).contains(&uid);
        (!overlaps).then_some((first, count))
    };
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for (first, count) in text.lines().filter_map(range) {
        // An ID in two ranges would be mapped twice, which the kernel refuses: the first line keeps it.
        let last = first.saturating_add(count - 1);
        if ranges
            .iter()
            .all(|&(other, many)| last < other || first > other.saturating_add(many - 1))
        {
            ranges.push((first, count));
        }
    }
    Ranges(ranges)
}

#[cfg(test)]
mod tests {
    use super::{Ranges, parse_ranges};

    #[test]
    fn by_name_and_by_number() {
        let text = "a:100000:65536\nb:1:2\n1000:300000:10\n# a:1:1\na:bad:1\n";
        assert_eq!(
            parse_ranges(text, 1000, Some("a")),
            Ranges(vec![(100_000, 65_536), (300_000, 10)])
        );
        assert_eq!(parse_ranges(text, 7, None), Ranges::default());
        let text = "a:5000:10\na:5009:1\na:5010:1\n";
        assert_eq!(parse_ranges(text, 1000, Some("a")), Ranges(vec![(5000, 10), (5010, 1)]));
    }
}
