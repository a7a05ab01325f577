"""The options of hot verbs, each a `parser.VerbTable` in JSON: one of them is needed.

Written by `python -m pyrt.cli.generate`; do not edit.
"""

# fmt: off
TABLE = {
"attach": """
{"module": "pyrt.cli.attach", "name": "Attach", "interspersed": true, "options": {"--detach-keys": ["detach_keys",
"text"], "--no-stdin": ["no_stdin", "flag"], "--sig-proxy": ["sig_proxy", "flag"]}, "numbers": [], "arguments":
[["container", false, true]]}
""",
"create": """
{"module": "pyrt.cli.create", "name": "Create", "interspersed": false, "options": {"--authfile": ["authfile",
"text"], "--cert-dir": ["cert_dir", "text"], "--creds": ["creds", "text"], "--retry": ["retry", "text"],
"--retry-delay": ["retry_delay", "text"], "--tls-verify": ["tls_verify", "flag"], "--arch": ["arch", "text"],
"--os": ["os", "text"], "--platform": ["platform", "text"], "--quiet": ["quiet", "flag"], "-q": ["quiet", "flag"],
"--variant": ["variant", "text"], "--ip": ["ip", "text"], "--ip6": ["ip6", "text"], "--mac-address": ["mac_address",
"text"], "--network": ["network", "list"], "--net": ["network", "list"], "--network-alias": ["network_alias",
"list"], "--publish": ["publish", "list"], "-p": ["publish", "list"], "--add-host": ["add_host", "list"], "--dns":
["dns", "list"], "--dns-option": ["dns_option", "list"], "--dns-opt": ["dns_option", "list"], "--dns-search":
["dns_search", "list"], "--label-file": ["label_file", "list"], "--no-hosts": ["no_hosts", "flag"], "--shm-size":
["shm_size", "text"], "--sysctl": ["sysctl", "list"], "--blkio-weight": ["blkio_weight", "text"], "--cgroup-conf":
["cgroup_conf", "list"], "--cpu-period": ["cpu_period", "text"], "--cpu-quota": ["cpu_quota", "text"],
"--cpu-shares": ["cpu_shares", "text"], "--cpus": ["cpus", "text"], "--cpuset-cpus": ["cpuset_cpus", "text"],
"--cpuset-mems": ["cpuset_mems", "text"], "--device-read-bps": ["device_read_bps", "list"], "--device-read-iops":
["device_read_iops", "list"], "--device-write-bps": ["device_write_bps", "list"], "--device-write-iops":
["device_write_iops", "list"], "--limits": ["limits", "text"], "--memory": ["memory", "text"], "-m": ["memory",
"text"], "--memory-reservation": ["memory_reservation", "text"], "--memory-swap": ["memory_swap", "text"],
"--pids-limit": ["pids_limit", "text"], "--health-cmd": ["health_cmd", "text"], "--health-interval":
["health_interval", "text"], "--health-on-failure": ["health_on_failure", "text"], "--health-retries":
["health_retries", "text"], "--health-start-period": ["health_start_period", "text"], "--health-startup-cmd":
["health_startup_cmd", "text"], "--health-startup-interval": ["health_startup_interval", "text"],
"--health-startup-retries": ["health_startup_retries", "text"], "--health-startup-success":
["health_startup_success", "text"], "--health-startup-timeout": ["health_startup_timeout", "text"],
"--health-timeout": ["health_timeout", "text"], "--no-healthcheck": ["no_healthcheck", "flag"], "--restart":
["restart", "text"], "--timeout": ["timeout", "text"], "--alert": ["alert", "list"], "--annotation": ["annotation",
"list"], "--cap-add": ["cap_add", "list"], "--cap-drop": ["cap_drop", "list"], "--cgroup-parent": ["cgroup_parent",
"text"], "--cgroups": ["cgroups", "text"], "--cidfile": ["cidfile", "text"], "--detach-keys": ["detach_keys",
"text"], "--entrypoint": ["entrypoint", "text"], "--env": ["env", "list"], "-e": ["env", "list"], "--env-file":
["env_file", "list"], "--expose": ["expose", "list"], "--history": ["history", "text"], "--hostname": ["hostname",
"text"], "-h": ["hostname", "text"], "--image-volume": ["image_volume", "text"], "--init": ["init", "flag"],
"--init-ctr": ["init_ctr", "text"], "--interactive": ["interactive", "flag"], "-i": ["interactive", "flag"],
"--label": ["label", "list"], "-l": ["label", "list"], "--log-driver": ["log_driver", "text"], "--log-opt":
["log_opt", "list"], "--mount": ["mount", "list"], "--name": ["name", "text"], "--network-rate": ["network_rate",
"text"], "--oom-score-adj": ["oom_score_adj", "text"], "--pod": ["pod", "text"], "--privileged": ["privileged",
"flag"], "--publish-all": ["publish_all", "flag"], "-P": ["publish_all", "flag"], "--pull": ["pull", "text"],
"--read-only": ["read_only", "flag"], "--read-only-tmpfs": ["read_only_tmpfs", "flag"], "--replace": ["replace",
"flag"], "--rm": ["rm", "flag"], "--rootfs": ["rootfs", "flag"], "--secret": ["secret", "list"], "--security-opt":
["security_opt", "list"], "--stop-signal": ["stop_signal", "text"], "--stop-timeout": ["stop_timeout", "text"],
"--tmpfs": ["tmpfs", "list"], "--tty": ["tty", "flag"], "-t": ["tty", "flag"], "--ulimit": ["ulimit", "list"],
"--user": ["user", "text"], "-u": ["user", "text"], "--userns": ["userns", "text"], "--volume": ["volume", "list"],
"-v": ["volume", "list"], "--volumes-from": ["volumes_from", "list"], "--workdir": ["workdir", "text"], "-w":
["workdir", "text"]}, "numbers": ["retry", "health_retries", "health_startup_retries", "health_startup_success",
"timeout", "stop_timeout"], "arguments": [["image", false, true], ["command", true, false]]}
""",
"exec": """
{"module": "pyrt.cli.exec", "name": "Exec", "interspersed": false, "options": {"--detach": ["detach", "flag"], "-d":
["detach", "flag"], "--detach-keys": ["detach_keys", "text"], "--env": ["env", "list"], "-e": ["env", "list"],
"--env-file": ["env_file", "list"], "--interactive": ["interactive", "flag"], "-i": ["interactive", "flag"],
"--privileged": ["privileged", "flag"], "--tty": ["tty", "flag"], "-t": ["tty", "flag"], "--user": ["user", "text"],
"-u": ["user", "text"], "--workdir": ["workdir", "text"], "-w": ["workdir", "text"]}, "numbers": [], "arguments":
[["container", false, true], ["command", true, false]]}
""",
"inspect": """
{"module": "pyrt.cli.inspect", "name": "Inspect", "interspersed": true, "options": {"--format": ["format", "text"],
"-f": ["format", "text"], "--type": ["type", "text"], "-t": ["type", "text"]}, "numbers": [], "arguments":
[["names", true, false]]}
""",
"kill": """
{"module": "pyrt.cli.kill", "name": "Kill", "interspersed": true, "options": {"--all": ["all", "flag"], "-a":
["all", "flag"], "--signal": ["signal", "text"], "-s": ["signal", "text"]}, "numbers": [], "arguments":
[["containers", true, false]]}
""",
"kube down": """
{"module": "pyrt.cli.kube_down", "name": "KubeDown", "interspersed": true, "options": {"--force": ["force", "flag"],
"--time": ["time", "text"], "-t": ["time", "text"]}, "numbers": ["time"], "arguments": [["file", false, true]]}
""",
"kube play": """
{"module": "pyrt.cli.kube_play", "name": "KubePlay", "interspersed": true, "options": {"--authfile": ["authfile",
"text"], "--cert-dir": ["cert_dir", "text"], "--creds": ["creds", "text"], "--retry": ["retry", "text"],
"--retry-delay": ["retry_delay", "text"], "--tls-verify": ["tls_verify", "flag"], "--annotation": ["annotation",
"list"], "--configmap": ["configmap", "list"], "--down": ["down", "flag"], "--force": ["force", "flag"], "--ip":
["ip", "text"], "--lenient": ["lenient", "flag"], "--limits": ["limits", "text"], "--log-driver": ["log_driver",
"text"], "--mac-address": ["mac_address", "text"], "--network": ["network", "list"], "--net": ["network", "list"],
"--no-hosts": ["no_hosts", "flag"], "--publish": ["publish", "list"], "--quiet": ["quiet", "flag"], "-q": ["quiet",
"flag"], "--replace": ["replace", "flag"], "--start": ["start", "flag"], "--userns": ["userns", "text"], "--wait":
["wait", "optional"], "--wait-timeout": ["wait_timeout", "text"]}, "numbers": ["retry", "wait_timeout"],
"arguments": [["file", false, true]]}
""",
"logs": """
{"module": "pyrt.cli.logs", "name": "Logs", "interspersed": true, "options": {"--follow": ["follow", "flag"], "-f":
["follow", "flag"], "--names": ["names", "flag"], "-n": ["names", "flag"], "--since": ["since", "text"], "--tail":
["tail", "text"], "--timestamps": ["timestamps", "flag"], "-t": ["timestamps", "flag"], "--until": ["until",
"text"]}, "numbers": ["tail"], "arguments": [["containers", true, false]]}
""",
"node enter": """
{"module": "pyrt.cli.node_enter", "name": "NodeEnter", "interspersed": false, "options": {}, "numbers": [],
"arguments": [["command", true, false]]}
""",
"pod create": """
{"module": "pyrt.cli.pod_create", "name": "PodCreate", "interspersed": true, "options": {"--ip": ["ip", "text"],
"--ip6": ["ip6", "text"], "--mac-address": ["mac_address", "text"], "--network": ["network", "list"], "--net":
["network", "list"], "--network-alias": ["network_alias", "list"], "--publish": ["publish", "list"], "-p":
["publish", "list"], "--add-host": ["add_host", "list"], "--dns": ["dns", "list"], "--dns-option": ["dns_option",
"list"], "--dns-opt": ["dns_option", "list"], "--dns-search": ["dns_search", "list"], "--label-file": ["label_file",
"list"], "--no-hosts": ["no_hosts", "flag"], "--shm-size": ["shm_size", "text"], "--sysctl": ["sysctl", "list"],
"--blkio-weight": ["blkio_weight", "text"], "--cgroup-conf": ["cgroup_conf", "list"], "--cpu-period": ["cpu_period",
"text"], "--cpu-quota": ["cpu_quota", "text"], "--cpu-shares": ["cpu_shares", "text"], "--cpus": ["cpus", "text"],
"--cpuset-cpus": ["cpuset_cpus", "text"], "--cpuset-mems": ["cpuset_mems", "text"], "--device-read-bps":
["device_read_bps", "list"], "--device-read-iops": ["device_read_iops", "list"], "--device-write-bps":
["device_write_bps", "list"], "--device-write-iops": ["device_write_iops", "list"], "--limits": ["limits", "text"],
"--memory": ["memory", "text"], "-m": ["memory", "text"], "--memory-reservation": ["memory_reservation", "text"],
"--memory-swap": ["memory_swap", "text"], "--pids-limit": ["pids_limit", "text"], "--exit-policy": ["exit_policy",
"text"], "--hostname": ["hostname", "text"], "--infra": ["infra", "flag"], "--infra-name": ["infra_name", "text"],
"--label": ["label", "list"], "-l": ["label", "list"], "--name": ["name", "text"], "-n": ["name", "text"],
"--pod-id-file": ["pod_id_file", "text"], "--replace": ["replace", "flag"], "--security-opt": ["security_opt",
"list"], "--share": ["share", "text"], "--share-parent": ["share_parent", "flag"], "--userns": ["userns", "text"],
"--volume": ["volume", "list"], "-v": ["volume", "list"]}, "numbers": [], "arguments": []}
""",
"pod ps": """
{"module": "pyrt.cli.pod_ps", "name": "PodPs", "interspersed": true, "options": {"--ctr-ids": ["ctr_ids", "flag"],
"--ctr-names": ["ctr_names", "flag"], "--ctr-status": ["ctr_status", "flag"], "--filter": ["filter", "list"], "-f":
["filter", "list"], "--format": ["format", "text"], "--latest": ["latest", "flag"], "-l": ["latest", "flag"],
"--no-trunc": ["no_trunc", "flag"], "--noheading": ["noheading", "flag"], "-n": ["noheading", "flag"], "--quiet":
["quiet", "flag"], "-q": ["quiet", "flag"]}, "numbers": [], "arguments": []}
""",
"pod rm": """
{"module": "pyrt.cli.pod_life", "name": "PodRm", "interspersed": true, "options": {"--all": ["all", "flag"], "-a":
["all", "flag"], "--force": ["force", "flag"], "-f": ["force", "flag"], "--ignore": ["ignore", "flag"], "-i":
["ignore", "flag"], "--time": ["time", "text"], "-t": ["time", "text"]}, "numbers": ["time"], "arguments": [["pods",
true, false]]}
""",
"pod start": """
{"module": "pyrt.cli.pod_life", "name": "PodStart", "interspersed": true, "options": {"--all": ["all", "flag"],
"-a": ["all", "flag"]}, "numbers": [], "arguments": [["pods", true, false]]}
""",
"pod stop": """
{"module": "pyrt.cli.pod_life", "name": "PodStop", "interspersed": true, "options": {"--all": ["all", "flag"], "-a":
["all", "flag"], "--ignore": ["ignore", "flag"], "-i": ["ignore", "flag"], "--time": ["time", "text"], "-t":
["time", "text"]}, "numbers": ["time"], "arguments": [["pods", true, false]]}
""",
"ps": """
{"module": "pyrt.cli.ps", "name": "Ps", "interspersed": true, "options": {"--all": ["all", "flag"], "-a": ["all",
"flag"], "--filter": ["filter", "list"], "-f": ["filter", "list"], "--format": ["format", "text"], "--last":
["last", "text"], "-n": ["last", "text"], "--latest": ["latest", "flag"], "-l": ["latest", "flag"], "--no-trunc":
["no_trunc", "flag"], "--noheading": ["noheading", "flag"], "--pod": ["pod", "flag"], "-p": ["pod", "flag"],
"--quiet": ["quiet", "flag"], "-q": ["quiet", "flag"]}, "numbers": ["last"], "arguments": []}
""",
"rm": """
{"module": "pyrt.cli.rm", "name": "Rm", "interspersed": true, "options": {"--all": ["all", "flag"], "-a": ["all",
"flag"], "--force": ["force", "flag"], "-f": ["force", "flag"], "--ignore": ["ignore", "flag"], "-i": ["ignore",
"flag"], "--time": ["time", "text"], "-t": ["time", "text"], "--volumes": ["volumes", "flag"], "-v": ["volumes",
"flag"]}, "numbers": ["time"], "arguments": [["containers", true, false]]}
""",
"run": """
{"module": "pyrt.cli.run", "name": "Run", "interspersed": false, "options": {"--authfile": ["authfile", "text"],
"--cert-dir": ["cert_dir", "text"], "--creds": ["creds", "text"], "--retry": ["retry", "text"], "--retry-delay":
["retry_delay", "text"], "--tls-verify": ["tls_verify", "flag"], "--arch": ["arch", "text"], "--os": ["os", "text"],
"--platform": ["platform", "text"], "--quiet": ["quiet", "flag"], "-q": ["quiet", "flag"], "--variant": ["variant",
"text"], "--ip": ["ip", "text"], "--ip6": ["ip6", "text"], "--mac-address": ["mac_address", "text"], "--network":
["network", "list"], "--net": ["network", "list"], "--network-alias": ["network_alias", "list"], "--publish":
["publish", "list"], "-p": ["publish", "list"], "--add-host": ["add_host", "list"], "--dns": ["dns", "list"],
"--dns-option": ["dns_option", "list"], "--dns-opt": ["dns_option", "list"], "--dns-search": ["dns_search", "list"],
"--label-file": ["label_file", "list"], "--no-hosts": ["no_hosts", "flag"], "--shm-size": ["shm_size", "text"],
"--sysctl": ["sysctl", "list"], "--blkio-weight": ["blkio_weight", "text"], "--cgroup-conf": ["cgroup_conf",
"list"], "--cpu-period": ["cpu_period", "text"], "--cpu-quota": ["cpu_quota", "text"], "--cpu-shares":
["cpu_shares", "text"], "--cpus": ["cpus", "text"], "--cpuset-cpus": ["cpuset_cpus", "text"], "--cpuset-mems":
["cpuset_mems", "text"], "--device-read-bps": ["device_read_bps", "list"], "--device-read-iops":
["device_read_iops", "list"], "--device-write-bps": ["device_write_bps", "list"], "--device-write-iops":
["device_write_iops", "list"], "--limits": ["limits", "text"], "--memory": ["memory", "text"], "-m": ["memory",
"text"], "--memory-reservation": ["memory_reservation", "text"], "--memory-swap": ["memory_swap", "text"],
"--pids-limit": ["pids_limit", "text"], "--health-cmd": ["health_cmd", "text"], "--health-interval":
["health_interval", "text"], "--health-on-failure": ["health_on_failure", "text"], "--health-retries":
["health_retries", "text"], "--health-start-period": ["health_start_period", "text"], "--health-startup-cmd":
["health_startup_cmd", "text"], "--health-startup-interval": ["health_startup_interval", "text"],
"--health-startup-retries": ["health_startup_retries", "text"], "--health-startup-success":
["health_startup_success", "text"], "--health-startup-timeout": ["health_startup_timeout", "text"],
"--health-timeout": ["health_timeout", "text"], "--no-healthcheck": ["no_healthcheck", "flag"], "--restart":
["restart", "text"], "--timeout": ["timeout", "text"], "--alert": ["alert", "list"], "--annotation": ["annotation",
"list"], "--cap-add": ["cap_add", "list"], "--cap-drop": ["cap_drop", "list"], "--cgroup-parent": ["cgroup_parent",
"text"], "--cgroups": ["cgroups", "text"], "--cidfile": ["cidfile", "text"], "--detach-keys": ["detach_keys",
"text"], "--entrypoint": ["entrypoint", "text"], "--env": ["env", "list"], "-e": ["env", "list"], "--env-file":
["env_file", "list"], "--expose": ["expose", "list"], "--history": ["history", "text"], "--hostname": ["hostname",
"text"], "-h": ["hostname", "text"], "--image-volume": ["image_volume", "text"], "--init": ["init", "flag"],
"--init-ctr": ["init_ctr", "text"], "--interactive": ["interactive", "flag"], "-i": ["interactive", "flag"],
"--label": ["label", "list"], "-l": ["label", "list"], "--log-driver": ["log_driver", "text"], "--log-opt":
["log_opt", "list"], "--mount": ["mount", "list"], "--name": ["name", "text"], "--network-rate": ["network_rate",
"text"], "--oom-score-adj": ["oom_score_adj", "text"], "--pod": ["pod", "text"], "--privileged": ["privileged",
"flag"], "--publish-all": ["publish_all", "flag"], "-P": ["publish_all", "flag"], "--pull": ["pull", "text"],
"--read-only": ["read_only", "flag"], "--read-only-tmpfs": ["read_only_tmpfs", "flag"], "--replace": ["replace",
"flag"], "--rm": ["rm", "flag"], "--rootfs": ["rootfs", "flag"], "--secret": ["secret", "list"], "--security-opt":
["security_opt", "list"], "--stop-signal": ["stop_signal", "text"], "--stop-timeout": ["stop_timeout", "text"],
"--tmpfs": ["tmpfs", "list"], "--tty": ["tty", "flag"], "-t": ["tty", "flag"], "--ulimit": ["ulimit", "list"],
"--user": ["user", "text"], "-u": ["user", "text"], "--userns": ["userns", "text"], "--volume": ["volume", "list"],
"-v": ["volume", "list"], "--volumes-from": ["volumes_from", "list"], "--workdir": ["workdir", "text"], "-w":
["workdir", "text"], "--detach": ["detach", "flag"], "-d": ["detach", "flag"], "--receipt": ["receipt", "optional"],
"--sig-proxy": ["sig_proxy", "flag"]}, "numbers": ["retry", "health_retries", "health_startup_retries",
"health_startup_success", "timeout", "stop_timeout"], "arguments": [["image", false, true], ["command", true,
false]]}
""",
"start": """
{"module": "pyrt.cli.start", "name": "Start", "interspersed": true, "options": {"--all": ["all", "flag"],
"--attach": ["attach", "flag"], "-a": ["attach", "flag"], "--detach-keys": ["detach_keys", "text"], "--filter":
["filter", "list"], "-f": ["filter", "list"], "--interactive": ["interactive", "flag"], "-i": ["interactive",
"flag"], "--sig-proxy": ["sig_proxy", "flag"]}, "numbers": [], "arguments": [["containers", true, false]]}
""",
"stop": """
{"module": "pyrt.cli.stop", "name": "Stop", "interspersed": true, "options": {"--all": ["all", "flag"], "-a":
["all", "flag"], "--ignore": ["ignore", "flag"], "-i": ["ignore", "flag"], "--time": ["time", "text"], "-t":
["time", "text"]}, "numbers": ["time"], "arguments": [["containers", true, false]]}
""",
"wait": """
{"module": "pyrt.cli.wait", "name": "Wait", "interspersed": true, "options": {"--condition": ["condition", "list"],
"--ignore": ["ignore", "flag"], "-i": ["ignore", "flag"]}, "numbers": [], "arguments": [["containers", true,
false]]}
""",
}
# fmt: on
