// Command shop is the service that the operator is tried on: real queueing,
// real CPU, a slow start, and metrics as OpenTelemetry's HTTP server
// instrumentation gives them.
//
// A request waits for one of WORKERS workers, which holds it for a log-normal
// service time; so latency rises with load as it does in a real service, and
// more pods or a shorter service time are what helps. The sizes come from the
// environment (see configFromEnv); a live setting comes from a mounted folder
// (see settings.go); faults are built in (see faults).
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Set by the linker, so that each image is another program.
var (
	version = "dev"
	fault   = "none"
)

// effect is what a fault does to each request.
type effect struct {
	delay  time.Duration // after the worker is done, as a slow dependency would
	errors float64       // share of requests that answer 500
	burn   time.Duration // CPU, within the service time
	crash  time.Duration // the process ends after this long
}

var faults = map[string]effect{
	"none":        {},
	"slow":        {delay: 250 * time.Millisecond},
	"errors":      {errors: .3},
	"slow-errors": {delay: 250 * time.Millisecond, errors: .3},
	"burn":        {burn: 8 * time.Millisecond},
	"crash":       {crash: 2 * time.Second},
}

type config struct {
	listen    string
	workers   int
	queue     int           // requests that may wait; one more gets 503
	queueWait time.Duration // a request that waited this long gets 503
	service   time.Duration // mean service time at the best setting of batch
	sigma     float64       // of the service time's logarithm
	cpu       time.Duration // CPU a request burns
	startup   time.Duration // until ready
	drain     time.Duration // from SIGTERM until new requests are refused
	curvature float64       // how much a wrong batch costs
	settings  string        // the folder of live settings
}

func configFromEnv() (config, error) {
	var all error
	number := func(name string, preset, min, max float64) float64 {
		text := os.Getenv(name)
		if text == "" {
			return preset
		}
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || !(v >= min && v <= max) {
			all = errors.Join(all, fmt.Errorf("%s=%q is not a number from %v to %v", name, text, min, max))
		}
		return v
	}
	text := func(name, preset string) string {
		if v := os.Getenv(name); v != "" {
			return v
		}
		return preset
	}
	ms := func(v float64) time.Duration { return time.Duration(v * float64(time.Millisecond)) }
	c := config{
		listen:    text("LISTEN", ":8080"),
		workers:   int(number("WORKERS", 2, 1, 1000)),
		queue:     int(number("QUEUE", 64, 0, 100_000)),
		queueWait: ms(number("QUEUE_WAIT_MS", 2000, 0, 60_000)),
		service:   ms(number("SERVICE_MS", 40, 0, 10_000)),
		sigma:     number("SERVICE_SIGMA", .35, 0, 2),
		cpu:       ms(number("CPU_MS", 2, 0, 1000)),
		startup:   ms(1000 * number("STARTUP_SECONDS", 6, 0, 600)),
		drain:     ms(1000 * number("DRAIN_SECONDS", 3, 0, 600)),
		curvature: number("CURVATURE", .8, 0, 1000),
		settings:  text("SETTINGS", "/etc/shop"),
	}
	return c, all
}

type shop struct {
	config
	effect
	slots    chan struct{} // one token for each busy worker
	waiting  atomic.Int64
	ready    atomic.Bool
	batch    *setting
	duration *prometheus.HistogramVec
}

func main() {
	c, err := configFromEnv()
	if err != nil {
		log.Fatal(err)
	}
	e, known := faults[fault]
	if !known {
		log.Fatalf("built with an unknown fault %q", fault)
	}
	log.Printf("shop %s fault=%s %+v", version, fault, c)
	if e.crash > 0 {
		time.AfterFunc(e.crash, func() { log.Fatal("the fault of this build: crash") })
	}

	registry := prometheus.NewRegistry()
	s := &shop{
		config: c, effect: e,
		slots: make(chan struct{}, c.workers),
		batch: newSetting(c.settings, "batch", bestBatch),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_server_request_duration_seconds",
			Help: "Duration of HTTP server requests.",
			Buckets: []float64{
				.005, .01, .02, .03, .04, .05, .06, .075, .09, .1, .125, .15, .175, .2, .225, .25,
				.3, .35, .4, .45, .5, .6, .7, .8, .9, 1, 1.5, 2, 2.5, 5, 7.5, 10,
			},
		}, []string{"http_request_method", "http_response_status_code", "http_route"}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "shop_build_info", Help: "1, with the version of this build.",
	}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	registry.MustRegister(s.duration, build,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "shop_queue_length", Help: "Requests that wait for a worker.",
		}, func() float64 { return float64(s.waiting.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "shop_setting_batch", Help: "The setting batch as it is in force.",
		}, s.batch.value),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// A pod without traffic shows a rate of 0, not no rate at all.
	s.duration.WithLabelValues("GET", "200", "/")

	mux := http.NewServeMux()
	mux.HandleFunc("/", s.serve)
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !s.ready.Load() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/livez", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))

	server := &http.Server{Addr: c.listen, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		<-stop
		// Traffic still comes until every node has dropped this pod.
		s.ready.Store(false)
		time.Sleep(c.drain)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			log.Print("shutdown: ", err)
		}
	}()
	time.AfterFunc(c.startup, func() { s.ready.Store(true) })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-drained
}

// serve answers one request and records how long it took.
func (s *shop) serve(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	status := s.work(r.Context())
	s.duration.WithLabelValues(r.Method, strconv.Itoa(status), "/").Observe(time.Since(began).Seconds())
	w.WriteHeader(status)
	fmt.Fprintf(w, "shop %s: %d\n", version, status)
}

// work queues for a worker, holds it for the service time, and says how the
// request ended.
func (s *shop) work(ctx context.Context) int {
	select {
	case s.slots <- struct{}{}:
	default:
		if !s.wait(ctx) {
			return http.StatusServiceUnavailable
		}
	}
	began := time.Now()
	burnCPU(s.cpu + s.burn)
	mean := s.service.Seconds() * slowdown(s.batch.value(), s.curvature)
	time.Sleep(lognormal(mean, s.sigma) - time.Since(began))
	<-s.slots

	time.Sleep(s.delay)
	if rand.Float64() < s.errors {
		return http.StatusInternalServerError
	}
	return http.StatusOK
}

// wait takes a place in the queue and then a worker; false when the queue is
// full or the wait too long.
func (s *shop) wait(ctx context.Context) bool {
	defer s.waiting.Add(-1)
	if s.waiting.Add(1) > int64(s.queue) {
		return false
	}
	timeout := time.NewTimer(s.queueWait)
	defer timeout.Stop()
	select {
	case s.slots <- struct{}{}:
		return true
	case <-timeout.C:
	case <-ctx.Done():
	}
	return false
}

// lognormal draws a duration with this mean in seconds.
func lognormal(mean, sigma float64) time.Duration {
	draw := mean * math.Exp(sigma*rand.NormFloat64()-sigma*sigma/2)
	return time.Duration(draw * float64(time.Second))
}
