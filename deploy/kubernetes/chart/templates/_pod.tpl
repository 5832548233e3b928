{{/* The pod of the Deployment or the StatefulSet. */}}
{{- define "vitalsd.pod" -}}
metadata:
  labels: {{- include "vitalsd.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    # A running vitalsd does not apply changes of these sections, so a change replaces the pod.
    checksum/config: {{ include "vitalsd.atStart" . | sha256sum }}
    {{- with .Values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "vitalsd.serviceAccount" . }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.hostAliases }}
  hostAliases: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "vitalsd.selector" . | nindent 10 }}
  containers:
    - name: vitalsd
      image: {{ include "vitalsd.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - --config=/etc/vitalsd/config/vitalsd.yaml
        {{- if gt (int .Values.shards) 1 }}
        - --shard=auto/{{ .Values.shards }}
        {{- end }}
      {{- with .Values.env }}
      env: {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - {name: metrics, containerPort: 9747}
      # The web server always responds. /-/healthy reports whether the probe loop runs.
      livenessProbe:
        httpGet: {path: /-/healthy, port: metrics}
        periodSeconds: 10
        timeoutSeconds: 5
      # The pod is ready when every probe has run once. A target that is down does not make it unready.
      readinessProbe:
        httpGet: {path: /-/ready, port: metrics}
        periodSeconds: 5
        timeoutSeconds: 5
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      {{- with .Values.resources }}
      resources: {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        # A directory, because the kubelet does not update a single file of a ConfigMap (subPath).
        - {name: config, mountPath: /etc/vitalsd/config, readOnly: true}
        - {name: state, mountPath: /var/lib/vitalsd}
        {{- range .Values.secrets }}
        - {name: secret-{{ .name }}, mountPath: /etc/vitalsd/secrets/{{ .name }}, readOnly: true}
        {{- end }}
        {{- range .Values.configs }}
        - {name: config-{{ .name }}, mountPath: /etc/vitalsd/configs/{{ .name }}, readOnly: true}
        {{- end }}
        {{- range $i, $each := .Values.volumes }}
        - {name: volume-{{ $i }}, mountPath: {{ $each.mountPath }}, readOnly: true}
        {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ include "vitalsd.name" . }}}
    {{- if .Values.persistence.existingClaim }}
    - name: state
      persistentVolumeClaim: {claimName: {{ .Values.persistence.existingClaim }}}
    {{- else if not .Values.persistence.enabled }}
    - name: state
      emptyDir: {}
    {{- else if le (int .Values.shards) 1 }}
    - name: state
      persistentVolumeClaim: {claimName: {{ include "vitalsd.name" . }}}
    {{- end }}
    {{- range .Values.secrets }}
    - name: secret-{{ .name }}
      # 0440: owned by root and readable by the pod's group.
      secret: {secretName: {{ .secretName }}, defaultMode: 288}
    {{- end }}
    {{- range .Values.configs }}
    - name: config-{{ .name }}
      configMap: {name: {{ .configMapName }}}
    {{- end }}
    {{- range $i, $each := .Values.volumes }}
    - name: volume-{{ $i }}
      {{- toYaml $each.volume | nindent 6 }}
    {{- end }}
{{- end }}

{{- define "vitalsd.claim" -}}
accessModes: [ReadWriteOnce]
{{- with .Values.persistence.storageClass }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests: {storage: {{ .Values.persistence.size }}}
{{- end }}
