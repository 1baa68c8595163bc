// Command crowd is many small workloads at once, to measure the operator at scale: Deployments with a MatVerseScaling
// each, a node whose pods exist in the API alone, and a page of metrics that answers their replicas.
//
//	crowd -n 1000 -warm 60s -for 120s -o 1000.json
//
// API server, scheduler, controllers and Prometheus are the cluster's own. It ends with a report of the time after the
// warm-up; objects stay, so that a larger crowd starts from a smaller one.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// namespace of everything that is made here; node is the name of the hollow one.
const (
	namespace = "crowd"
	node      = "crowd"
)

// longest run: a crowd left behind ends by itself.
const longest = 30 * time.Minute

type options struct {
	n            int
	hpa          bool
	metrics      string
	warm, window time.Duration
	listen       string
	prometheus   string
	audit        string
	out          string
}

type clients struct {
	*kubernetes.Clientset
	dynamic dynamic.Interface
}

func main() {
	kubeconfig := flag.String("kubeconfig", os.Getenv("KUBECONFIG"), "cluster and identity")
	var o options
	flag.IntVar(&o.n, "n", 10, "workloads")
	flag.BoolVar(&o.hpa, "hpa", false, "as many again beside them, asked for the same, with a HorizontalPodAutoscaler each")
	flag.StringVar(&o.metrics, "metrics", os.Getenv("NODE_IP")+":9106", "where the metrics API of those is")
	flag.DurationVar(&o.warm, "warm", time.Minute, "time between the last object and the measurement")
	flag.DurationVar(&o.window, "for", 2*time.Minute, "length of the measurement")
	flag.StringVar(&o.listen, "listen", "127.0.0.1:9105", "where the page of metrics is")
	flag.StringVar(&o.prometheus, "prometheus", os.Getenv("PROMETHEUS_URL"), "whose requests are counted")
	flag.StringVar(&o.audit, "audit", "", "the API server's audit log")
	flag.StringVar(&o.out, "o", "", "where the report goes, as JSON")
	show := flag.Bool("table", false, "show the reports that are named, and nothing else")
	flag.Parse()
	if *show {
		if err := table(flag.Args()); err != nil {
			log.Fatal("crowd: ", err)
		}
		return
	}
	if o.n < 1 || o.n > 20_000 || o.audit == "" || o.prometheus == "" || o.out == "" {
		log.Fatal("crowd: -n 1…20000, -audit, -prometheus and -o are needed")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	if err := run(ctx, *kubeconfig, o); err != nil {
		log.Fatal("crowd: ", err)
	}
}

func run(ctx context.Context, kubeconfig string, o options) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	c, err := connect(config)
	if err != nil {
		return err
	}
	if err := keepNode(ctx, c); err != nil {
		return err
	}
	if err := createNamespace(ctx, c); err != nil {
		return err
	}
	crowd := newDemand(o.n, ours)
	if o.hpa {
		crowd = newDemand(o.n, ours, others)
		withdraw, err := serveMetrics(ctx, c, crowd, o.metrics)
		if err != nil {
			return err
		}
		defer withdraw()
	}
	if err := watchPods(ctx, c, crowd); err != nil {
		return err
	}
	if err := crowd.serve(o.listen); err != nil {
		return err
	}
	began := time.Now()
	if err := create(ctx, c, crowd.all); err != nil {
		return err
	}
	if err := crowd.wait(ctx); err != nil {
		return err
	}
	log.Printf("%d workloads are ready after %.0f s", o.n, time.Since(began).Seconds())
	if err := sleep(ctx, o.warm); err != nil {
		return err
	}
	found, err := measure(ctx, c, o, crowd)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(found, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.out, append(text, '\n'), 0o644)
}

func connect(config *rest.Config) (*clients, error) {
	config.QPS = -1 // the cluster is asked as fast as it answers, by a bounded number of workers
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	untyped, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &clients{typed, untyped}, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
