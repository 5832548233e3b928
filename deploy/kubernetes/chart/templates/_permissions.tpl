{{/*
The permissions that the configured probes need, as YAML: namespace -> "group/resource" -> verbs; the
namespace "" is the whole cluster. files/permissions.yaml has them by kind, from the declarations of
the kinds.
*/}}
{{- define "vitalsd.permissions" -}}
{{- $kinds := .Files.Get "files/permissions.yaml" | fromYaml -}}
{{- $permissions := dict "" dict -}}
{{- range $probe := .Values.config.probes -}}
  {{- if not (hasKey $kinds $probe.kind) -}}
    {{- fail (printf "config.probes: kind of %q must be one of %s, not %q" $probe.name (keys $kinds | sortAlpha | join ", ") $probe.kind) -}}
  {{- end -}}
  {{- range $permission := get $kinds $probe.kind -}}
    {{- $needed := true -}}
    {{- $namespaces := default list $probe.namespaces -}}
    {{- with $permission.unless_false -}}
      {{- $needed = ne (toString (get $probe .)) "false" -}}
    {{- end -}}
    {{- with $permission.listed_in -}}
      {{- with get $probe . }}{{ $needed = has (regexReplaceAll "^[^/]*/" $permission.resource "") . }}{{ end -}}
    {{- end -}}
    {{- with $permission.within -}}
      {{- $needed = hasKey $probe . -}}
      {{- $namespaces = default list (default dict (get $probe .)).namespaces -}}
    {{- end -}}
    {{- if $permission.cluster -}}
      {{- if and $permission.listed_in $namespaces }}{{ $needed = false }}{{ end -}}
      {{- $namespaces = list -}}
    {{- end -}}
    {{- if $needed -}}
      {{- range $namespace := default (list "") $namespaces -}}
        {{- $needs := dict $permission.resource $permission.verbs -}}
        {{- $_ := set $permissions $namespace (merge (default dict (get $permissions $namespace)) $needs) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- toYaml $permissions -}}
{{- end }}

{{/* Rules of a Role: "group/resource" -> verbs. */}}
{{- define "vitalsd.rules" -}}
{{- range $what, $verbs := . }}
- apiGroups: [{{ regexFind "^[^/]*" $what | quote }}]
  resources: [{{ regexReplaceAll "^[^/]*/" $what "" }}]
  verbs: [{{ join ", " $verbs }}]
{{- end }}
{{- end }}
