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
	target  = 250  // that it may take
)

// rush lasts this long; one in twenty workloads has one at a time.
const (
	rush  = 2 * time.Minute
	share = 20
)

// ours are the workloads that the operator scales, others those of a HorizontalPodAutoscaler each: the first of both are
// asked for the same, and so on.
const (
	ours   = "app"
	others = "hpa"
)

// workload is one of them, and its ready pods by name.
type workload struct {
	i        int // among those of its side
	side     string
	name     string
	ready    map[types.UID]string
	requests float64
	usage    float64 // of each replica when it was last looked at, for the metrics API
}

// demand is what each workload is asked for, and who serves it.
type demand struct {
	mu     sync.Mutex
	all    []*workload
	byName map[string]*workload
	n      int // of a side
	at     time.Time

	metered time.Time // when usage was last looked at
}

func newDemand(n int, sides ...string) *demand {
	d := &demand{byName: map[string]*workload{}, n: n, at: time.Now()}
	for _, side := range sides {
		for i := range n {
			w := &workload{i: i, side: side, name: fmt.Sprintf("%s%05d", side, i), ready: map[types.UID]string{}}
			d.all, d.byName[w.name] = append(d.all, w), w
		}
	}
	return d
}

// note takes in a pod as it stands now, or that it is gone.
func (d *demand) note(pod *core.Pod, gone bool) {
	w := d.byName[pod.Labels["app"]]
	if w == nil {
		return // of a larger crowd before
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if gone || pod.DeletionTimestamp != nil || !ready(pod) {
		delete(w.ready, pod.UID)
	} else {
		w.ready[pod.UID] = pod.Name
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
	for _, w := range d.all {
		if len(w.ready) == 0 {
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
	for _, w := range d.all {
		asked := rate(w.i, now)
		w.requests += asked * passed
		labels := fmt.Sprintf("{namespace=%q,app=%q}", namespace, w.name)
		fmt.Fprintf(out, "crowd_requests_total%s %.0f\ncrowd_errors_total%s 0\n", labels, w.requests, labels)
		if len(w.ready) > 0 {
			used := w.used(asked)
			fmt.Fprintf(out, "crowd_cpu%s %.4f\ncrowd_latency_ms%s %.2f\n", labels, used, labels, latency(used))
		}
	}
}

// used share of each replica's request, and what an answer takes then, ms.
func (w *workload) used(asked float64) float64 { return min(1, asked/(carries*float64(len(w.ready)))) }
func latency(used float64) float64             { return idleMS / (1 - min(0.95, used)) }

// served is how a side did over a while.
type served struct {
	Late     float64 `json:"timeOverTarget"` // share of the time of all workloads
	Replicas float64 `json:"meanReplicas"`
	Changes  int     `json:"replicaChanges"`
}

// watch looks each second at who is late, until ctx ends.
func (d *demand) watch(ctx context.Context) map[string]*served {
	sides, looks := map[string]*served{}, 0.0
	last := map[*workload]int{}
	for sleep(ctx, time.Second) == nil {
		looks++
		d.mu.Lock()
		now := time.Now()
		for _, w := range d.all {
			side := sides[w.side]
			if side == nil {
				side = &served{}
				sides[w.side] = side
			}
			have := len(w.ready)
			if have == 0 || latency(w.used(rate(w.i, now))) > target {
				side.Late++
			}
			side.Replicas += float64(have)
			if was, known := last[w]; known && was != have {
				side.Changes++
			}
			last[w] = have
		}
		d.mu.Unlock()
	}
	for _, side := range sides {
		side.Late /= looks * float64(d.n)
		side.Replicas /= looks * float64(d.n)
	}
	return sides
}
