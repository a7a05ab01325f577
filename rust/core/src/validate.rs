//! What `create` refuses before it touches anything: each refusal names the field.

use serde_json::Value;

use crate::cgroup::Resources;
use crate::cgroup::place::check_path;
use crate::error::{Code, Error, Result};
use crate::mount::{self, Options};
use crate::namespaces::NAMESPACES;
use crate::spec::{Hook, Linux, Namespace, Process, Spec};
use crate::{caps, clocks, devices, memory_policy, personality, process, rootfs, scheduling};

/// sysctl prefix, and the namespace that makes it the container's own.
const SYSCTLS: [(&str, &str); 7] = [
    ("net.", "network"),
    ("kernel.msg", "ipc"),
    ("kernel.sem", "ipc"),
    ("kernel.shm", "ipc"),
    ("fs.mqueue.", "ipc"),
    ("kernel.domainname", "uts"),
    ("user.", "user"),
];

/// Checks a whole document.
///
/// # Errors
/// `invalid_spec` or `unsupported`, naming the field.
pub fn validate(spec: &Spec) -> Result<()> {
    check_version(&spec.oci_version)?;
    match &spec.root {
        None => return Err(invalid("root", "", "missing")),
        Some(root) if root.path.is_empty() => return Err(invalid("root.path", "", "empty")),
        Some(root) => check_text("root.path", &root.path)?,
    }
    for (kind, hooks) in spec.hooks.iter().flat_map(|hooks| hooks.lists()) {
        hooks.iter().try_for_each(|hook| check_hook(kind, hook))?;
    }
    for (field, value) in [
        ("solaris", &spec.solaris),
        ("windows", &spec.windows),
        ("vm", &spec.vm),
        ("zos", &spec.zos),
        ("freebsd", &spec.freebsd),
    ] {
        refuse(field, value.as_ref())?;
    }
    for mount in &spec.mounts {
        check_text("mounts.destination", &mount.destination)?;
        check_text("mounts.source", mount.source.as_deref().unwrap_or_default())?;
        mount.options.iter().try_for_each(|option| check_text("mounts.options", option))?;
        if mount.destination.is_empty() {
            return Err(invalid("mounts.destination", "", "empty"));
        }
        let options = Options::parse(mount)?;
        if options.remount {
            continue;
        }
        if options.bind.is_some() && mount.source.as_deref().is_none_or(str::is_empty) {
            return Err(invalid("mounts.source", &mount.destination, "a bind has no source"));
        }
        if options.bind.is_none() && mount.fs_type.as_deref().unwrap_or_default().is_empty() {
            return Err(invalid("mounts.type", &mount.destination, "missing"));
        }
    }
    let linux = spec.linux.as_ref().ok_or_else(|| invalid("linux", "", "missing"))?;
    check_namespaces(&linux.namespaces)?;
    check_linux(spec, linux)?;
    for (field, name) in [("hostname", &spec.hostname), ("domainname", &spec.domainname)] {
        check_text(field, name.as_deref().unwrap_or_default())?;
        if name.as_deref().is_some_and(|name| !name.is_empty()) && spec.namespace("uts").is_none() {
            return Err(invalid(field, "", "needs a uts namespace"));
        }
    }
    if spec.oci_version.starts_with("1.0.") {
        check_capabilities(spec)?;
    }
    spec.process.as_ref().map_or(Ok(()), check_process)
}

/// Until version 1.1 a capability that is none MUST be an error; since then it must not.
fn check_capabilities(spec: &Spec) -> Result<()> {
    let names = spec.process.as_ref().and_then(|process| process.capabilities.as_ref());
    match names.into_iter().flat_map(caps::unknown).next() {
        Some((set, name)) => {
            Err(invalid(&format!("process.capabilities.{set}"), name, "unknown capability"))
        }
        None => Ok(()),
    }
}

fn check_hook(kind: &str, hook: &Hook) -> Result<()> {
    let field = format!("hooks.{kind}");
    if !hook.path.starts_with('/') {
        return Err(invalid(&field, &hook.path, "the path is not absolute"));
    }
    if hook.timeout.is_some_and(|seconds| seconds <= 0) {
        return Err(invalid(&field, &hook.path, "the timeout is not more than 0"));
    }
    let texts = std::iter::once(&hook.path).chain(&hook.args).chain(&hook.env);
    texts.into_iter().try_for_each(|text| check_text(&field, text))
}

fn check_version(version: &str) -> Result<()> {
    let major = version.split('.').next().unwrap_or_default();
    if major == "1" && version.split('.').count() >= 3 {
        return Ok(());
    }
    Err(invalid("ociVersion", version, "is not a 1.x.y version"))
}

fn check_namespaces(namespaces: &[Namespace]) -> Result<()> {
    for (position, namespace) in namespaces.iter().enumerate() {
        let kind = namespace.kind.as_str();
        if !NAMESPACES.iter().any(|(known, ..)| *known == kind) {
            return Err(invalid("linux.namespaces", kind, "unknown type"));
        }
        if namespaces[..position].iter().any(|earlier| earlier.kind == kind) {
            return Err(invalid("linux.namespaces", kind, "given twice"));
        }
        if namespace.path.as_deref().is_some_and(|path| !path.starts_with('/')) {
            return Err(invalid("linux.namespaces", kind, "the path is not absolute"));
        }
    }
    if namespaces.iter().any(|namespace| namespace.kind == "mount") {
        return Ok(());
    }
    Err(unsupported("linux.namespaces", "a container without its own mount namespace"))
}

fn check_linux(spec: &Spec, linux: &Linux) -> Result<()> {
    // An empty intelRdt asks for a group, and a device without a name keeps its own.
    let is_asked = |value: &Option<Value>| {
        let is_nothing = |value: &Value| value.as_object().is_some_and(serde_json::Map::is_empty);
        value.as_ref().is_some_and(|value| !value.is_null() && !is_nothing(value))
    };
    if is_asked(&linux.net_devices) {
        return Err(unsupported("linux.netDevices", ""));
    }
    if linux.intel_rdt.as_ref().is_some_and(|value| !value.is_null()) {
        return Err(unsupported("linux.intelRdt", ""));
    }
    clocks::check(spec)?;
    if let Some(policy) = &linux.memory_policy {
        memory_policy::parse(policy)?;
    }
    if let Some(personality) = &linux.personality {
        personality::parse(personality)?;
    }
    Resources::of(spec)?;
    if let Some(path) = &linux.cgroups_path {
        check_path("linux.cgroupsPath", path)?;
    }
    let propagation = linux.rootfs_propagation.as_deref().filter(|word| !word.is_empty());
    if let Some(word) = propagation.filter(|word| mount::propagation(word).is_none()) {
        return Err(invalid("linux.rootfsPropagation", word, "is not a propagation"));
    }
    linux.devices.iter().try_for_each(devices::check)?;
    let label = linux.mount_label.as_deref().unwrap_or_default();
    check_text("linux.mountLabel", label)?;
    let makes_user = spec.makes("user");
    if makes_user && (linux.uid_mappings.is_empty() || linux.gid_mappings.is_empty()) {
        return Err(invalid(
            "linux.uidMappings",
            "",
            "a new user namespace needs uid and gid mappings",
        ));
    }
    let maps = !linux.uid_mappings.is_empty() || !linux.gid_mappings.is_empty();
    if maps && spec.namespace("user").is_none() {
        return Err(invalid("linux.uidMappings", "", "mappings without a user namespace"));
    }
    for path in linux.masked_paths.iter().chain(&linux.readonly_paths) {
        if !path.starts_with('/') {
            return Err(invalid("linux.maskedPaths", path, "is not absolute"));
        }
    }
    for key in linux.sysctl.keys() {
        check_sysctl(spec, key)?;
    }
    Ok(())
}

/// CVE-2022-0811: only what one of our own namespaces owns, by exact characters.
fn check_sysctl(spec: &Spec, key: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if !key.chars().all(is_plain) || key.split(['.', '/']).any(str::is_empty) {
        return Err(invalid("linux.sysctl", key, "is not a parameter name"));
    }
    let dotted = rootfs::sysctl_path(key).replace('/', ".");
    match SYSCTLS.iter().find(|(prefix, _)| dotted.starts_with(prefix)) {
        Some((_, namespace)) if spec.namespace(namespace).is_some() => Ok(()),
        Some((_, namespace)) => {
            let message = format!("needs a new {namespace} namespace");
            Err(invalid("linux.sysctl", key, &message))
        }
        None => Err(invalid("linux.sysctl", key, "belongs to no namespace of the container")),
    }
}

/// Checks the process object, of a container or of exec.
///
/// # Errors
/// `invalid_spec` or `unsupported`, naming the field.
pub fn check_process(process: &Process) -> Result<()> {
    if process.args.is_empty() {
        return Err(invalid("process.args", "", "empty"));
    }
    if !process.cwd.starts_with('/') {
        return Err(invalid("process.cwd", &process.cwd, "is not absolute"));
    }
    check_text("process.cwd", &process.cwd)?;
    for arg in &process.args {
        check_text("process.args", arg)?;
    }
    for variable in &process.env {
        check_text("process.env", variable)?;
    }
    for (position, limit) in process.rlimits.iter().enumerate() {
        if process::rlimit_number(&limit.kind).is_none() {
            return Err(invalid("process.rlimits", &limit.kind, "unknown type"));
        }
        if process.rlimits[..position].iter().any(|earlier| earlier.kind == limit.kind) {
            return Err(invalid("process.rlimits", &limit.kind, "given twice"));
        }
    }
    if process.user.uid == u32::MAX || process.user.gid == u32::MAX {
        return Err(invalid("process.user", "4294967295", "is no user or group ID"));
    }
    scheduling::check(process)?;
    for (field, label) in [
        ("process.selinuxLabel", &process.selinux_label),
        ("process.apparmorProfile", &process.apparmor_profile),
    ] {
        check_text(field, label.as_deref().unwrap_or_default())?;
    }
    Ok(())
}

/// What a document says that is neither applied nor refused: the specification, or mount(2), has no error for it.
#[must_use]
pub fn warnings(spec: &Spec) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for mount in &spec.mounts {
        let options = Options::parse(mount).unwrap_or_default();
        for option in options.unheard() {
            let place = ["mounts.options ", &mount.destination, ": ", option].concat();
            texts.push(place + " is the file system's, which a bind does not mount");
        }
    }
    texts.extend(spec.process.iter().flat_map(process_warnings));
    texts
}

/// [`warnings`] of a process, of a container or of exec.
#[must_use]
pub fn process_warnings(process: &Process) -> Vec<String> {
    let names = process.capabilities.as_ref();
    names
        .into_iter()
        .flat_map(caps::unknown)
        .map(|(set, name)| format!("process.capabilities.{set} {name}: unknown, not granted"))
        .collect()
}

/// Refuses a known property that this runtime does not apply, unless it is absent or says nothing.
fn refuse(field: &str, value: Option<&Value>) -> Result<()> {
    let says_nothing = match value {
        None | Some(Value::Null) => true,
        Some(Value::Object(fields)) => fields.values().all(is_empty),
        Some(value) => is_empty(value),
    };
    if says_nothing { Ok(()) } else { Err(unsupported(field, "")) }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn check_text(field: &str, text: &str) -> Result<()> {
    if text.contains('\0') {
        return Err(invalid(field, &text.replace('\0', "\\0"), "contains a NUL byte"));
    }
    Ok(())
}

fn invalid(field: &str, subject: &str, message: &str) -> Error {
    Error::new(Code::InvalidSpec, field, subject, message)
}

fn unsupported(field: &str, subject: &str) -> Error {
    Error::new(Code::Unsupported, field, subject, "not supported")
}
