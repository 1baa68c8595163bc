package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	carries = 50.0 // requests a second that use up one replica
	calm    = 25.0 // requests a second of a workload
	busy    = 60.0 // and of one in its rush
	idleMS  = 60.0 // p95 of an answer that waits for nothing
)

// rush lasts this long; one in twenty workloads has one at a time.
const (
	rush  = 2 * time.Minute
	share = 20
)

// demand is what each workload is asked for, and who serves it.
type demand struct {
	mu       sync.Mutex
	ready    []map[types.UID]bool
	requests []float64
	at       time.Time
}

func newDemand(n int) *demand {
	d := &demand{ready: make([]map[types.UID]bool, n), requests: make([]float64, n), at: time.Now()}
	for i := range d.ready {
		d.ready[i] = map[types.UID]bool{}
	}
	return d
}

func name(i int) string { return fmt.Sprintf("app%05d", i) }

// note takes in a pod as it stands now, or that it is gone.
func (d *demand) note(pod *core.Pod, gone bool) {
	var i int
	if _, err := fmt.Sscanf(pod.Labels["app"], "app%05d", &i); err != nil || i >= len(d.ready) {
		return // of a larger crowd before
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if gone || pod.DeletionTimestamp != nil || !ready(pod) {
		delete(d.ready[i], pod.UID)
	} else {
		d.ready[i][pod.UID] = true
	}
}

// wait until every workload has a replica.
func (d *demand) wait(ctx context.Context) error {
	for {
		if d.missing() == 0 {
			return nil
		}
		if err := sleep(ctx, time.Second); err != nil {
			return fmt.Errorf("%d workloads never had a replica: %w", d.missing(), err)
		}
	}
}

func (d *demand) missing() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	missing := 0
	for _, pods := range d.ready {
		if len(pods) == 0 {
			missing++
		}
	}
	return missing
}

// chance is a number in 0…1, the same for the same i and step.
func chance(i int, step int64) float64 {
	return rand.New(rand.NewPCG(uint64(i), uint64(step))).Float64()
}

// rate of a workload, requests a second: calm, or a rush, and a little noise.
func rate(i int, now time.Time) float64 {
	// Each workload's rushes start at a time of its own.
	step := (now.UnixMilli() + int64(chance(i, -1)*float64(rush.Milliseconds()))) / rush.Milliseconds()
	level := calm
	if chance(i, step) < 1.0/share {
		level = busy
	}
	return level * (0.98 + 0.04*chance(i, now.Unix()/5))
}

func (d *demand) serve(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(listener, http.HandlerFunc(d.page)) }()
	return nil
}

// page is what Prometheus scrapes: four series a workload.
func (d *demand) page(w http.ResponseWriter, _ *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	passed := now.Sub(d.at).Seconds()
	d.at = now
	out := bufio.NewWriter(w)
	defer out.Flush()
	for i, pods := range d.ready {
		asked := rate(i, now)
		d.requests[i] += asked * passed
		labels := fmt.Sprintf("{namespace=%q,app=%q}", namespace, name(i))
		fmt.Fprintf(out, "crowd_requests_total%s %.0f\ncrowd_errors_total%s 0\n", labels, d.requests[i], labels)
		if len(pods) > 0 {
			used := min(1, asked/(carries*float64(len(pods))))
			fmt.Fprintf(out, "crowd_cpu%s %.4f\ncrowd_latency_ms%s %.2f\n", labels, used, labels, idleMS/(1-min(0.95, used)))
		}
	}
}
