//! Who is in which network: `network.json` in a container's bundle, which Python writes.

use std::net::IpAddr;
use std::path::Path;

use pyrt_core::paths::read_host;
use pyrt_core::{Code, Error, Result};
use serde::Deserialize;

use super::forward::Protocol;
use super::names::{Known, Question};

/// The largest document.
const DOCUMENT_BYTES: usize = 1 << 20;

/// `network.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    /// 1.
    version: u32,
    /// The container's networks, that of the default route first.
    pub(super) networks: Vec<Attachment>,
    /// Of a service: what it hands on.
    #[serde(default)]
    pub(super) service: Option<Service>,
}

/// What a service hands on, and to whom.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    pub(super) ports: Vec<ServicePort>,
    /// The name that those have in its network who are to get it.
    pub(super) endpoints: String,
}

/// One port of a service.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct ServicePort {
    pub(super) port: u16,
    /// The endpoints' port.
    pub(super) target: u16,
    pub(super) protocol: Protocol,
}

/// A container as the others see it.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) networks: &'a [Attachment],
    pub(super) is_ready: bool,
    pub(super) is_service: bool,
}

/// A container's place in one network.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Attachment {
    /// The network's name.
    pub(super) name: String,
    /// Its bridge's.
    pub(super) bridge: String,
    /// No way out.
    #[serde(default)]
    pub(super) internal: bool,
    /// `ADDRESS/PREFIX` of the bridge.
    pub(super) gateways: Vec<String>,
    /// `ADDRESS/PREFIX` of the container.
    pub(super) addresses: Vec<String>,
    /// The device's name in the container.
    pub(super) interface: String,
    /// Its hardware address, by pairs of digits.
    #[serde(default)]
    pub(super) mac: Option<String>,
    /// What it is called in this network: DNS names, lower case.
    pub(super) names: Vec<String>,
}

impl Document {
    /// Reads it from a bundle.
    pub(super) fn read(bundle: &Path) -> Result<Self> {
        let malformed =
            |message: String| Error::new(Code::InvalidSpec, "read", "network.json", message);
        let text = read_host(&bundle.join("network.json"), DOCUMENT_BYTES)?;
        let document: Self =
            serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
        if document.version == 1 {
            return Ok(document);
        }
        Err(malformed(format!("version {} is not 1", document.version)))
    }
}

impl Attachment {
    /// The container's addresses.
    pub(super) fn ips(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses
            .iter()
            .filter_map(|text| parse_address(text).ok())
            .map(|(address, _)| address)
    }

    pub(super) fn hardware_address(&self) -> Result<Option<[u8; 6]>> {
        let Some(text) = &self.mac else { return Ok(None) };
        let pairs: Vec<u8> =
            text.split(':').filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
        match pairs.try_into() {
            Ok(address) => Ok(Some(address)),
            Err(_) => Err(Error::new(
                Code::InvalidSpec,
                "network.json",
                "mac",
                format!("{text:?} is no hardware address"),
            )),
        }
    }
}

/// What is known to the container at `asker`, who sees those that share a network with it.
///
/// A service goes before all others of its name, and those that are ready before those that are not.
pub(super) fn lookup(members: &[Seen<'_>], asker: IpAddr, question: &Question) -> Known {
    let has = |network: &Attachment, address: IpAddr| network.ips().any(|ip| ip == address);
    // All of its networks, whichever it asks by.
    let own: Vec<&str> = members
        .iter()
        .filter(|member| member.networks.iter().any(|network| has(network, asker)))
        .flat_map(|member| member.networks.iter().map(|network| network.name.as_str()))
        .collect();
    let visible = || {
        let all = members.iter().flat_map(|member| {
            let rank = (member.is_service, member.is_ready);
            member.networks.iter().map(move |network| (rank, network))
        });
        all.filter(|(_, network)| own.contains(&network.name.as_str()))
    };
    if let Some(address) = question.reversed() {
        let found = visible().find(|(_, network)| has(network, address));
        let name = found.and_then(|(_, network)| network.names.first());
        return name.map_or(Known::Other, |name| Known::Name(name.clone()));
    }
    let named = || visible().filter(|(_, network)| network.names.contains(&question.name));
    let Some(best) = named().map(|(rank, _)| rank).max() else { return Known::Other };
    let addresses = named().filter(|(rank, _)| *rank == best).flat_map(|(_, found)| found.ips());
    Known::Addresses(addresses.collect())
}

/// `ADDRESS/PREFIX`
pub(super) fn parse_address(text: &str) -> Result<(IpAddr, u8)> {
    let parsed = text.split_once('/').and_then(|(address, prefix)| {
        let (address, prefix) = (address.parse::<IpAddr>().ok()?, prefix.parse::<u8>().ok()?);
        (prefix <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, prefix))
    });
    parsed.ok_or_else(|| {
        Error::new(
            Code::InvalidSpec,
            "network.json",
            "addresses",
            format!("{text:?} is not ADDRESS/PREFIX"),
        )
    })
}
