package main

import (
	"math"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// The service time as a function of batch: convex, least at bestBatch, where
// it is SERVICE_MS. At 16 it is 1.2 times that, at 1 or 63 about 1.75 times.
const (
	bestBatch = 32
	curvature = .8
)

func slowdown(batch float64) float64 {
	d := (batch - bestBatch) / bestBatch
	return 1 + curvature*d*d
}

// setting is one number of a file of key=value lines, read again each second.
// A ConfigMap mounted as a folder changes under it without a restart.
type setting struct{ bits atomic.Uint64 }

func newSetting(file, key string, preset float64) *setting {
	s := &setting{}
	s.bits.Store(math.Float64bits(preset))
	read := func() {
		if v, ok := lookup(file, key); ok {
			s.bits.Store(math.Float64bits(v))
		}
	}
	read()
	go func() {
		for range time.Tick(time.Second) {
			read()
		}
	}()
	return s
}

func (s *setting) value() float64 { return math.Float64frombits(s.bits.Load()) }

// lookup finds a number from 1 to 64: anything else leaves the last good one
// in force.
func lookup(file, key string) (float64, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		k, v, ok := strings.Cut(line, "=")
		if !ok || strings.TrimSpace(k) != key {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		return n, err == nil && n >= 1 && n <= 64
	}
	return 0, false
}
