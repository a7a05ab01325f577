//! Who is in which network: `network.json` in a container's bundle, which Python writes.

use std::net::IpAddr;
use std::path::Path;

use pyrt_core::paths::read_host;
use pyrt_core::{Code, Error, Result};
use serde::Deserialize;

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

/// What is known to the container at `asker`, who sees those that share a network with it: `members` are each container's
/// networks.
pub(super) fn lookup(members: &[&[Attachment]], asker: IpAddr, question: &Question) -> Known {
    let has = |network: &Attachment, address: IpAddr| network.ips().any(|ip| ip == address);
    // All of its networks, whichever it asks by.
    let own: Vec<&str> = members
        .iter()
        .filter(|networks| networks.iter().any(|network| has(network, asker)))
        .flat_map(|networks| networks.iter().map(|network| network.name.as_str()))
        .collect();
    let attachments = || members.iter().flat_map(|networks| networks.iter());
    let visible = || attachments().filter(|network| own.contains(&network.name.as_str()));
    if let Some(address) = question.reversed() {
        let found = visible().find(|network| has(network, address));
        let name = found.and_then(|network| network.names.first());
        return name.map_or(Known::Other, |name| Known::Name(name.clone()));
    }
    let named = visible().filter(|network| network.names.contains(&question.name));
    let addresses: Vec<IpAddr> = named.flat_map(Attachment::ips).collect();
    if addresses.is_empty() { Known::Other } else { Known::Addresses(addresses) }
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
