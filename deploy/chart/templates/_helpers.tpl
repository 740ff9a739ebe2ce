{{/* The name of all objects. A StatefulSet's name must not exceed 52 characters. Pods of two releases have different names,
     because the rules tell exporters apart by them. */}}
{{- define "openim-exporter.name" -}}
{{- $name := printf "%s-%s" .Release.Name .Chart.Name }}
{{- if contains .Chart.Name .Release.Name }}{{ $name = .Release.Name }}{{ end }}
{{- $name | trunc 52 | trimSuffix "-" }}
{{- end }}

{{/* The label `name` is the same for all releases: it becomes the job's name, which the rules select. */}}
{{- define "openim-exporter.selector" -}}
app.kubernetes.io/name: openim-exporter
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "openim-exporter.labels" -}}
{{ include "openim-exporter.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}
