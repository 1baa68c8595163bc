// Command load sends HTTP requests at a planned rate, whatever the answers
// (an open loop: a slow service does not slow its own load down), and prints
// one JSON line a second and one at the end.
//
//	load -url http://127.0.0.1:30080/ -profile 0s:20,60s:120,120s:120
//
// Through a gateway, -host names the route and -methods mixes what is sent:
//
//	load -url http://127.0.0.1:18090/ -host shop.test -methods GET:3,POST:1 -profile 0s:50,20s:50
//
// It sends to loopback alone, each request on a connection of its own so that
// kube-proxy spreads them, and is bounded in time and rate. Answers that name
// their pod (X-Served-By) are counted by its Deployment.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	longest  = 20 * time.Minute
	fastest  = 400.0 // requests a second
	inFlight = 2000
)

func main() {
	target := flag.String("url", "http://127.0.0.1:30080/", "where to send, on loopback")
	profile := flag.String("profile", "0s:20,60s:20", "rate by time as TIME:RATE,…; linear in between; ends at the last")
	arrivals := flag.String("arrivals", "poisson", "poisson or even")
	seed := flag.Uint64("seed", 1, "of the arrival times")
	timeout := flag.Duration("timeout", 5*time.Second, "of one request")
	slo := flag.Duration("slo", 250*time.Millisecond, "a second whose p95 is above this counts as over")
	host := flag.String("host", "", "the Host header, if not the target's own")
	methods := flag.String("methods", "GET:1", "what to send as METHOD:PARTS,…; in turn, so the shares are exact")
	flag.Parse()
	if err := run(*target, *host, *methods, *profile, *arrivals, *seed, *timeout, *slo); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(64)
	}
}

func run(target, host, mix, text, arrivals string, seed uint64, timeout, slo time.Duration) error {
	if err := loopback(target); err != nil {
		return err
	}
	turns, err := parseMethods(mix)
	if err != nil {
		return err
	}
	plan, err := parseProfile(text)
	if err != nil {
		return err
	}
	gap := rand.New(rand.NewPCG(seed, seed)).ExpFloat64
	switch arrivals {
	case "poisson":
	case "even":
		gap = func() float64 { return 1 }
	default:
		return fmt.Errorf("-arrivals %q is neither poisson nor even", arrivals)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	client := &http.Client{
		Timeout:       timeout,
		Transport:     &http.Transport{Proxy: nil, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	began := time.Now()
	tally := newTally(plan, began, slo)
	reported := make(chan summary)
	finish := make(chan struct{})
	go func() { reported <- tally.report(finish) }()

	var all sync.WaitGroup
	var busy atomic.Int64
	next := 0
	for at := range arrivalTimes(plan, gap) {
		if !sleepUntil(ctx, began.Add(at)) {
			break
		}
		method := turns[next%len(turns)]
		next++
		tally.sent()
		if busy.Add(1) > inFlight {
			busy.Add(-1)
			tally.done(method, answer{err: errors.New("too many requests in flight")})
			continue
		}
		all.Go(func() {
			defer busy.Add(-1)
			tally.done(method, send(client, method, target, host))
		})
	}
	sleepUntil(ctx, began.Add(plan.end()))
	all.Wait()
	close(finish)
	return json.NewEncoder(os.Stdout).Encode(<-reported)
}

// arrivalTimes yields when to send: each arrival is where the integral of the
// rate has grown by one gap.
func arrivalTimes(plan profile, gap func() float64) iter.Seq[time.Duration] {
	const step = time.Millisecond
	return func(yield func(time.Duration) bool) {
		due := gap()
		for at := time.Duration(0); at < plan.end(); at += step {
			due -= plan.rate(at) * step.Seconds()
			for ; due <= 0; due += gap() {
				if !yield(at) {
					return
				}
			}
		}
	}
}

func sleepUntil(ctx context.Context, t time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Until(t)):
		return ctx.Err() == nil
	}
}

// answer is how one request ended.
type answer struct {
	took   time.Duration
	status int
	by     string // the pod that says it answered
	err    error
}

func send(client *http.Client, method, target, host string) answer {
	began := time.Now()
	request, err := http.NewRequest(method, target, nil)
	if err != nil {
		return answer{err: err}
	}
	if host != "" {
		request.Host = host
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{took: time.Since(began), err: err}
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	return answer{time.Since(began), response.StatusCode, response.Header.Get("X-Served-By"), err}
}

// loopback refuses every target but an address of this machine's loopback.
func loopback(target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme != "http" || ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("%q is not http on a loopback address; load goes nowhere else", target)
	}
	return nil
}
