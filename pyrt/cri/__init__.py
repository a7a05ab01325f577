"""The Container Runtime Interface, v1: a kubelet, crictl and critest as callers of the engine."""
