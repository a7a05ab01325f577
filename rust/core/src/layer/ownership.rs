//! Whose what is made is, and what is noted on it; what a copy may replace.

use std::os::fd::AsFd;

use rustix::fs::{Gid, Uid, XattrFlags, fchown, fsetxattr};
use rustix::io::Errno;

use super::archive::Member;
use super::extract::Tree;
use super::place::{Place, chown_error, is_foreign, os};
use super::{Copying, Owners};
use crate::tree::outside;
use crate::{At, Code, Error, Result};

/// Before the name of an attribute that could not be set as it is, where there is a single ID.
pub(super) const NOTED: &str = "user.pyrt.";

impl Tree<'_> {
    /// Refuses to change what is there into something of another kind, unless the caller allowed it.
    pub(super) fn may_replace(&self, at: &Place<'_>, new: &str) -> Result<()> {
        match &self.limits.copying {
            Some(copying) if !copying.overwrites => {
                let path = String::from_utf8_lossy(at.path).into_owned();
                let message = format!("what is there would be replaced by {new}");
                Err(Error::new(Code::Exists, "copy", path, message)
                    .with_hint("allow it with --overwrite"))
            }
            _ => Ok(()),
        }
    }

    /// Whose the copy of a member is; `None`: the caller's.
    pub(super) fn owner(&self, member: &Member, path: &[u8]) -> Result<Option<(Uid, Gid)>> {
        let (uid, gid) = match self.limits.copying.as_ref().map(|copying| &copying.owners) {
            Some(Owners::Callers) => return Ok(None),
            Some(&Owners::These(uid, gid)) => (uid, gid),
            Some(Owners::Written(uids, gids)) => {
                match (outside(uids, member.uid), outside(gids, member.gid)) {
                    (Some(uid), Some(gid)) => (uid, gid),
                    _ => return Err(chown_error(Errno::INVAL, member, path)),
                }
            }
            None => (member.uid, member.gid),
        };
        Ok(Some((Uid::from_raw(uid), Gid::from_raw(gid))))
    }

    pub(super) fn own(&self, fd: &impl AsFd, member: &Member, path: &[u8]) -> Result<()> {
        if self.limits.copying.is_some() {
            let Some((uid, gid)) = self.owner(member, path)? else { return Ok(()) };
            return fchown(fd, Some(uid), Some(gid))
                .map_err(|errno| chown_error(errno, member, path));
        }
        if !self.limits.single_id {
            let (uid, gid) = (Uid::from_raw(member.uid), Gid::from_raw(member.gid));
            return fchown(fd, Some(uid), Some(gid))
                .map_err(|errno| chown_error(errno, member, path));
        }
        if (member.uid, member.gid) == (0, 0) {
            return Ok(());
        }
        let owner = format!("{}:{}", member.uid, member.gid);
        fsetxattr(fd, "user.pyrt.owner", owner.as_bytes(), XattrFlags::empty())
            .at("set user.pyrt.owner of", os(path))
    }

    pub(super) fn attributes(
        &mut self,
        fd: &impl AsFd,
        member: &Member,
        path: &[u8],
    ) -> Result<()> {
        let is_callers =
            matches!(self.limits.copying, Some(Copying { owners: Owners::Callers, .. }));
        for (name, value) in &member.xattrs {
            // File capabilities are no user's to give.
            if is_foreign(name) || is_callers && name.starts_with(b"security.") {
                self.written.skipped_xattrs += 1;
                continue;
            }
            // An access control list names IDs, of which there is only one here: noted, as owners are.
            let noted = [NOTED.as_bytes(), name].concat();
            let is_noted = self.limits.single_id && name.starts_with(b"system.posix_acl_");
            let name = if is_noted { &noted } else { name };
            let step = format!("set {} of", String::from_utf8_lossy(name));
            fsetxattr(fd, name.as_slice(), value, XattrFlags::empty()).at(&step, os(path))?;
        }
        Ok(())
    }
}
