//! `features`: what this runtime knows (runtime-spec features.md), whatever the kernel has.
//!
//! Nothing is ever written to stderr: CRI-O and containerd read both streams as one document. What is listed comes from
//! the tables that the work is done by, so that the text cannot promise more.

use pyrt_core::seccomp::{ACTIONS, ARCHITECTURES, FLAGS, OPERATORS};
use pyrt_core::spec::{self, Hooks};
use pyrt_core::{Result, caps, memory_policy, mount, namespaces};

use super::command_line::Words;
use super::globals::Globals;

/// `features`
pub(super) fn main(_: &Globals, _: &Words) -> Result<i32> {
    Ok(crate::print(&text()))
}

/// The document.
fn text() -> String {
    let hooks = Hooks::default();
    let options = mount::known();
    let capabilities: Vec<String> =
        caps::NAMES.iter().map(|name| ["CAP_", name].concat()).collect();
    [
        "{\n    \"ociVersionMin\": \"1.0.0\",\n    \"ociVersionMax\": \"",
        spec::VERSION,
        "\",\n    \"hooks\": ",
        &list(hooks.lists().iter().map(|(name, _)| *name)),
        ",\n    \"mountOptions\": ",
        &list(options.iter().map(String::as_str)),
        ",\n    \"linux\": {\n        \"namespaces\": ",
        &list(namespaces::NAMESPACES.iter().map(|(name, ..)| *name)),
        ",\n        \"capabilities\": ",
        &list(capabilities.iter().map(String::as_str)),
        // No version 1: its controllers are the administrator's.
        ",\n        \"cgroup\": {\"v1\": false, \"v2\": true, \"systemd\": true, \"systemdUser\": true, \"rdma\": true}",
        ",\n        \"seccomp\": {\n            \"enabled\": true,\n            \"actions\": ",
        &list(ACTIONS),
        ",\n            \"operators\": ",
        &list(OPERATORS),
        ",\n            \"archs\": ",
        &list(ARCHITECTURES.iter().map(|(name, _)| *name)),
        ",\n            \"knownFlags\": ",
        &list(FLAGS.iter().map(|(name, _)| *name)),
        ",\n            \"supportedFlags\": ",
        &list(FLAGS.iter().map(|(name, _)| *name)),
        "\n        },\n        \"apparmor\": {\"enabled\": true},\n        \"selinux\": {\"enabled\": true}",
        // Both belong to the machine's administrator; a document that asks for them is refused.
        ",\n        \"intelRdt\": {\"enabled\": false},\n        \"netDevices\": {\"enabled\": false}",
        ",\n        \"memoryPolicy\": {\n            \"modes\": ",
        &list(memory_policy::MODES),
        ",\n            \"flags\": ",
        &list(memory_policy::FLAGS.iter().map(|(name, _)| *name)),
        "\n        },\n        \"mountExtensions\": {\"idmap\": {\"enabled\": true}}\n    }",
        ",\n    \"annotations\": {\"org.pyrt.version\": \"",
        env!("CARGO_PKG_VERSION"),
        "\"},\n    \"potentiallyUnsafeConfigAnnotations\": ",
        &list(spec::ANNOTATIONS),
        "\n}\n",
    ]
    .concat()
}

/// A list of words that need no escaping, sorted.
fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut words: Vec<&str> = words.into_iter().collect();
    words.sort_unstable();
    if words.is_empty() {
        return "[]".to_owned();
    }
    ["[\"", &words.join("\", \""), "\"]"].concat()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    #[test]
    fn features_are_a_document() {
        let document: Value = serde_json::from_str(&super::text()).unwrap();
        let words = |path: &str| {
            let list = document.pointer(path).and_then(Value::as_array).unwrap();
            list.iter().filter_map(Value::as_str).collect::<Vec<_>>()
        };
        assert_eq!(words("/hooks").len(), 6);
        assert_eq!(words("/linux/namespaces").len(), 8);
        assert_eq!(words("/linux/capabilities").len(), 41);
        assert_eq!(words("/linux/memoryPolicy/modes").len(), 7);
        for option in ["rro", "idmap", "bind", "tmpcopyup"] {
            assert!(words("/mountOptions").contains(&option), "{option}");
        }
        assert!(words("/linux/seccomp/actions").contains(&"SCMP_ACT_NOTIFY"));
        assert_eq!(document["linux"]["mountExtensions"]["idmap"]["enabled"], true);
        assert_eq!(document["linux"]["netDevices"]["enabled"], false);
    }
}
