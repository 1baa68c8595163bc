package main

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// The service time as a function of batch: convex, least at bestBatch, where
// it is SERVICE_MS. With CURVATURE .8 it is 1.2 times that at 16, and about
// 1.75 times at 1 or 63.
const bestBatch = 32

func slowdown(batch, curvature float64) float64 {
	d := (batch - bestBatch) / bestBatch
	return 1 + curvature*d*d
}

// setting is one number in a file of its own, read again each second. A
// ConfigMap mounted as a folder has one for each key, and changes under it
// without a restart.
type setting struct{ bits atomic.Uint64 }

func newSetting(folder, key string, preset, min, max float64) *setting {
	s := &setting{}
	s.bits.Store(math.Float64bits(preset))
	read := func() {
		if v, ok := readNumber(filepath.Join(folder, key)); ok && v >= min && v <= max {
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

// readNumber takes what a file holds; whatever is no number within the bounds
// leaves the last good one in force.
func readNumber(file string) (float64, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	return n, err == nil
}
