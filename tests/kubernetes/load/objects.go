package main

import (
	"crypto/sha256"
	"fmt"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// A pod of a Deployment and a node as clusters have them: what they weigh on the wire and in memory
// is mostly what nobody looks at.

const podsOfOne = 10 // replicas of each Deployment

func namespaceName(i int) string { return fmt.Sprintf("team-%03d", i) }
func nodeName(i int) string      { return fmt.Sprintf("node-%04d.example.internal", i) }
func nodeAddress(i int) string   { return fmt.Sprintf("10.%d.%d.%d", 64+i>>16, i>>8&255, i&255) }
func podAddress(i int) string    { return fmt.Sprintf("10.%d.%d.%d", 128+i>>16, i>>8&255, i&255) }

// digest is the same for the same text: a second run makes the same objects.
func digest(format string, values ...any) string {
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, format, values...)))
}

func quantities(cpu, memory string) core.ResourceList {
	return core.ResourceList{
		core.ResourceCPU:    resource.MustParse(cpu),
		core.ResourceMemory: resource.MustParse(memory),
	}
}

func pointer[T any](value T) *T { return &value }

func makeNode(i, images int) *core.Node {
	now := meta.Now()
	name := nodeName(i)
	zone := fmt.Sprintf("eu-west-1%c", 'a'+rune(i%3))
	node := &core.Node{
		ObjectMeta: meta.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				"kubernetes.io/arch":               "amd64",
				"kubernetes.io/hostname":           name,
				"kubernetes.io/os":                 "linux",
				"node.kubernetes.io/instance-type": "m5.4xlarge",
				"topology.kubernetes.io/region":    "eu-west-1",
				"topology.kubernetes.io/zone":      zone,
			},
			Annotations: map[string]string{
				"node.alpha.kubernetes.io/ttl":                           "0",
				"volumes.kubernetes.io/controller-managed-attach-detach": "true",
			},
		},
		Spec: core.NodeSpec{
			PodCIDR:    fmt.Sprintf("10.%d.%d.0/24", 128+i>>8, i&255),
			ProviderID: fmt.Sprintf("aws:///%s/i-%s", zone, digest("instance %d", i)[:17]),
		},
	}
	capacity := quantities("16", "64Gi")
	capacity[core.ResourcePods] = resource.MustParse("110")
	capacity[core.ResourceEphemeralStorage] = resource.MustParse("200Gi")
	allocatable := quantities("15800m", "61Gi")
	allocatable[core.ResourcePods] = capacity[core.ResourcePods]
	allocatable[core.ResourceEphemeralStorage] = resource.MustParse("180Gi")
	condition := func(kind core.NodeConditionType, status core.ConditionStatus, reason string) {
		node.Status.Conditions = append(node.Status.Conditions, core.NodeCondition{
			Type: kind, Status: status, Reason: reason, Message: "kubelet says: " + reason,
			LastHeartbeatTime: now, LastTransitionTime: now,
		})
	}
	node.Status.Capacity, node.Status.Allocatable = capacity, allocatable
	condition(core.NodeMemoryPressure, core.ConditionFalse, "KubeletHasSufficientMemory")
	condition(core.NodeDiskPressure, core.ConditionFalse, "KubeletHasNoDiskPressure")
	condition(core.NodePIDPressure, core.ConditionFalse, "KubeletHasSufficientPID")
	condition(core.NodeReady, core.ConditionTrue, "KubeletReady")
	node.Status.Addresses = []core.NodeAddress{
		{Type: core.NodeInternalIP, Address: nodeAddress(i)},
		{Type: core.NodeHostName, Address: name},
	}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = 10250
	node.Status.NodeInfo = core.NodeSystemInfo{
		Architecture: "amd64", OperatingSystem: "linux", KernelVersion: "6.1.0-37-amd64",
		OSImage: "Debian GNU/Linux 12 (bookworm)", ContainerRuntimeVersion: "containerd://1.7.27",
		KubeletVersion: "v1.34.4", MachineID: digest("machine %d", i)[:32],
		SystemUUID: digest("system %d", i)[:32], BootID: digest("boot %d", i)[:32],
	}
	for image := range images {
		repository := fmt.Sprintf("registry.example.com/team-%03d/service-%03d", image%20, image)
		node.Status.Images = append(node.Status.Images, core.ContainerImage{
			Names: []string{
				repository + "@sha256:" + digest("image %d", image),
				fmt.Sprintf("%s:v1.%d.0", repository, image),
			},
			SizeBytes: int64(20+image) << 20,
		})
	}
	return node
}

func makePod(i int, size size) *core.Pod {
	deployment := i / podsOfOne
	application := fmt.Sprintf("service-%04d", deployment)
	set := application + "-" + digest("set %d", deployment)[:10]
	pod := &core.Pod{
		ObjectMeta: meta.ObjectMeta{
			Name:      set + "-" + digest("pod %d", i)[:5],
			Namespace: namespaceName(deployment % size.namespaces),
			Labels: map[string]string{
				"app.kubernetes.io/name":     application,
				"app.kubernetes.io/instance": application + "-production",
				"app.kubernetes.io/version":  "1.27.3",
				"pod-template-hash":          digest("set %d", deployment)[:10],
			},
			Annotations: map[string]string{
				"prometheus.io/scrape":              "true",
				"prometheus.io/port":                "8080",
				"checksum/config":                   digest("configuration %d", deployment),
				"kubectl.kubernetes.io/restartedAt": "2026-11-01T08:00:00Z",
			},
			OwnerReferences: []meta.OwnerReference{{
				APIVersion: "apps/v1", Kind: "ReplicaSet", Name: set,
				UID:        types.UID(digest("uid %d", deployment)[:32]),
				Controller: pointer(true), BlockOwnerDeletion: pointer(true),
			}},
		},
		Spec: core.PodSpec{
			NodeName:           nodeName(i % size.nodes),
			ServiceAccountName: "default",
			Volumes: []core.Volume{{
				Name: "configuration",
				VolumeSource: core.VolumeSource{ConfigMap: &core.ConfigMapVolumeSource{
					LocalObjectReference: core.LocalObjectReference{Name: application},
				}},
			}, {
				Name:         "kube-api-access",
				VolumeSource: core.VolumeSource{Projected: tokenVolume()},
			}},
		},
	}
	for number := range size.containers {
		pod.Spec.Containers = append(pod.Spec.Containers, makeContainer(number, application))
	}
	return pod
}

func tokenVolume() *core.ProjectedVolumeSource {
	return &core.ProjectedVolumeSource{Sources: []core.VolumeProjection{{
		ServiceAccountToken: &core.ServiceAccountTokenProjection{
			Path: "token", ExpirationSeconds: pointer(int64(3607)),
		},
	}, {
		ConfigMap: &core.ConfigMapProjection{
			LocalObjectReference: core.LocalObjectReference{Name: "kube-root-ca.crt"},
			Items:                []core.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
		},
	}}}
}

func containerName(number int) string {
	return []string{"application", "proxy"}[min(number, 1)] + suffix(number)
}

func suffix(number int) string {
	if number < 2 {
		return ""
	}
	return fmt.Sprintf("-%d", number)
}

func imageName(number int, application string) string {
	return fmt.Sprintf("registry.example.com/%s/%s:v1.27.3", application, containerName(number))
}

// makeContainer: the first is the application, all others are what accompanies it.
func makeContainer(number int, application string) core.Container {
	port := core.ContainerPort{
		Name: "http" + suffix(number+1), ContainerPort: int32(8080 + number),
	}
	container := core.Container{
		Name:  containerName(number),
		Image: imageName(number, application),
		Ports: []core.ContainerPort{port},
		Resources: core.ResourceRequirements{
			Requests: quantities("250m", "256Mi"),
			Limits:   quantities("1", "512Mi"),
		},
	}
	if number > 0 {
		return container
	}
	container.Args = []string{"--config=/etc/service/configuration.yaml", "--listen=:8080"}
	container.Env = []core.EnvVar{
		{Name: "ENVIRONMENT", Value: "production"},
		{Name: "DATABASE_HOST", Value: "postgres.databases.svc.cluster.local"},
	}
	container.VolumeMounts = []core.VolumeMount{
		{Name: "configuration", MountPath: "/etc/service", ReadOnly: true},
		{
			Name: "kube-api-access", ReadOnly: true,
			MountPath: "/var/run/secrets/kubernetes.io/serviceaccount",
		},
	}
	container.ReadinessProbe = &core.Probe{
		ProbeHandler: core.ProbeHandler{HTTPGet: &core.HTTPGetAction{
			Path: "/health/ready", Port: intstr.FromString(port.Name),
		}},
		PeriodSeconds: 10,
	}
	return container
}

// makePodStatus says that it runs and is ready; one container in fifty has been restarted.
func makePodStatus(i int, pod *core.Pod, size size) core.PodStatus {
	began := meta.NewTime(time.Now().Add(-time.Hour).Truncate(time.Second))
	node := i % size.nodes
	status := core.PodStatus{
		Phase:    core.PodRunning,
		QOSClass: core.PodQOSBurstable,
		HostIP:   nodeAddress(node), HostIPs: []core.HostIP{{IP: nodeAddress(node)}},
		PodIP: podAddress(i), PodIPs: []core.PodIP{{IP: podAddress(i)}},
		StartTime: &began,
	}
	for _, kind := range []core.PodConditionType{
		core.PodReadyToStartContainers, core.PodInitialized, core.PodReady, core.ContainersReady,
		core.PodScheduled,
	} {
		status.Conditions = append(status.Conditions, core.PodCondition{
			Type: kind, Status: core.ConditionTrue, LastTransitionTime: began,
		})
	}
	for number, container := range pod.Spec.Containers {
		state := core.ContainerStatus{
			Name: container.Name, Image: container.Image, Ready: true, Started: pointer(true),
			ImageID: fmt.Sprintf("registry.example.com/%s@sha256:%s",
				container.Name, digest("image %s", container.Image)),
			ContainerID: "containerd://" + digest("container %d of %d", number, i),
			State:       core.ContainerState{Running: &core.ContainerStateRunning{StartedAt: began}},
		}
		if (i*len(pod.Spec.Containers)+number)%50 == 0 {
			state.RestartCount = 1
			state.LastTerminationState.Terminated = &core.ContainerStateTerminated{
				ExitCode: 137, Reason: "OOMKilled", StartedAt: began, FinishedAt: began,
				ContainerID: "containerd://" + digest("before %d of %d", number, i),
			}
		}
		status.ContainerStatuses = append(status.ContainerStatuses, state)
	}
	return status
}
