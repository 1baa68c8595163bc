// Command podsd tells Prometheus which pods to scrape, through a file: for a
// Prometheus that is built without Kubernetes discovery. One target for each
// running pod with the annotation prometheus.io/scrape: "true".
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"log"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	kubeconfig := flag.String("kubeconfig", os.Getenv("KUBECONFIG"), "cluster and identity")
	out := flag.String("o", "", "file to write")
	flag.Parse()
	if *out == "" {
		log.Fatal("-o is needed")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, *kubeconfig, *out); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, kubeconfig, out string) error {
	rest, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods()
	changed := make(chan struct{}, 1)
	poke := func() {
		select {
		case changed <- struct{}{}:
		default: // a write is due already
		}
	}
	if _, err := pods.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { poke() },
		UpdateFunc: func(_, _ any) { poke() },
		DeleteFunc: func(any) { poke() },
	}); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), pods.Informer().HasSynced) {
		return nil
	}

	var last []byte
	for {
		all, err := pods.Lister().List(labels.Everything())
		if err != nil {
			return err
		}
		next, err := json.MarshalIndent(groups(all), "", " ")
		if err != nil {
			return err
		}
		if !bytes.Equal(next, last) {
			if err := replace(out, next); err != nil {
				return err
			}
			last = next
		}
		// Many changes at once become one write.
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// group is one entry of Prometheus's file_sd format.
type group struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

func groups(pods []*core.Pod) []group {
	found := []group{}
	for _, p := range pods {
		if g, ok := target(p); ok {
			found = append(found, g)
		}
	}
	slices.SortFunc(found, func(a, b group) int {
		return cmp.Or(
			cmp.Compare(a.Labels["namespace"], b.Labels["namespace"]),
			cmp.Compare(a.Labels["pod"], b.Labels["pod"]))
	})
	return found
}

func target(p *core.Pod) (group, bool) {
	if p.Annotations["prometheus.io/scrape"] != "true" ||
		p.Status.Phase != core.PodRunning || p.Status.PodIP == "" || len(p.Spec.Containers) == 0 {
		return group{}, false
	}
	container := p.Spec.Containers[0]
	port := p.Annotations["prometheus.io/port"]
	for _, c := range p.Spec.Containers {
		for _, declared := range c.Ports {
			number := strconv.Itoa(int(declared.ContainerPort))
			if port == "" {
				port = number
			}
			if port == number {
				container = c
			}
		}
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return group{}, false
	}
	g := group{
		Targets: []string{net.JoinHostPort(p.Status.PodIP, port)},
		Labels: map[string]string{
			"namespace":         p.Namespace,
			"pod":               p.Name,
			"pod_template_hash": p.Labels["pod-template-hash"],
			"container":         container.Name,
			"node":              p.Spec.NodeName,
		},
	}
	if path := p.Annotations["prometheus.io/path"]; path != "" {
		g.Labels["__metrics_path__"] = path
	}
	return g, true
}

// replace writes a file so that a reader sees the old or the new text, never
// half of one.
func replace(name string, text []byte) error {
	part := name + ".part"
	if err := os.WriteFile(part, text, 0o644); err != nil {
		return err
	}
	return os.Rename(part, name)
}
