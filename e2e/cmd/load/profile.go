package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// profile is a rate over time: points, linear in between.
type profile []point

type point struct {
	at   time.Duration
	rate float64
}

func parseProfile(text string) (profile, error) {
	var p profile
	for part := range strings.SplitSeq(text, ",") {
		at, rate, ok := strings.Cut(strings.TrimSpace(part), ":")
		if !ok {
			return nil, fmt.Errorf("-profile: %q is not TIME:RATE", part)
		}
		d, err := time.ParseDuration(at)
		if err != nil {
			return nil, fmt.Errorf("-profile: %w", err)
		}
		r, err := strconv.ParseFloat(rate, 64)
		if err != nil {
			return nil, fmt.Errorf("-profile: %w", err)
		}
		switch {
		case d < 0 || d > longest:
			return nil, fmt.Errorf("-profile: %s is not from 0s to %s", d, longest)
		case !(r >= 0 && r <= fastest):
			return nil, fmt.Errorf("-profile: %v is not a rate from 0 to %v", r, fastest)
		case len(p) == 0 && d != 0:
			return nil, errors.New("-profile: the first point is not at 0s")
		case len(p) > 0 && d <= p[len(p)-1].at:
			return nil, fmt.Errorf("-profile: %s does not come after %s", d, p[len(p)-1].at)
		}
		p = append(p, point{d, r})
	}
	if len(p) < 2 {
		return nil, errors.New("-profile: needs two points, the last one being the end")
	}
	return p, nil
}

// parseMethods takes METHOD:PARTS,… and gives the order of one round, each
// method spread over it.
func parseMethods(text string) ([]string, error) {
	type share struct {
		method      string
		parts, sent int
	}
	var all []share
	total := 0
	for part := range strings.SplitSeq(text, ",") {
		method, parts, ok := strings.Cut(strings.TrimSpace(part), ":")
		n, err := strconv.Atoi(parts)
		if !ok || err != nil || n < 1 || n > 100 || !slices.Contains(methods, method) {
			return nil, fmt.Errorf("-methods: %q is not one of %v with 1 to 100 parts", part, methods)
		}
		all = append(all, share{method: method, parts: n})
		total += n
	}
	var order []string
	for i := 1; i <= total; i++ {
		// Whoever is furthest behind its share goes next.
		next := &all[0]
		for j := range all {
			if all[j].parts*i-all[j].sent*total > next.parts*i-next.sent*total {
				next = &all[j]
			}
		}
		next.sent++
		order = append(order, next.method)
	}
	return order, nil
}

var methods = []string{"GET", "HEAD", "POST", "PUT", "DELETE"}

func (p profile) end() time.Duration { return p[len(p)-1].at }

func (p profile) rate(at time.Duration) float64 {
	for i := 1; i < len(p); i++ {
		a, b := p[i-1], p[i]
		if at <= b.at {
			return a.rate + (b.rate-a.rate)*float64(at-a.at)/float64(b.at-a.at)
		}
	}
	return 0
}
