package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// request of cpu that each pod makes, thousandths of a core.
const request = 100.0

func millicores(m float64) string { return fmt.Sprintf("%.0fm", m) }

// metricsGroup is where an HPA finds what pods use.
const metricsGroup = "metrics.k8s.io"

// metricsService leads there.
const metricsService = "metrics"

var (
	autoscalers = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}
	apiServices = schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}
	services    = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	endpoints   = schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
)

// autoscaler with the defaults of Kubernetes and a utilisation that keeps the same target.
func autoscaler(name string) object {
	return object{
		"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": object{"name": name, "namespace": namespace},
		"spec": object{
			"scaleTargetRef": object{"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
			"minReplicas":    int64(1), "maxReplicas": int64(4),
			"metrics": []any{object{
				"type":     "Resource",
				"resource": object{"name": "cpu", "target": object{"type": "Utilization", "averageUtilization": int64(70)}},
			}},
		},
	}
}

// serveMetrics answers the resource metrics API for the crowd's pods, registered with the API server until the function
// that it gives is called.
func serveMetrics(ctx context.Context, c *clients, d *demand, address string) (func(), error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	go func() {
		for sleep(ctx, resolution) == nil {
			d.meter()
		}
	}()
	server := httptest.NewUnstartedServer(http.HandlerFunc(d.usage))
	server.Listener = listener
	server.StartTLS()
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return nil, err
	}
	const version = "v1beta1"
	own := func() object { return object{"name": metricsService, "namespace": namespace} }
	if err := ensure(ctx, c.dynamic.Resource(services), object{
		"apiVersion": "v1", "kind": "Service", "metadata": own(),
		"spec": object{"ports": []any{object{"port": int64(443), "targetPort": port}}},
	}); err != nil {
		return nil, err
	}
	labelled := own()
	labelled["labels"] = object{"kubernetes.io/service-name": metricsService}
	if err := ensure(ctx, c.dynamic.Resource(endpoints), object{
		"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": labelled, "addressType": "IPv4",
		"ports":     []any{object{"port": port, "protocol": "TCP"}},
		"endpoints": []any{object{"addresses": []any{host}, "conditions": object{"ready": true}}},
	}); err != nil {
		return nil, err
	}
	if err := answers(ctx, c); err != nil {
		server.Close()
		return nil, err
	}
	registered := c.dynamic.Resource(apiServices)
	withdraw := func() {
		// Also where ctx has ended: a group that nobody serves would hold up the deletion of every namespace.
		_ = registered.Delete(context.Background(), version+"."+metricsGroup, meta.DeleteOptions{})
		server.Close()
	}
	_, err = registered.Create(ctx, unstructuredOf(object{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": object{"name": version + "." + metricsGroup},
		"spec": object{
			"group": metricsGroup, "version": version, "groupPriorityMinimum": int64(100), "versionPriority": int64(100),
			"insecureSkipTLSVerify": true, "service": object{"namespace": namespace, "name": metricsService, "port": int64(443)},
		},
	}), meta.CreateOptions{})
	if err != nil && !errors.IsAlreadyExists(err) {
		return nil, err
	}
	return withdraw, nil
}

// answers waits until the service leads to this program. Before it does, its address may lead to somebody else, and the API
// server would keep that connection for as long as it is answered there.
func answers(ctx context.Context, c *clients) error {
	service, err := c.dynamic.Resource(services).Namespace(namespace).Get(ctx, metricsService, meta.GetOptions{})
	if err != nil {
		return err
	}
	ip, _, err := unstructured.NestedString(service.Object, "spec", "clusterIP")
	if err != nil {
		return err
	}
	once := &http.Client{Timeout: time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	for range 60 {
		response, err := once.Get("https://" + net.JoinHostPort(ip, "443") + "/")
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK && response.Header.Get("Content-Type") == "application/json" {
				return nil
			}
		}
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	return fmt.Errorf("service %s of namespace %s leads nowhere", metricsService, namespace)
}

// resolution with which usage is looked at, as metrics-server does unless told otherwise.
const resolution = 15 * time.Second

// meter looks at what every workload's pods use.
func (d *demand) meter() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.metered = time.Now()
	for _, w := range d.all {
		w.usage = w.used(rate(w.i, d.metered))
	}
}

// usage answers discovery, and what the pods of one workload use.
func (d *demand) usage(w http.ResponseWriter, r *http.Request) {
	version := metricsGroup + "/v1beta1"
	w.Header().Set("Content-Type", "application/json")
	if !strings.HasSuffix(r.URL.Path, "/namespaces/"+namespace+"/pods") {
		_ = json.NewEncoder(w).Encode(object{
			"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version,
			"resources": []any{object{"name": "pods", "singularName": "", "namespaced": true, "kind": "PodMetrics", "verbs": []any{"get", "list"}}},
		})
		return
	}
	_, name, _ := strings.Cut(r.URL.Query().Get("labelSelector"), "app=")
	items := []any{}
	d.mu.Lock()
	if one := d.byName[name]; one != nil {
		used := millicores(request * one.usage)
		for _, pod := range one.ready {
			items = append(items, object{
				"metadata":  object{"name": pod, "namespace": namespace, "labels": object{"app": name}},
				"timestamp": d.metered.UTC().Format(time.RFC3339), "window": "15s",
				"containers": []any{object{"name": "app", "usage": object{"cpu": used, "memory": "10Mi"}}},
			})
		}
	}
	d.mu.Unlock()
	_ = json.NewEncoder(w).Encode(object{"kind": "PodMetricsList", "apiVersion": version, "metadata": object{}, "items": items})
}
