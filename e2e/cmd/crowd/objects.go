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

// create makes what is missing of n workloads.
func create(ctx context.Context, c *clients, n int) error {
	space := &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: namespace}}
	if _, err := c.CoreV1().Namespaces().Create(ctx, space, meta.CreateOptions{}); err != nil && !errors.IsAlreadyExists(err) {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for i := range n {
		group.Go(func() error {
			if err := ensure(ctx, c.dynamic.Resource(deployments), deployment(i)); err != nil {
				return fmt.Errorf("%s: %w", name(i), err)
			}
			return ensure(ctx, c.dynamic.Resource(scalings), scaling(i))
		})
	}
	return group.Wait()
}

func ensure(ctx context.Context, kind dynamic.NamespaceableResourceInterface, wanted object) error {
	_, err := kind.Namespace(namespace).Create(ctx, &unstructured.Unstructured{Object: wanted}, meta.CreateOptions{})
	if errors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func deployment(i int) object {
	labels := object{"app": name(i)}
	return object{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": object{"name": name(i), "namespace": namespace},
		"spec": object{
			"replicas": int64(1), "selector": object{"matchLabels": labels},
			"template": object{
				"metadata": object{"labels": labels},
				"spec": object{
					"nodeSelector": object{"crowd": "true"},
					"tolerations":  []any{object{"key": "crowd", "operator": "Exists"}},
					"containers":   []any{object{"name": "app", "image": "localhost/nothing:v1"}},
				},
			},
		},
	}
}

func scaling(i int) object {
	return object{
		"apiVersion": "matverse.io/v1alpha1", "kind": "MatVerseScaling", "metadata": object{"name": name(i), "namespace": namespace},
		"spec": object{
			"targetRef": object{"name": name(i)}, "profile": "crowd", "enforcement": "Act",
			"minReplicas": int64(1), "maxReplicas": int64(4), "targets": object{"latencyTarget": int64(250)},
		},
	}
}
