{{/*
For other charts: "schemagate.gate" and "schemagate.volumes" (see README.md). Everything else here is
the chart's own. All take the chart's scope: `.` in here, `.Subcharts.schemagate` (or the alias) outside.
*/}}

{{/* One init container for the app's pods: the gate, or in mode initContainer the run itself. */}}
{{- define "schemagate.gate" -}}
{{- if not . }}{{ fail "schemagate.gate: no such dependency here; write .Subcharts.NAME with the name or alias in Chart.yaml" }}{{ end -}}
{{- if eq .Values.mode "initContainer" -}}
- name: {{ .Chart.Name }}-run
  {{- include "schemagate.container" (dict "root" . "args" (list "run" "--hold" .Values.initContainer.hold) "env" .Values.job.env "secret" .Values.databaseSecret "resources" .Values.job.resources) | nindent 2 }}
{{- else -}}
- name: {{ .Chart.Name }}-gate
  {{- include "schemagate.container" (dict "root" . "args" (list "gate") "secret" (include "schemagate.gateSecret" . | fromYaml) "resources" .Values.gate.resources) | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* The volumes of that init container. Nothing, unless `manifest` or `volumes` is used. */}}
{{- define "schemagate.volumes" -}}
{{- if .Values.manifest -}}
- name: {{ .Chart.Name }}-manifest
  configMap: {name: {{ include "schemagate.configMapName" . }}}
{{- end }}
{{- with .Values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What is the same in every container: dict root, args, secret, resources, and what env has beyond .Values.env. */}}
{{- define "schemagate.container" -}}
{{- $values := .root.Values -}}
{{- if not $values.enabled }}{{ fail (printf "enabled: false does nothing by itself; write `condition: %s.enabled` at the dependency in your Chart.yaml" .root.Chart.Name) }}{{ end -}}
image: {{ include "schemagate.image" .root | quote }}
imagePullPolicy: {{ $values.image.pullPolicy }}
command: [/opt/schemagate/bin/schemagate]
args: {{ toJson .args }}
env:
  - name: DATABASE_URL
    valueFrom:
      secretKeyRef: {name: {{ required "set databaseSecret.name: the Secret that holds the connection string" .secret.name | quote }}, key: {{ .secret.key | quote }}}
  {{- if $values.manifest }}
  - name: SCHEMAGATE_MANIFEST
    value: /etc/schemagate/schemagate.yaml
  {{- end }}
  {{- with concat $values.env (.env | default list) }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
# The message of a failure, or the end of the log if it was killed.
terminationMessagePolicy: FallbackToLogsOnError
# All that Pod Security "restricted" asks of a container, whatever the pod around it says.
securityContext:
  runAsNonRoot: true
  {{- with $values.runAsUser }}
  runAsUser: {{ int64 . }}
  runAsGroup: {{ int64 . }}
  {{- end }}
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
  seccompProfile: {type: RuntimeDefault}
resources: {{ toJson .resources }}
{{- if or $values.manifest $values.volumeMounts }}
volumeMounts:
  {{- if $values.manifest }}
  - {name: {{ .root.Chart.Name }}-manifest, mountPath: /etc/schemagate, readOnly: true}
  {{- end }}
  {{- with $values.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "schemagate.image" -}}
{{- $image := .Values.image -}}
{{- $repository := required "set image.repository: the image with schemagate.yaml and the migrations" $image.repository -}}
{{- if $image.digest -}}
{{ $repository }}@{{ $image.digest }}
{{- else -}}
{{- $tag := required "set image.tag or image.digest: the release to migrate to" $image.tag -}}
{{- if has $tag (list "latest" "main" "master") }}{{ fail (printf "image.tag %q moves: a new image under it makes no new Job, and its migrations are never run; set the tag of one release, or image.digest" $tag) }}{{ end -}}
{{ $repository }}:{{ $tag }}
{{- end -}}
{{- end -}}

{{- define "schemagate.gateSecret" -}}
{{ toJson (ternary .Values.gateSecret .Values.databaseSecret (ne .Values.gateSecret.name "")) }}
{{- end -}}

{{/* The spec of the Job. */}}
{{- define "schemagate.jobSpec" -}}
backoffLimit: {{ int64 .Values.job.backoffLimit }}
activeDeadlineSeconds: {{ int64 .Values.job.activeDeadlineSeconds }}
{{- with .Values.job.ttlSecondsAfterFinished }}
ttlSecondsAfterFinished: {{ int64 . }}
{{- end }}
podReplacementPolicy: Failed
podFailurePolicy:
  rules:
    # First, because an evicted pod also has an exit code: a drained node is no failure of ours.
    - action: Ignore
      onPodConditions:
        - {type: DisruptionTarget, status: "True"}
    # What stays so however often it is tried (docs/exit-codes.md).
    - action: FailJob
      onExitCodes:
        containerName: schemagate
        operator: In
        values: [2, 20, 21, 22, 23, 24, 25, 26]
template:
  metadata:
    labels:
      {{- include "schemagate.selectorLabels" . | nindent 6 }}
      app.kubernetes.io/component: migrate
      {{- with .Values.job.podLabels }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with .Values.job.podAnnotations }}
    annotations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    restartPolicy: Never
    terminationGracePeriodSeconds: {{ int64 .Values.job.terminationGracePeriodSeconds }}
    {{- include "schemagate.podSettings" . | nindent 4 }}
    containers:
      - name: schemagate
        {{- include "schemagate.container" (dict "root" . "args" (list "run") "env" .Values.job.env "secret" .Values.databaseSecret "resources" .Values.job.resources) | nindent 8 }}
    {{- with include "schemagate.volumes" . }}
    volumes:
      {{- . | nindent 6 }}
    {{- end }}
{{- end -}}

{{/* What the pods of the Job and of the test have in common. */}}
{{- define "schemagate.podSettings" -}}
# They talk to PostgreSQL only, and need nothing from Kubernetes, so no ServiceAccount either.
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.job.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .Values.job.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with .Values.job.initContainers }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
RELEASE-schemagate; RELEASE alone if that says schemagate already. An alias is always there, whatever the
release is called: it is what tells the objects of several databases apart.
*/}}
{{- define "schemagate.fullname" -}}
{{- if and (eq .Chart.Name "schemagate") (contains .Chart.Name .Release.Name) -}}
{{ .Release.Name | trunc 48 | trimAll "-." }}
{{- else -}}
{{ printf "%s-%s" (.Release.Name | trunc (int (sub 47 (len .Chart.Name))) | trimAll "-.") .Chart.Name | trunc 48 | trimAll "-." }}
{{- end -}}
{{- end -}}

{{/*
A Job cannot be changed, only made; so its name is a digest of everything in its spec. The same spec is
the same Job: not run again. .Release.Revision has no part in it: it is always 1 for Argo CD, and it
would run again what has not changed.
*/}}
{{- define "schemagate.jobName" -}}
{{ include "schemagate.fullname" . }}-{{ include "schemagate.jobSpec" . | sha256sum | trunc 10 }}
{{- end -}}

{{/* A name for each content: pods of the release before must go on finding theirs. */}}
{{- define "schemagate.configMapName" -}}
{{ include "schemagate.fullname" . }}-{{ toYaml .Values.manifest | sha256sum | trunc 10 }}
{{- end -}}

{{- define "schemagate.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "schemagate.labels" -}}
{{ include "schemagate.selectorLabels" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- end -}}
