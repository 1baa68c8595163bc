package main

import (
	"slices"
	"testing"
)

func TestParseMethods(t *testing.T) {
	got, err := parseMethods("GET:3,POST:1")
	if err != nil || !slices.Equal(got, []string{"GET", "GET", "POST", "GET"}) {
		t.Errorf("%v %v", got, err)
	}
	for _, bad := range []string{"", "GET", "GET:0", "GET:101", "GET:x", "BREW:1", "GET:1,"} {
		if _, err := parseMethods(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
