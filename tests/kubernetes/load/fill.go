package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

type size struct {
	nodes, images, pods, containers, namespaces, workers int
}

// load makes what is not there yet, so that it can be run again for more; it deletes nothing.
func load(client kubernetes.Interface, size size) error {
	began := time.Now()
	ctx := context.Background()
	namespaces, nodes, pods := client.CoreV1().Namespaces(), client.CoreV1().Nodes(), client.CoreV1()
	err := each(size.namespaces, size.workers, func(i int) error {
		namespace := &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: namespaceName(i)}}
		_, err := namespaces.Create(ctx, namespace, meta.CreateOptions{})
		return err
	})
	if err != nil {
		return err
	}
	err = each(size.nodes, size.workers, func(i int) error {
		node := makeNode(i, size.images)
		created, err := nodes.Create(ctx, node, meta.CreateOptions{})
		if err != nil {
			return err
		}
		created.Status = node.Status
		_, err = nodes.UpdateStatus(ctx, created, meta.UpdateOptions{})
		return err
	})
	if err != nil {
		return err
	}
	err = each(size.pods, size.workers, func(i int) error {
		pod := makePod(i, size)
		created, err := pods.Pods(pod.Namespace).Create(ctx, pod, meta.CreateOptions{})
		if err != nil {
			return err
		}
		created.Status = makePodStatus(i, created, size)
		_, err = pods.Pods(pod.Namespace).UpdateStatus(ctx, created, meta.UpdateOptions{})
		return err
	})
	if err != nil {
		return err
	}
	fmt.Printf("{\"nodes\": %d, \"pods\": %d, \"seconds\": %.1f}\n",
		size.nodes, size.pods, time.Since(began).Seconds())
	return nil
}

// each calls do for 0 to count - 1, so many at a time; what exists already is fine.
func each(count, workers int, do func(int) error) error {
	var next atomic.Int64
	var failed atomic.Bool
	var group sync.WaitGroup
	errs := make([]error, workers)
	for worker := range workers {
		group.Add(1)
		go func() {
			defer group.Done()
			for !failed.Load() {
				i := int(next.Add(1)) - 1
				if i >= count {
					return
				}
				if err := do(i); err != nil && !apierrors.IsAlreadyExists(err) {
					errs[worker] = err
					failed.Store(true)
				}
			}
		}()
	}
	group.Wait()
	return errors.Join(errs...)
}
