{{- define "cp.global" -}}
{{- $defaults := dict "hub" "docker.io/lateen" "tag" .Chart.AppVersion "imagePullPolicy" "" "imagePullSecrets" (list) "trustDomain" "cluster.local" "clusterDomain" "cluster.local" "clusterName" "Kubernetes" "network" "" "revision" "default" "logLevel" "info" "logFormat" "plain" "platform" "" "networkPolicy" false "podMonitor" false -}}
{{- mergeOverwrite $defaults (.Values.global | default dict) | toYaml }}
{{- end }}

{{- define "cp.image" -}}
{{- $global := include "cp.global" . | fromYaml -}}
{{- $name := printf "%s/%s" (.Values.hub | default $global.hub) .Values.image -}}
{{- if .Values.digest }}{{ $name }}@{{ .Values.digest }}{{ else }}{{ $name }}:{{ .Values.tag | default $global.tag }}{{ end }}
{{- end }}

{{- define "cp.waypointImage" -}}
{{- $global := include "cp.global" . | fromYaml -}}
{{- $waypoint := .Values.waypoint -}}
{{- $name := printf "%s/%s" (.Values.hub | default $global.hub) $waypoint.image -}}
{{- if $waypoint.digest }}{{ $name }}@{{ $waypoint.digest }}{{ else }}{{ $name }}:{{ .Values.tag | default $global.tag }}{{ end }}
{{- end }}

{{- define "cp.selector" -}}
app: istiod
istio: pilot
{{- end }}

{{- define "cp.labels" -}}
{{- $global := include "cp.global" . | fromYaml -}}
app: istiod
istio.io/rev: {{ $global.revision | quote }}
operator.istio.io/component: Pilot
app.kubernetes.io/name: istiod
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/part-of: lateen
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* A cluster-wide name: several releases of this chart do not share a role. */}}
{{- define "cp.clusterName" -}}
{{ .Values.name }}-{{ .Release.Namespace }}
{{- end }}
