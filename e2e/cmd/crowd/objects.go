package main

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

type object = map[string]any

var (
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	scalings    = schema.GroupVersionResource{Group: "matverse.io", Version: "v1alpha1", Resource: "matversescalings"}
)

// createNamespace makes the one that everything lies in.
func createNamespace(ctx context.Context, c *clients) error {
	space := &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: namespace}}
	_, err := c.CoreV1().Namespaces().Create(ctx, space, meta.CreateOptions{})
	if errors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// create makes what is missing of the workloads.
func create(ctx context.Context, c *clients, all []*workload) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for _, w := range all {
		group.Go(func() error {
			if err := ensure(ctx, c.dynamic.Resource(deployments), deployment(w.name)); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			if w.side == others {
				return ensure(ctx, c.dynamic.Resource(autoscalers), autoscaler(w.name))
			}
			return ensure(ctx, c.dynamic.Resource(scalings), scaling(w.name))
		})
	}
	return group.Wait()
}

func ensure(ctx context.Context, kind dynamic.NamespaceableResourceInterface, wanted object) error {
	_, err := kind.Namespace(namespace).Create(ctx, unstructuredOf(wanted), meta.CreateOptions{})
	if errors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func unstructuredOf(o object) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: o}
}

func deployment(name string) object {
	labels := object{"app": name}
	return object{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": object{"name": name, "namespace": namespace},
		"spec": object{
			"replicas": int64(1), "selector": object{"matchLabels": labels},
			"template": object{
				"metadata": object{"labels": labels},
				"spec": object{
					"nodeSelector": object{"crowd": "true"},
					"tolerations":  []any{object{"key": "crowd", "operator": "Exists"}},
					"containers": []any{object{
						"name": "app", "image": "localhost/nothing:v1", "resources": object{"requests": object{"cpu": millicores(request)}},
					}},
				},
			},
		},
	}
}

func scaling(name string) object {
	return object{
		"apiVersion": "matverse.io/v1alpha1", "kind": "MatVerseScaling", "metadata": object{"name": name, "namespace": namespace},
		"spec": object{
			"targetRef": object{"name": name}, "profile": "crowd", "enforcement": "Act",
			"minReplicas": int64(1), "maxReplicas": int64(4), "targets": object{"latencyTarget": int64(target)},
		},
	}
}
