package main

import (
	"context"
	"encoding/binary"
	"log"
	"net"
	"sync/atomic"
	"time"

	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// workers write pods' status at once.
const workers = 8

// keepNode makes the hollow node and renews its lease, as a kubelet does, until ctx ends.
func keepNode(ctx context.Context, c *clients) error {
	room := core.ResourceList{
		core.ResourceCPU: resource.MustParse("100000"), core.ResourceMemory: resource.MustParse("100Ti"),
		core.ResourcePods: resource.MustParse("100000"),
	}
	now := meta.Now()
	made := &core.Node{
		ObjectMeta: meta.ObjectMeta{Name: node, Labels: map[string]string{"crowd": "true"}},
		Spec:       core.NodeSpec{Taints: []core.Taint{{Key: "crowd", Effect: core.TaintEffectNoSchedule}}},
		Status: core.NodeStatus{Capacity: room, Allocatable: room, Conditions: []core.NodeCondition{{
			Type: core.NodeReady, Status: core.ConditionTrue, Reason: "Hollow", LastHeartbeatTime: now, LastTransitionTime: now,
		}}},
	}
	if _, err := c.CoreV1().Nodes().Create(ctx, made, meta.CreateOptions{}); err != nil && !errors.IsAlreadyExists(err) {
		return err
	}
	renew := func() error {
		leases, held, seconds := c.CoordinationV1().Leases("kube-node-lease"), node, int32(40)
		lease := &coordination.Lease{ObjectMeta: meta.ObjectMeta{Name: node}}
		if found, err := leases.Get(ctx, node, meta.GetOptions{}); err == nil {
			lease = found
		} else if !errors.IsNotFound(err) {
			return err
		}
		lease.Spec = coordination.LeaseSpec{HolderIdentity: &held, LeaseDurationSeconds: &seconds, RenewTime: &meta.MicroTime{Time: time.Now()}}
		var err error
		if lease.ResourceVersion == "" {
			_, err = leases.Create(ctx, lease, meta.CreateOptions{})
		} else {
			_, err = leases.Update(ctx, lease, meta.UpdateOptions{})
		}
		return err
	}
	if err := renew(); err != nil {
		return err
	}
	// One that was away is ready again at once, not when its controller next looks.
	found, err := c.CoreV1().Nodes().Get(ctx, node, meta.GetOptions{})
	if err != nil {
		return err
	}
	found.Status.Conditions = made.Status.Conditions
	if _, err := c.CoreV1().Nodes().UpdateStatus(ctx, found, meta.UpdateOptions{}); err != nil && !errors.IsConflict(err) {
		return err
	}
	go func() {
		for sleep(ctx, 10*time.Second) == nil {
			if err := renew(); err != nil && ctx.Err() == nil {
				log.Print("crowd: the node's lease: ", err)
			}
		}
	}()
	return nil
}

// watchPods makes pods of the hollow node ready and lets deleted ones go, and tells demand who is ready.
func watchPods(ctx context.Context, c *clients, d *demand) error {
	factory := informers.NewSharedInformerFactoryWithOptions(c, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(o *meta.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("spec.nodeName", node).String()
		}))
	pods := factory.Core().V1().Pods().Informer()
	queue := make(chan *core.Pod, 100_000)
	seen := func(found any) {
		if pod, ok := found.(*core.Pod); ok {
			d.note(pod, false)
			queue <- pod
		}
	}
	if _, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    seen,
		UpdateFunc: func(_, now any) { seen(now) },
		DeleteFunc: func(found any) {
			if last, ok := found.(cache.DeletedFinalStateUnknown); ok {
				found = last.Obj
			}
			if pod, ok := found.(*core.Pod); ok {
				d.note(pod, true)
			}
		},
	}); err != nil {
		return err
	}
	var address atomic.Uint32
	for range workers {
		go func() {
			for {
				select {
				case <-ctx.Done():
					return
				case pod := <-queue:
					if err := settle(ctx, c, pod, &address); err != nil && ctx.Err() == nil {
						log.Print("crowd: pod ", pod.Name, ": ", err)
					}
				}
			}
		}()
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	return nil
}

// ready tells whether the pod is, by its condition: the cluster takes it from pods whose node was away.
func ready(pod *core.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == core.PodReady {
			return condition.Status == core.ConditionTrue
		}
	}
	return false
}

// settle brings a pod where a kubelet would.
func settle(ctx context.Context, c *clients, pod *core.Pod, address *atomic.Uint32) error {
	if pod.DeletionTimestamp != nil {
		now := int64(0)
		uid := pod.UID
		err := c.CoreV1().Pods(namespace).Delete(ctx, pod.Name, meta.DeleteOptions{
			GracePeriodSeconds: &now, Preconditions: &meta.Preconditions{UID: &uid},
		})
		if errors.IsNotFound(err) || errors.IsConflict(err) {
			return nil
		}
		return err
	}
	if ready(pod) {
		return nil
	}
	now := meta.Now()
	ip := net.IP(binary.BigEndian.AppendUint32(nil, 10<<24|200<<16|address.Add(1))).String()
	pod = pod.DeepCopy()
	pod.Status.Phase, pod.Status.StartTime, pod.Status.PodIP = core.PodRunning, &now, ip
	pod.Status.PodIPs = []core.PodIP{{IP: ip}}
	pod.Status.Conditions = nil
	for _, kind := range []core.PodConditionType{core.PodScheduled, core.PodInitialized, core.ContainersReady, core.PodReady} {
		pod.Status.Conditions = append(pod.Status.Conditions, core.PodCondition{Type: kind, Status: core.ConditionTrue, LastTransitionTime: now})
	}
	yes := true
	pod.Status.ContainerStatuses = []core.ContainerStatus{{
		Name: pod.Spec.Containers[0].Name, Image: pod.Spec.Containers[0].Image, Ready: true, Started: &yes,
		State: core.ContainerState{Running: &core.ContainerStateRunning{StartedAt: now}},
	}}
	_, err := c.CoreV1().Pods(namespace).UpdateStatus(ctx, pod, meta.UpdateOptions{})
	if errors.IsConflict(err) || errors.IsNotFound(err) {
		return nil // another event of it follows
	}
	return err
}
