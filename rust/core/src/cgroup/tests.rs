//! The conversions and refusals that need no kernel.

use serde_json::json;

use super::limits::{cpu_weight, io_weight, swap_max};
use super::place::check_path;
use super::resources::{Device, Resources};
use crate::error::Code;
use crate::spec::Spec;

fn parse(value: &serde_json::Value) -> Resources {
    Resources::parse(value, "1.3.0").unwrap()
}

#[test]
fn shares_become_weights_as_runc_has_them() {
    // opencontainers/cgroups, TestConvertCPUSharesToCgroupV2Value.
    let table = [
        (1, 1),
        (2, 1),
        (3, 2),
        (1024, 100),
        (262_143, 10_000),
        (262_144, 10_000),
        (262_145, 10_000),
    ];
    for (shares, weight) in table {
        assert_eq!(cpu_weight(shares), weight, "{shares} shares");
    }
    let weights: Vec<u64> = (2..=262_144).map(cpu_weight).collect();
    assert!(weights.is_sorted());
}

#[test]
fn block_io_weights_keep_their_ends() {
    assert_eq!(io_weight(10), 1);
    assert_eq!(io_weight(1000), 10_000);
}

#[test]
fn swap_is_what_is_beyond_memory() {
    assert_eq!(swap_max(Some(100), 100), Ok(0));
    assert_eq!(swap_max(Some(100), 150), Ok(50));
    assert_eq!(swap_max(Some(100), -1), Ok(-1));
    assert_eq!(swap_max(Some(-1), 150), Ok(150));
    assert_eq!(swap_max(None, -1), Ok(-1));
    assert!(swap_max(None, 150).is_err());
    assert!(swap_max(Some(100), 99).unwrap_err().message.contains("should be >= memory limit"));
}

#[test]
fn what_says_nothing_needs_nothing() {
    for value in [
        json!(null),
        json!({}),
        json!({"memory": null, "cpu": {}, "pids": {"limit": null}, "blockIO": {"weight": 0}}),
        json!({"memory": {"limit": -1, "swap": -1, "swappiness": null, "disableOOMKiller": false}}),
        json!({"cpu": {"shares": 1024}}),
        json!({"cpu": {"shares": 0, "quota": 0, "period": 100_000, "cpus": "", "realtimeRuntime": 0}}),
        json!({"pids": {"limit": -1}, "cpu": {"quota": -1}}),
        json!({"devices": [{"allow": false, "access": "rwm"}]}),
        json!({"memory": {"kernel": 1_000_000, "kernelTCP": 1, "useHierarchy": true}}),
        json!({"no such": {"property": 1}}),
    ] {
        assert_eq!(parse(&value).controllers(), Vec::<&str>::new(), "{value}");
    }
}

#[test]
fn each_limit_needs_its_controller() {
    for (value, controller) in [
        (json!({"memory": {"limit": 1}}), "memory"),
        (json!({"memory": {"reservation": 1}}), "memory"),
        (json!({"cpu": {"shares": 2}}), "cpu"),
        (json!({"cpu": {"quota": 1000}}), "cpu"),
        (json!({"cpu": {"idle": 1}}), "cpu"),
        (json!({"cpu": {"burst": 1}}), "cpu"),
        (json!({"cpu": {"cpus": "0-1"}}), "cpuset"),
        (json!({"cpu": {"mems": "0"}}), "cpuset"),
        (json!({"pids": {"limit": 0}}), "pids"),
        (json!({"blockIO": {"weight": 10}}), "io"),
        (
            json!({"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 0}]}}),
            "io",
        ),
        (json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}), "hugetlb"),
        (json!({"rdma": {"mlx5_1": {"hcaHandles": 3}}}), "rdma"),
        (json!({"unified": {"misc.max": "res 1"}}), "misc"),
    ] {
        assert_eq!(parse(&value).controllers(), [controller], "{value}");
    }
}

#[test]
fn no_tasks_is_a_limit_since_it_may_be_left_out() {
    let value = json!({"pids": {"limit": 0}});
    for (version, limit) in
        [("1.0.2-dev", None), ("1.2.1", None), ("1.3.0", Some(0)), ("1.10.0", Some(0))]
    {
        assert_eq!(Resources::parse(&value, version).unwrap().pids, limit, "{version}");
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    for (value, step, code) in [
        (json!([]), "linux.resources", Code::InvalidSpec),
        (json!({"memory": 7}), "linux.resources.memory", Code::InvalidSpec),
        (json!({"memory": {"limit": "1G"}}), "linux.resources.memory.limit", Code::InvalidSpec),
        (json!({"memory": {"limit": -2}}), "linux.resources.memory.limit", Code::InvalidSpec),
        (
            json!({"memory": {"swappiness": 0}}),
            "linux.resources.memory.swappiness",
            Code::Unsupported,
        ),
        (
            json!({"memory": {"disableOOMKiller": true}}),
            "linux.resources.memory.disableOOMKiller",
            Code::Unsupported,
        ),
        (
            json!({"memory": {"useHierarchy": false}}),
            "linux.resources.memory.useHierarchy",
            Code::Unsupported,
        ),
        (
            json!({"cpu": {"realtimePeriod": 1}}),
            "linux.resources.cpu.realtimePeriod",
            Code::Unsupported,
        ),
        (
            json!({"cpu": {"realtimeRuntime": 1}}),
            "linux.resources.cpu.realtimeRuntime",
            Code::Unsupported,
        ),
        (json!({"cpu": {"idle": 2}}), "linux.resources.cpu.idle", Code::InvalidSpec),
        (json!({"cpu": {"cpus": "0\n1"}}), "linux.resources.cpu.cpus", Code::InvalidSpec),
        (json!({"blockIO": {"weight": 9}}), "linux.resources.blockIO.weight", Code::InvalidSpec),
        (
            json!({"blockIO": {"leafWeight": 10}}),
            "linux.resources.blockIO.leafWeight",
            Code::Unsupported,
        ),
        (
            json!({"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 10}]}}),
            "linux.resources.blockIO.weightDevice[0].leafWeight",
            Code::Unsupported,
        ),
        (json!({"network": {"classID": 5}}), "linux.resources.network.classID", Code::Unsupported),
        (
            json!({"network": {"priorities": [{"name": "eth0", "priority": 1}]}}),
            "linux.resources.network.priorities",
            Code::Unsupported,
        ),
        (
            json!({"hugepageLimits": [{"pageSize": "../2MB", "limit": 0}]}),
            "linux.resources.hugepageLimits[0].pageSize",
            Code::InvalidSpec,
        ),
        (
            json!({"rdma": {"a b": {"hcaHandles": 1}}}),
            "linux.resources.rdma.a b",
            Code::InvalidSpec,
        ),
        (json!({"unified": {"../memory.max": "1"}}), "linux.resources.unified", Code::InvalidSpec),
        (json!({"unified": {"memory": "1"}}), "linux.resources.unified.memory", Code::InvalidSpec),
        (
            json!({"devices": [{"allow": true, "access": "x"}]}),
            "linux.resources.devices[0].access",
            Code::InvalidSpec,
        ),
    ] {
        let error = Resources::parse(&value, "1.3.0").unwrap_err();
        assert_eq!((error.step.as_str(), error.code), (step, code), "{value}");
    }
}

#[test]
fn block_devices_keep_their_order_and_numbers() {
    let value = json!({"blockIO": {
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 5}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 7}],
    }});
    assert_eq!(
        parse(&value).block_io.rates,
        [("rbps", Device(8, 0), 7), ("wiops", Device(8, 16), 5)]
    );
}

#[test]
fn device_rules_that_cannot_be_kept_are_refused() {
    let document = |rules: serde_json::Value| -> Spec {
        serde_json::from_value(json!({"ociVersion": "1.3.0", "linux": {
            "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}],
            "resources": {"devices": rules},
        }}))
        .unwrap()
    };
    let all = json!({"allow": false, "access": "rwm"});
    let fuse = |allow, access| json!({"allow": allow, "type": "c", "major": 10, "minor": 229, "access": access});
    for rules in [
        json!([all]),
        json!([all, {"allow": true, "type": "c", "access": "m"}]),
        json!([all, fuse(true, "rwm")]),
        json!([all, fuse(true, "r"), fuse(true, "w")]),
        json!([all, fuse(false, "rwm"), fuse(true, "rw")]),
        json!([{"allow": true, "access": "rwm"}]),
        // Docker's default, whoever is not bound in.
        json!([all, {"allow": false, "type": "c", "major": 10, "minor": 230, "access": "rwm"}]),
        // Every container has null.
        json!([all, {"allow": false, "type": "c", "major": 1, "minor": 3, "access": "rwm"}]),
    ] {
        assert!(Resources::of(&document(rules.clone())).is_ok(), "{rules}");
    }
    for rules in [
        json!([fuse(false, "rwm")]),
        json!([all, fuse(true, "r")]),
        json!([all, fuse(true, "rwm"), fuse(false, "w")]),
    ] {
        let error = Resources::of(&document(rules.clone())).unwrap_err();
        assert_eq!(error.subject, "/dev/fuse", "{rules}");
    }
}

#[test]
fn a_path_stays_beneath() {
    for path in ["/a/b", "a", "machine.slice/x:y", "/", "a//b/"] {
        assert!(check_path("linux.cgroupsPath", path).is_ok(), "{path}");
    }
    for path in ["..", "/a/../b", "a/..", "./a", "a\nb", "a\0b", "a/\u{7f}"] {
        assert!(check_path("linux.cgroupsPath", path).is_err(), "{path:?}");
    }
}
