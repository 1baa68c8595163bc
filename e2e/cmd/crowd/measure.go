package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// who the operator and the controller of HorizontalPodAutoscalers are to the API server.
const (
	account = "system:serviceaccount:matverse-system:"
	theirs  = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
)

// report is what one crowd cost.
type report struct {
	Resources     int                 `json:"resources"`
	Seconds       float64             `json:"seconds"`
	MiB           float64             `json:"rssMiB"`
	PeakMiB       float64             `json:"peakRssMiB"`
	Cores         map[string]float64  `json:"cores"`
	Turns         float64             `json:"turnsPerSecond"`
	Queries       float64             `json:"prometheusRequestsPerSecond"`
	Requests      float64             `json:"apiRequestsPerSecond"`
	RequestsEach  float64             `json:"apiRequestsPerResourceAndSecond"`
	RequestsBy    map[string]int      `json:"apiRequests"`
	Acts          map[string]float64  `json:"acts"`
	Sides         map[string]*served  `json:"sides"`
	TheirRequests map[string]int      `json:"apiRequestsOfHPA,omitempty"`
	Errors        float64             `json:"reconcileErrors"`
	Milliseconds  map[string]quantile `json:"milliseconds"`
}

type quantile struct {
	Count float64 `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
}

// snapshot is what is read before and after.
type snapshot struct {
	at         time.Time
	cpu        map[string]float64
	operator   map[string]float64
	prometheus map[string]float64
}

func measure(ctx context.Context, c *clients, o options, crowd *demand) (*report, error) {
	audit, err := os.Open(o.audit)
	if err != nil {
		return nil, err
	}
	defer audit.Close()
	if _, err := audit.Seek(0, io.SeekEnd); err != nil {
		return nil, err
	}
	before, err := look(ctx, c, o)
	if err != nil {
		return nil, err
	}
	window, cancel := context.WithTimeout(ctx, o.window)
	defer cancel()
	sides := crowd.watch(window)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	after, err := look(ctx, c, o)
	if err != nil {
		return nil, err
	}
	by, err := requests(audit)
	if err != nil {
		return nil, err
	}
	found, err := compare(o, before, after, by[account])
	if err != nil {
		return nil, err
	}
	found.Sides, found.TheirRequests = sides, by[theirs]
	return found, nil
}

func compare(o options, before, after *snapshot, by map[string]int) (*report, error) {
	seconds := after.at.Sub(before.at).Seconds()
	gained := func(of func(*snapshot) map[string]float64) map[string]float64 {
		all := maps.Clone(of(after))
		for key, was := range of(before) {
			all[key] -= was
		}
		return all
	}
	operator := gained(func(s *snapshot) map[string]float64 { return s.operator })
	prometheus := gained(func(s *snapshot) map[string]float64 { return s.prometheus })
	cores := gained(func(s *snapshot) map[string]float64 { return s.cpu })
	for key := range cores {
		cores[key] /= seconds
	}
	total := 0
	for _, count := range by {
		total += count
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid("/matverse")))
	if err != nil {
		return nil, err
	}
	found := &report{
		Resources: o.n, Seconds: seconds, MiB: memory(status, "VmRSS:"), PeakMiB: memory(status, "VmHWM:"), Cores: cores,
		Turns:        operator["matverse_turn_duration_seconds_count"] / seconds,
		Queries:      sum(prometheus, "prometheus_http_requests_total{", "/api/v1/query") / seconds,
		Requests:     float64(total) / seconds,
		RequestsEach: float64(total) / seconds / float64(o.n), RequestsBy: by,
		Acts:         map[string]float64{},
		Errors:       sum(operator, "matverse_reconcile_errors_total{", ""),
		Milliseconds: map[string]quantile{},
	}
	for key, count := range operator {
		if labels, ok := strings.CutPrefix(key, "matverse_actions_executed_total"); ok && count > 0 {
			found.Acts[labels] = count
		}
	}
	found.Milliseconds["turn"] = quantiles(operator, "matverse_turn_duration_seconds_bucket{", "")
	found.Milliseconds["start of turn to act"] = quantiles(operator, "matverse_act_delay_seconds_bucket{", "")
	for _, phase := range []string{"observe", "orient", "decide", "ledger", "act", "report"} {
		found.Milliseconds[phase] = quantiles(operator, "matverse_phase_duration_seconds_bucket{", fmt.Sprintf("phase=%q", phase))
	}
	return found, nil
}

func look(ctx context.Context, c *clients, o options) (*snapshot, error) {
	pods, err := c.CoreV1().Pods("matverse-system").List(ctx, meta.ListOptions{
		LabelSelector: "app.kubernetes.io/name=matverse-autonomy", FieldSelector: "status.phase=Running",
	})
	if err != nil {
		return nil, err
	}
	if len(pods.Items) != 1 {
		return nil, fmt.Errorf("one pod of the operator is wanted in matverse-system, there are %d", len(pods.Items))
	}
	s := &snapshot{at: time.Now(), cpu: map[string]float64{}}
	for key, program := range map[string]string{
		"operator": "/matverse", "prometheus": "prometheus", "kube-apiserver": "kube-apiserver", "etcd": "etcd",
		"kube-controller-manager": "kube-controller-manager",
	} {
		if s.cpu[key], err = cpu(pid(program)); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	if s.operator, err = scrape(ctx, "http://"+pods.Items[0].Status.PodIP+":8080/metrics"); err != nil {
		return nil, err
	}
	s.prometheus, err = scrape(ctx, o.prometheus+"/metrics")
	return s, err
}

// pid of the first process whose program is, or ends in, this name; 0 where there is none.
func pid(program string) int {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range all {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		args := strings.Split(string(text), "\x00")
		called := args[0] == program || (!strings.HasPrefix(program, "/") && filepath.Base(args[0]) == program)
		// The operator's other commands are not meant.
		if called && (program != "/matverse" || (len(args) > 1 && args[1] == "run")) {
			found, _ := strconv.Atoi(strings.Split(file, "/")[2])
			return found
		}
	}
	return 0
}

// cpu that a process has used, s.
func cpu(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	user, err := strconv.ParseFloat(fields[11], 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100, err // USER_HZ is 100 on Linux
}

// memory of a line of /proc/PID/status, MiB.
func memory(status []byte, key string) float64 {
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			kib, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024
		}
	}
	return 0
}

// scrape reads a page of metrics: name with labels, and value.
func scrape(ctx context.Context, url string) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, answer.Status)
	}
	values := map[string]float64{}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			if value, err := strconv.ParseFloat(line[at+1:], 64); err == nil {
				values[line[:at]] = value
			}
		}
	}
	return values, lines.Err()
}

func sum(values map[string]float64, prefix, part string) float64 {
	total := 0.0
	for key, value := range values {
		if strings.HasPrefix(key, prefix) && strings.Contains(key, part) {
			total += value
		}
	}
	return total
}

// requests of both accounts since the log was opened, by verb and kind.
func requests(audit io.Reader) (map[string]map[string]int, error) {
	by := map[string]map[string]int{account: {}, theirs: {}}
	lines := bufio.NewScanner(audit)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if !bytes.Contains(lines.Bytes(), []byte(account)) && !bytes.Contains(lines.Bytes(), []byte(theirs)) {
			continue
		}
		var event struct {
			Stage, Verb string
			User        struct{ Username string }
			ObjectRef   struct{ Resource, Subresource, APIGroup string }
		}
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return nil, err
		}
		// A watch is one request, logged when it begins and when it ends.
		if event.Verb == "watch" && event.Stage != "ResponseStarted" {
			continue
		}
		kind := event.ObjectRef.Resource
		if event.ObjectRef.Subresource != "" {
			kind += "/" + event.ObjectRef.Subresource
		}
		if event.ObjectRef.APIGroup == metricsGroup {
			kind += "." + metricsGroup
		}
		for who := range by {
			if strings.HasPrefix(event.User.Username, who) {
				by[who][event.Verb+" "+kind]++
			}
		}
	}
	return by, lines.Err()
}

// quantiles of a histogram, ms: within the bucket by a straight line.
func quantiles(values map[string]float64, prefix, part string) quantile {
	type bucket struct{ le, count float64 }
	var all []bucket
	for key, count := range values {
		if !strings.HasPrefix(key, prefix) || !strings.Contains(key, part) {
			continue
		}
		_, le, _ := strings.Cut(key, `le="`)
		le, _, _ = strings.Cut(le, `"`)
		bound, err := strconv.ParseFloat(le, 64)
		if err != nil {
			continue
		}
		all = append(all, bucket{bound, count})
	}
	if len(all) == 0 {
		return quantile{}
	}
	slices.SortFunc(all, func(a, b bucket) int { return cmp.Compare(a.le, b.le) })
	total := all[len(all)-1].count
	at := func(q float64) float64 {
		low, below := 0.0, 0.0
		for i, b := range all {
			if b.count >= q*total {
				if i == len(all)-1 || b.count == below {
					return 1000 * low // beyond the last bound: at least that
				}
				return 1000 * (low + (b.le-low)*(q*total-below)/(b.count-below))
			}
			low, below = b.le, b.count
		}
		return 1000 * low
	}
	if total == 0 {
		return quantile{}
	}
	return quantile{Count: total, P50: at(0.5), P99: at(0.99)}
}
