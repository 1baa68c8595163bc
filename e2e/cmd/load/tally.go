package main

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// tally counts what was sent and how it ended. A request belongs to the
// second in which it ended.
type tally struct {
	plan  profile
	began time.Time
	slo   time.Duration

	lock   sync.Mutex
	second counts
	whole  counts
	served map[string]map[string]int // by Deployment and method
}

type counts struct {
	sent   int
	status map[int]int // 0 = no answer
	took   []float64   // ms, of requests that were answered
}

func newTally(plan profile, began time.Time, slo time.Duration) *tally {
	return &tally{
		plan: plan, began: began, slo: slo,
		second: counts{status: map[int]int{}}, whole: counts{status: map[int]int{}},
		served: map[string]map[string]int{},
	}
}

func (t *tally) sent() {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.second.sent++
}

func (t *tally) done(method string, a answer) {
	t.lock.Lock()
	defer t.lock.Unlock()
	if a.err != nil {
		a.status = 0
	}
	t.second.status[a.status]++
	if a.status == 0 {
		return
	}
	t.second.took = append(t.second.took, float64(a.took.Microseconds())/1000)
	if a.by == "" {
		return
	}
	side := deploymentOf(a.by)
	if t.served[side] == nil {
		t.served[side] = map[string]int{}
	}
	t.served[side][method]++
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

type line struct {
	T      float64 `json:"t"` // seconds since the start
	Target float64 `json:"target"`
	Sent   int     `json:"sent"`
	OK     int     `json:"ok"`
	Errors int     `json:"errors"`
	P50    float64 `json:"p50"` // ms
	P95    float64 `json:"p95"` // ms
}

type summary struct {
	Summary     bool        `json:"summary"`
	Seconds     float64     `json:"seconds"`
	Sent        int         `json:"sent"`
	OK          int         `json:"ok"`
	Errors      int         `json:"errors"`
	Status      map[int]int `json:"status"`
	P50         float64     `json:"p50"`
	P95         float64     `json:"p95"`
	P99         float64     `json:"p99"`
	SLO         float64     `json:"sloMs"`
	SecondsOver int         `json:"secondsOver"` // with p95 above the SLO or errors above 1 %

	Served map[string]map[string]int `json:"served,omitempty"` // answers by Deployment and method, where they say
}

// report prints a line each second until finish closes, then sums up.
func (t *tally) report(finish <-chan struct{}) summary {
	out := json.NewEncoder(os.Stdout)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	over := 0
	for running := true; running; {
		select {
		case <-tick.C:
		case <-finish:
			running = false
		}
		l := t.turn()
		if l.Sent == 0 && l.OK+l.Errors == 0 && !running {
			break
		}
		if l.P95 > ms(t.slo) || float64(l.Errors) > .01*float64(l.OK+l.Errors) {
			over++
		}
		_ = out.Encode(l) // a reader that went away is no reason to stop the load
	}
	w := t.whole
	slices.Sort(w.took)
	ok, failed := w.split()
	return summary{
		Summary: true, Seconds: round(time.Since(t.began).Seconds()), Sent: w.sent, OK: ok, Errors: failed,
		Status: w.status, P50: quantile(w.took, .5), P95: quantile(w.took, .95), P99: quantile(w.took, .99),
		SLO: ms(t.slo), SecondsOver: over, Served: t.served,
	}
}

// turn closes the current second.
func (t *tally) turn() line {
	t.lock.Lock()
	c := t.second
	t.second = counts{status: map[int]int{}}
	t.lock.Unlock()

	t.whole.sent += c.sent
	t.whole.took = append(t.whole.took, c.took...)
	for status, n := range c.status {
		t.whole.status[status] += n
	}
	slices.Sort(c.took)
	ok, failed := c.split()
	at := time.Since(t.began)
	return line{
		T: round(at.Seconds()), Target: round(t.plan.rate(at)), Sent: c.sent, OK: ok, Errors: failed,
		P50: quantile(c.took, .5), P95: quantile(c.took, .95),
	}
}

func (c counts) split() (ok, failed int) {
	for status, n := range c.status {
		if status >= 200 && status < 400 {
			ok += n
		} else {
			failed += n
		}
	}
	return ok, failed
}

// quantile of sorted numbers; 0 when there are none.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return round(sorted[int(q*float64(len(sorted)-1))])
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
func round(v float64) float64    { return math.Round(v*10) / 10 }
