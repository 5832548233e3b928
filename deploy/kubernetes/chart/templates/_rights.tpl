{{/*
The permissions that the configured probes need, as YAML: namespace -> "group/resource" -> verbs. The
namespace "" means the whole cluster. The kinds are those of docs/configuration.md.
*/}}
{{- define "vitalsd.rights" -}}
{{- $watch := list "list" "watch" -}}
{{- $get := list "get" -}}
{{- $groups := dict "deployments" "apps" "statefulsets" "apps" "daemonsets" "apps"
      "jobs" "batch" "cronjobs" "batch" "horizontalpodautoscalers" "autoscaling"
      "resourcequotas" "" "persistentvolumes" "" "persistentvolumeclaims" "" -}}
{{- $rights := dict "" dict -}}
{{- range $probe := .Values.config.probes -}}
  {{- $cluster := dict -}}{{/* cluster-scoped resources */}}
  {{- $needs := dict -}}
  {{- $namespaces := default list $probe.namespaces -}}
  {{- if eq $probe.kind "node" -}}
    {{- $_ := set $cluster "/nodes" $watch -}}
  {{- else if eq $probe.kind "kubelet" -}}
    {{- $_ := set $cluster "/nodes" $watch -}}
    {{- if ne (toString $probe.summary) "false" }}{{ $_ := set $cluster "/nodes/stats" $get }}{{ end -}}
    {{- if ne (toString $probe.cadvisor) "false" }}{{ $_ := set $cluster "/nodes/metrics" $get }}{{ end -}}
  {{- else if eq $probe.kind "pod" -}}
    {{- $_ := set $needs "/pods" $watch -}}
  {{- else if eq $probe.kind "logs" -}}
    {{- $_ := set $needs "/pods" $watch -}}
    {{- $_ := set $needs "/pods/log" $get -}}
  {{- else if eq $probe.kind "cert-manager" -}}
    {{- $_ := set $needs "cert-manager.io/certificates" $watch -}}
  {{- else if and (eq $probe.kind "certificate") (hasKey $probe "secrets") -}}
    {{- $_ := set $needs "/secrets" $watch -}}
    {{- $namespaces = default list (default dict $probe.secrets).namespaces -}}
  {{- else if eq $probe.kind "workload" -}}
    {{- range $resource := default (keys $groups | sortAlpha) $probe.resources -}}
      {{- if ne $resource "persistentvolumes" -}}
        {{- $_ := set $needs (printf "%s/%s" (get $groups $resource) $resource) $watch -}}
      {{- else if not $namespaces -}}
        {{- $_ := set $cluster "/persistentvolumes" $watch -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- $_ := set $rights "" (merge (get $rights "") $cluster) -}}
  {{- range $namespace := default (list "") $namespaces -}}
    {{- $_ := set $rights $namespace (merge (default dict (get $rights $namespace)) $needs) -}}
  {{- end -}}
{{- end -}}
{{- toYaml $rights -}}
{{- end }}

{{/* The rules of a Role from "group/resource" -> verbs. */}}
{{- define "vitalsd.rules" -}}
{{- range $what, $verbs := . }}
- apiGroups: [{{ regexFind "^[^/]*" $what | quote }}]
  resources: [{{ regexReplaceAll "^[^/]*/" $what "" }}]
  verbs: [{{ join ", " $verbs }}]
{{- end }}
{{- end }}
