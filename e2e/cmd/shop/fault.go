package main

import (
	"strings"
	"time"
)

// effect is what a fault does to each request.
type effect struct {
	delay  time.Duration // after the worker is done, as a slow dependency would
	errors float64       // share of requests that answer 500
	burn   time.Duration // CPU, within the service time
	crash  time.Duration // the process ends after this long
}

// The faults that an image has built in.
var faults = map[string]effect{
	"none":        {},
	"slow":        {delay: 250 * time.Millisecond},
	"errors":      {errors: .3},
	"slow-errors": {delay: 250 * time.Millisecond, errors: .3},
	"burn":        {burn: 8 * time.Millisecond},
	"crash":       {crash: 2 * time.Second},
}

// namedFault is one that the environment names: a release with a fault that
// shows late, or only in one place.
type namedFault struct {
	effect
	after time.Duration // since the start
	in    string        // the Deployment in which it shows; empty = in each
}

// liveFault is one that a mounted ConfigMap sets while the pod runs: the keys
// DEPLOYMENT.delay_ms and DEPLOYMENT.errors, so that two Deployments with equal
// templates can share the ConfigMap.
type liveFault struct{ delayMs, errors *setting }

func newLiveFault(folder, deployment string) liveFault {
	return liveFault{
		delayMs: newSetting(folder, deployment+".delay_ms", 0, 0, 60_000),
		errors:  newSetting(folder, deployment+".errors", 0, 0, 1),
	}
}

// inForce puts the three together: delays add up, the largest share of errors
// counts.
func inForce(built effect, named namedFault, deployment string, live liveFault) func() effect {
	began := time.Now()
	here := named.in == "" || named.in == deployment
	return func() effect {
		now := built
		if here && time.Since(began) >= named.after {
			now.delay += named.delay
			now.errors = max(now.errors, named.errors)
		}
		now.delay += time.Duration(live.delayMs.value() * float64(time.Millisecond))
		now.errors = max(now.errors, live.errors.value())
		return now
	}
}

// deploymentOf a pod's name: without the template's hash and the pod's own part.
func deploymentOf(pod string) string {
	for range 2 {
		if at := strings.LastIndexByte(pod, '-'); at >= 0 {
			pod = pod[:at]
		}
	}
	return pod
}

// mirrored says whether a gateway sent this request as a copy: Envoy appends
// "-shadow" to the host that a copy names.
func mirrored(host string) bool {
	name, _, _ := strings.Cut(host, ":")
	return strings.HasSuffix(name, "-shadow")
}

// knownMethod and knownPath bound the labels: a stranger must not make series.
func knownMethod(method string) string {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE":
		return method
	}
	return "_OTHER"
}

func knownPath(path string) string {
	switch path {
	case "/", "/cart":
		return path
	}
	return "_OTHER"
}
