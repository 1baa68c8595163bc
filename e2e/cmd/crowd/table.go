package main

import (
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"
)

// table shows reports side by side.
func table(files []string) error {
	var sides []report
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "RESOURCES\tRSS MiB\tPEAK\tCORES\tPROMETHEUS'S\tAPI SERVER'S\tTURNS/s\tQUERIES/s\tAPI REQUESTS/s\tEACH\tACTS\tTURN p50 ms\tp99\tTO ACT p50 ms\tp99\tERRORS\t")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var r report
		if err := json.Unmarshal(text, &r); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if r.Sides[others] != nil {
			sides = append(sides, r)
		}
		turn, act := r.Milliseconds["turn"], r.Milliseconds["start of turn to act"]
		fmt.Fprintf(out, "%d\t%.1f\t%.1f\t%.3f\t%.3f\t%.3f\t%.1f\t%.1f\t%.2f\t%.4f\t%.0f\t%.1f\t%.1f\t%.1f\t%.1f\t%.0f\t\n",
			r.Resources, r.MiB, r.PeakMiB, r.Cores["operator"], r.Cores["prometheus"], r.Cores["kube-apiserver"],
			r.Turns, r.Queries, r.Requests, r.RequestsEach, act.Count, turn.P50, turn.P99, act.P50, act.P99, r.Errors)
	}
	if err := out.Flush(); err != nil || len(sides) == 0 {
		return err
	}
	fmt.Fprintln(out, "\nOF A SIDE\tSCALED BY\tTIME OVER TARGET %\tMEAN REPLICAS\tCHANGES\tAPI REQUESTS/s\tEACH\t")
	for _, r := range sides {
		asked := 0
		for _, count := range r.TheirRequests {
			asked += count
		}
		for _, side := range []struct {
			name, by string
			requests float64
		}{{ours, "the operator", r.Requests}, {others, "an HPA each", float64(asked) / r.Seconds}} {
			s := r.Sides[side.name]
			fmt.Fprintf(out, "%d\t%s\t%.2f\t%.3f\t%d\t%.2f\t%.4f\t\n",
				r.Resources, side.by, 100*s.Late, s.Replicas, s.Changes, side.requests, side.requests/float64(r.Resources))
		}
	}
	return out.Flush()
}
