{{- define "vitalsd.name" -}}
{{- if contains "vitalsd" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-vitalsd{{ end -}}
{{- end }}

{{- define "vitalsd.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "vitalsd.name" .) .Values.serviceAccount.name -}}
{{- else }}{{ default "default" .Values.serviceAccount.name }}{{ end -}}
{{- end }}

{{- define "vitalsd.selector" -}}
app.kubernetes.io/name: vitalsd
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "vitalsd.labels" -}}
{{ include "vitalsd.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "vitalsd.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest -}}
{{- else }}{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end -}}
{{- end }}

{{- define "vitalsd.elects" -}}
{{- if gt (int .Values.replicas) 1 }}true{{ end -}}
{{- end }}

{{/* The content of vitalsd.yaml. */}}
{{- define "vitalsd.configuration" -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "state" (dict "directory" "/var/lib/vitalsd") -}}
{{- if include "vitalsd.elects" . -}}
{{- $_ := set $config "leader_election" (dict "lease" (include "vitalsd.name" .)) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end }}

{{/* The sections of vitalsd.yaml that only take effect at the next start. */}}
{{- define "vitalsd.atStart" -}}
{{- pick (include "vitalsd.configuration" . | fromYaml) "web" "leader_election" | toYaml -}}
{{- end }}

{{/* Rejects invalid combinations of values with a message. */}}
{{- define "vitalsd.validate" -}}
{{- if gt (int .Values.replicas) 2 }}{{ fail "replicas: must be 1 or 2; with 2, one replica is on standby" }}{{ end -}}
{{- if and (gt (int .Values.shards) 1) (gt (int .Values.replicas) 1) }}{{ fail "shards, replicas: one of them must be 1" }}{{ end -}}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled }}{{ fail "serviceMonitor, podMonitor: enable only one, otherwise vitalsd is scraped twice" }}{{ end -}}
{{- if and .Values.persistence.enabled (gt (int .Values.replicas) 1) (not .Values.persistence.existingClaim) }}{{ fail "persistence: two replicas require an existingClaim that both can mount (ReadWriteMany)" }}{{ end -}}
{{- if and .Values.persistence.existingClaim (gt (int .Values.shards) 1) }}{{ fail "persistence.existingClaim: cannot be used with shards because each shard has its own claim" }}{{ end -}}
{{- end }}
