//! A container that its monitor has registered with the supervisor.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use pyrt_core::Result;
use rustix::process::{Signal, pidfd_send_signal};

use super::forward::{self, Published};
use super::links;
use super::members::{Attachment, Seen, Service};

/// A registered container.
pub(super) struct Member {
    pub(super) bundle: PathBuf,
    pub(super) netns: OwnedFd,
    pub(super) networks: Vec<Attachment>,
    /// Whether it wants to be connected to: all of a pod is ready.
    pub(super) is_ready: bool,
    pub(super) service: Option<Service>,
    /// Until then its rules stay those of the supervisor before us: the others may not have come back yet.
    pub(super) settles: Instant,
    /// To whom its rules hand on now.
    pub(super) endpoints: Option<Vec<IpAddr>>,
    pub(super) published: Vec<Published>,
    pub(super) forwarder: Option<OwnedFd>,
    /// Where its forwarder forwards to.
    pub(super) targets: Vec<IpAddr>,
}

impl Member {
    pub(super) fn new(
        bundle: PathBuf,
        netns: OwnedFd,
        is_ready: bool,
        published: Vec<Published>,
        settles: Instant,
    ) -> Self {
        Self {
            bundle,
            netns,
            networks: Vec::new(),
            is_ready,
            service: None,
            settles,
            endpoints: None,
            published,
            forwarder: None,
            targets: Vec::new(),
        }
    }

    /// When its rules are to be written for the first time, if they are.
    pub(super) fn due(&self) -> Option<Instant> {
        (self.service.is_some() && self.endpoints.is_none()).then_some(self.settles)
    }

    pub(super) fn seen(&self) -> Seen<'_> {
        let is_service = self.service.is_some();
        Seen { networks: &self.networks, is_ready: self.is_ready, is_service }
    }

    /// Gives up its ports: it is gone.
    pub(super) fn withdraw(&mut self) {
        self.published.clear();
        self.forwarder.take().iter().for_each(end);
    }

    /// Starts its forwarder, in place of one that forwards to where it no longer is.
    pub(super) fn forward(&mut self) -> Result<()> {
        if self.published.is_empty() {
            return Ok(());
        }
        let first =
            self.networks.iter().find(|network| !network.internal).or(self.networks.first());
        let targets: Vec<IpAddr> = first.map_or(Vec::new(), |network| network.ips().collect());
        if let Some(forwarder) = &self.forwarder {
            if targets == self.targets {
                return Ok(()); // its connections go on
            }
            end(forwarder);
        }
        self.forwarder = Some(forward::start(&self.published, &targets)?);
        self.targets = targets;
        Ok(())
    }
}

/// The name of the device that a container has on a bridge: at most 15 bytes, the same for every supervisor.
pub(super) fn device(bundle: &Path, network: &Attachment) -> String {
    let whole =
        [bundle.as_os_str().as_encoded_bytes(), b"\0", network.interface.as_bytes()].concat();
    format!("v{:012x}", links::hash(&whole) & 0xffff_ffff_ffff)
}

/// Ends a process that we hold.
fn end(pidfd: &OwnedFd) {
    let _ = pidfd_send_signal(pidfd, Signal::KILL); // it has ended by itself
}
