// Fills an API server with nodes and pods as a large cluster has them, or watches them all by the
// informers of client-go: what any exporter in Go pays, and so the peer of our benchmark.
package main

import (
	"flag"
	"fmt"
	"os"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) == 0 {
		return fmt.Errorf("usage: load load|informers -kubeconfig FILE [-h]")
	}
	flags := flag.NewFlagSet(arguments[0], flag.ExitOnError)
	file := flags.String("kubeconfig", "", "who to come in as, and where")
	switch arguments[0] {
	case "load":
		var size size
		flags.IntVar(&size.nodes, "nodes", 1000, "how many nodes there are in the end")
		flags.IntVar(&size.images, "images", 50, "images on each node")
		flags.IntVar(&size.pods, "pods", 20000, "how many pods there are in the end")
		flags.IntVar(&size.containers, "containers", 2, "containers in each pod")
		flags.IntVar(&size.namespaces, "namespaces", 20, "namespaces that the pods are spread over")
		flags.IntVar(&size.workers, "workers", 32, "requests at a time")
		_ = flags.Parse(arguments[1:])
		client, err := connect(*file)
		if err != nil {
			return err
		}
		return load(client, size)
	case "informers":
		_ = flags.Parse(arguments[1:])
		client, err := connect(*file)
		if err != nil {
			return err
		}
		return watchAll(client, os.Stdin, os.Stdout)
	}
	return fmt.Errorf("no such command: %s", arguments[0])
}

// connect speaks protobuf, as every exporter that has to be fast, and is not slowed down.
func connect(file string) (*kubernetes.Clientset, error) {
	configuration, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		return nil, err
	}
	configuration.QPS = -1
	configuration.ContentType = "application/vnd.kubernetes.protobuf"
	configuration.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	return kubernetes.NewForConfig(configuration)
}
