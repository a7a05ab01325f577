//go:build programs

// Package conformance names what is built of runtime-tools, for the module's list of what it needs.
package conformance

import _ "github.com/opencontainers/runtime-tools/cmd/runtimetest"
