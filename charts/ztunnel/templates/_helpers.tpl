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

{{- /* Variables that the chart sets, and what to set instead. A name that stood twice would count once, and nobody sees which. */}}
{{- define "ztunnel.ownEnv" -}}
XDS_ADDRESS: set xdsAddress instead
CA_ADDRESS: set caAddress instead
TRUST_DOMAIN: set global.trustDomain instead
CLUSTER_DOMAIN: set global.clusterDomain instead
ISTIO_META_CLUSTER_ID: set global.clusterName instead
NETWORK: set global.network instead
INPOD_UDS: it cannot be changed
TERMINATION_GRACE_PERIOD_SECONDS: set terminationGracePeriodSeconds instead
POD_NAME: it cannot be changed
POD_NAMESPACE: it cannot be changed
NODE_NAME: it cannot be changed
INSTANCE_IP: it cannot be changed
SERVICE_ACCOUNT: it cannot be changed
ZTUNNEL_CPU_LIMIT: set resources.limits.cpu instead
{{- end }}

{{- define "ztunnel.checkEnv" -}}
{{- $own := include "ztunnel.ownEnv" . | fromYaml -}}
{{- range $name, $_ := .Values.env }}
{{- with get $own $name }}
{{- fail (printf "env.%s: the chart sets this variable itself; %s" $name .) }}
{{- end }}
{{- end }}
{{- end }}
