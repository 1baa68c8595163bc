// Command shop is the service that the operator is tried on: real queueing,
// real CPU, a slow start, and metrics as OpenTelemetry's HTTP server
// instrumentation gives them.
//
// A request waits for one of WORKERS workers, which holds it for a log-normal
// service time; so latency rises with load as it does in a real service, and
// more pods or a shorter service time are what helps. The sizes come from the
// environment (see configFromEnv); live settings come from a mounted folder
// (see settings.go); faults are built in (see faults), named by the environment
// or set live (see fault.go).
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
	named     namedFault
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
		named: namedFault{
			effect: effect{
				delay:  ms(number("FAULT_DELAY_MS", 0, 0, 60_000)),
				errors: number("FAULT_ERRORS", 0, 0, 1),
			},
			after: ms(1000 * number("FAULT_AFTER_SECONDS", 0, 0, 86_400)),
			in:    os.Getenv("FAULT_IN"),
		},
	}
	return c, all
}

type shop struct {
	config
	pod      string
	fault    func() effect // as it is in force
	slots    chan struct{} // one token for each busy worker
	waiting  atomic.Int64
	ready    atomic.Bool
	batch    *setting
	duration *prometheus.HistogramVec
	mirrored *prometheus.CounterVec
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

	pod, err := os.Hostname()
	if err != nil {
		log.Fatal(err)
	}
	deployment := deploymentOf(pod)
	live := newLiveFault(c.settings, deployment)
	registry := prometheus.NewRegistry()
	s := &shop{
		config: c, pod: pod,
		fault: inForce(e, c.named, deployment, live),
		slots: make(chan struct{}, c.workers),
		batch: newSetting(c.settings, "batch", bestBatch, 1, 64),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_server_request_duration_seconds",
			Help: "Duration of HTTP server requests.",
			Buckets: []float64{
				.005, .01, .02, .03, .04, .05, .06, .075, .09, .1, .125, .15, .175, .2, .225, .25,
				.3, .35, .4, .45, .5, .6, .7, .8, .9, 1, 1.5, 2, 2.5, 5, 7.5, 10,
			},
		}, []string{"http_request_method", "http_response_status_code", "http_route"}),
		mirrored: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "shop_mirrored_requests_total",
			Help: "Requests that were a gateway's copy; nobody reads their answers.",
		}, []string{"http_request_method"}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "shop_build_info", Help: "1, with the version of this build.",
	}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	registry.MustRegister(s.duration, s.mirrored, build,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "shop_queue_length", Help: "Requests that wait for a worker.",
		}, func() float64 { return float64(s.waiting.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "shop_setting_batch", Help: "The setting batch as it is in force.",
		}, s.batch.value),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "shop_fault_delay_seconds", Help: "Time that each answer is held back.",
		}, func() float64 { return s.fault().delay.Seconds() }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "shop_fault_errors", Help: "Share of requests that answer 500 on purpose.",
		}, func() float64 { return s.fault().errors }),
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

// serve answers one request and records how long it took. The answer names the
// pod: whoever sent the request can count who answered.
func (s *shop) serve(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	method := knownMethod(r.Method)
	if mirrored(r.Host) {
		s.mirrored.WithLabelValues(method).Inc()
	}
	status := s.work(r.Context())
	s.duration.WithLabelValues(method, strconv.Itoa(status), knownPath(r.URL.Path)).Observe(time.Since(began).Seconds())
	w.Header().Set("X-Served-By", s.pod)
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
	fault := s.fault()
	began := time.Now()
	burnCPU(s.cpu + fault.burn)
	mean := s.service.Seconds() * slowdown(s.batch.value(), s.curvature)
	time.Sleep(lognormal(mean, s.sigma) - time.Since(began))
	<-s.slots

	time.Sleep(fault.delay)
	if rand.Float64() < fault.errors {
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
