package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestDeploymentOf(t *testing.T) {
	for pod, want := range map[string]string{
		"web-6c9f7d5b8d-x2x4z":      "web",
		"web-next-6c9f7d5b8d-x2x4z": "web-next",
		"laptop":                    "laptop",
	} {
		if got := deploymentOf(pod); got != want {
			t.Errorf("deploymentOf(%q) = %q, not %q", pod, got, want)
		}
	}
}

func TestMirrored(t *testing.T) {
	for host, want := range map[string]bool{
		"shop.test-shadow": true, "shop.test-shadow:80": true, "shop.test": false, "shop.test:80": false, "": false,
	} {
		if mirrored(host) != want {
			t.Errorf("mirrored(%q) is not %v", host, want)
		}
	}
}

func TestFaultsAddUp(t *testing.T) {
	folder := t.TempDir()
	for key, value := range map[string]string{"web.delay_ms": "30", "web.errors": ".2"} {
		if err := os.WriteFile(filepath.Join(folder, key), []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set, unset := newLiveFault(folder, "web"), newLiveFault(folder, "web-next")
	named := namedFault{effect: effect{delay: 50 * time.Millisecond, errors: .1}, in: "web"}
	late := named
	late.after = time.Hour
	slow := effect{delay: 250 * time.Millisecond}
	for _, c := range []struct {
		what   string
		got    effect
		delay  time.Duration
		errors float64
	}{
		{"none", inForce(effect{}, namedFault{}, "web", unset)(), 0, 0},
		{"named, in its place", inForce(effect{}, named, "web", unset)(), 50 * time.Millisecond, .1},
		{"named, elsewhere", inForce(effect{}, named, "web-next", unset)(), 0, 0},
		{"named, not yet", inForce(effect{}, late, "web", unset)(), 0, 0},
		{"all three", inForce(slow, named, "web", set)(), 330 * time.Millisecond, .2},
	} {
		if c.got.delay != c.delay || c.got.errors != c.errors {
			t.Errorf("%s: %+v", c.what, c.got)
		}
	}
}
