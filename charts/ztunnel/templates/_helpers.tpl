{{- define "ztunnel.global" -}}
{{- $defaults := dict "hub" "docker.io/lateen" "tag" .Chart.AppVersion "imagePullPolicy" "" "imagePullSecrets" (list) "controlPlane" "istiod" "controlPlaneNamespace" .Release.Namespace "trustDomain" "cluster.local" "clusterDomain" "cluster.local" "clusterName" "Kubernetes" "network" "" "revision" "default" "logLevel" "info" "logFormat" "plain" "platform" "" "networkPolicy" false "podMonitor" false -}}
{{- mergeOverwrite $defaults (.Values.global | default dict) | toYaml }}
{{- end }}

{{- define "ztunnel.image" -}}
{{- $global := include "ztunnel.global" . | fromYaml -}}
{{- $name := printf "%s/%s" (.Values.hub | default $global.hub) .Values.image -}}
{{- if .Values.digest }}{{ $name }}@{{ .Values.digest }}{{ else }}{{ $name }}:{{ .Values.tag | default $global.tag }}{{ end }}
{{- end }}

{{- define "ztunnel.platform" -}}
{{- $global := include "ztunnel.global" . | fromYaml -}}
{{- if $global.platform }}{{ $global.platform }}{{ else if contains "-gke" .Capabilities.KubeVersion.GitVersion }}gke{{ end }}
{{- end }}

{{- define "ztunnel.labels" -}}
{{- $global := include "ztunnel.global" . | fromYaml -}}
istio.io/rev: {{ $global.revision | quote }}
operator.istio.io/component: Ztunnel
app.kubernetes.io/name: ztunnel
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/part-of: lateen
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}
