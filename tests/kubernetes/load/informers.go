package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// report is a line of the output: the cost so far, and what it was spent on.
type report struct {
	Seconds    float64 `json:"seconds"` // since the start; of the first report, until all was known
	RSS        int     `json:"rss_bytes"`
	PeakRSS    int     `json:"peak_rss_bytes"`
	CPUSeconds float64 `json:"cpu_seconds"`
	Nodes      int     `json:"nodes"`
	Pods       int     `json:"pods"`
	Events     int64   `json:"events"`
}

// watchAll prints a report as soon as all pods and nodes are known, then one for each line of its
// input, and ends with that.
func watchAll(client kubernetes.Interface, input io.Reader, output io.Writer) error {
	began := time.Now()
	var events atomic.Int64
	count := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { events.Add(1) },
		UpdateFunc: func(any, any) { events.Add(1) },
		DeleteFunc: func(any) { events.Add(1) },
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	pods, nodes := factory.Core().V1().Pods().Informer(), factory.Core().V1().Nodes().Informer()
	for _, informer := range []cache.SharedIndexInformer{pods, nodes} {
		if _, err := informer.AddEventHandler(count); err != nil {
			return err
		}
	}
	stop := make(chan struct{})
	defer factory.Shutdown()
	defer close(stop)
	factory.Start(stop)
	if !cache.WaitForCacheSync(stop, pods.HasSynced, nodes.HasSynced) {
		return fmt.Errorf("the caches do not fill")
	}

	encoder := json.NewEncoder(output)
	tell := func() error {
		now := report{
			Seconds: time.Since(began).Seconds(),
			Nodes:   len(nodes.GetStore().ListKeys()),
			Pods:    len(pods.GetStore().ListKeys()),
			Events:  events.Load(),
		}
		if err := now.measure(); err != nil {
			return err
		}
		return encoder.Encode(now)
	}
	if err := tell(); err != nil {
		return err
	}
	for lines := bufio.NewScanner(input); lines.Scan(); {
		if err := tell(); err != nil {
			return err
		}
	}
	return nil
}

// measure asks the kernel what this process has used.
func (r *report) measure() error {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	for _, spent := range []syscall.Timeval{usage.Utime, usage.Stime} {
		r.CPUSeconds += time.Duration(spent.Nano()).Seconds()
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for _, line := range strings.Split(string(status), "\n") {
		for key, bytes := range map[string]*int{"VmRSS:": &r.RSS, "VmHWM:": &r.PeakRSS} {
			if rest, found := strings.CutPrefix(line, key); found {
				if _, err := fmt.Sscanf(rest, "%d kB", bytes); err != nil {
					return fmt.Errorf("%q: %w", line, err)
				}
				*bytes *= 1024
			}
		}
	}
	return nil
}
