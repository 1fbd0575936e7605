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

{{- define "cp.platform" -}}
{{- $global := include "cp.global" . | fromYaml -}}
{{- if $global.platform }}{{ $global.platform }}{{ else if contains "-gke" .Capabilities.KubeVersion.GitVersion }}gke{{ end }}
{{- end }}

{{- define "cp.revision" -}}
{{- $global := include "cp.global" . | fromYaml -}}
{{ $global.revision | default "default" }}
{{- end }}

{{- /* Upstream's names: beside the default revision others stand in the same namespace, and none selects another's pods. */}}
{{- define "cp.role" -}}
{{ include "cp.revision" . | eq "default" | ternary "pilot" "istiod" }}
{{- end }}

{{- define "cp.selector" -}}
app: istiod
{{- if include "cp.revision" . | eq "default" }}
istio: {{ include "cp.role" . }}
{{- else }}
istio.io/rev: {{ include "cp.revision" . | quote }}
{{- end }}
{{- end }}

{{- define "cp.meshConfig" -}}
istio{{ if include "cp.revision" . | ne "default" }}-{{ include "cp.revision" . }}{{ end }}
{{- end }}

{{- /* What selects the pods of waypoints, whoever's class they are of. */}}
{{- define "cp.waypoints" -}}
matchExpressions:
- key: gateway.istio.io/managed
  operator: In
  values:
  - istio.io-mesh-controller
  - lateen.dev-mesh-controller
{{- end }}

{{- define "cp.labels" -}}
app: istiod
istio.io/rev: {{ include "cp.revision" . | quote }}
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

{{- /* Variables that the chart sets, and what to set instead. A name that stood twice would count once, and nobody sees which. */}}
{{- define "cp.ownEnv" -}}
POD_NAME: it cannot be changed
POD_UID: it cannot be changed
POD_NAMESPACE: it cannot be changed
ROOT_NAMESPACE: it is the release's namespace
CONTROL_PLANE_NAME: set name instead
REVISION: set global.revision instead
CLUSTER_ID: set global.clusterName instead
TRUST_DOMAIN: set global.trustDomain instead
STATE_DIR: it cannot be changed
CA_TRUSTED_NODE_ACCOUNTS: set trustedNodeAccounts instead
REGISTRATION_ACCOUNTS: set registrationAccounts instead
NETWORK: set global.network instead
WAYPOINT_IMAGE: set waypoint.image instead
WAYPOINT_IMAGE_PULL_POLICY: set imagePullPolicy instead
WAYPOINT_IMAGE_PULL_SECRETS: set global.imagePullSecrets instead
WAYPOINT_CONTROL_PLANE: set name instead
WAYPOINT_PLATFORM: set global.platform instead
READ_SECRETS: set features.secrets instead
ENABLE_CLUSTER_TRUST_BUNDLE_API: set features.clusterTrustBundle instead
SECRET_NAMESPACES: set features.secretNamespaces instead
PILOT_AUTO_ALLOW_WAYPOINT_POLICY: set features.allowFromWaypoints instead
PILOT_ENABLE_NODE_UNTAINT_CONTROLLERS: set features.untaint.enabled instead
NODE_TAINT: set features.untaint.taint instead
NODE_AGENTS: set features.untaint.agents instead
{{- end }}

{{- define "cp.checkEnv" -}}
{{- $own := include "cp.ownEnv" . | fromYaml -}}
{{- range $name, $_ := .Values.env }}
{{- with get $own $name }}
{{- fail (printf "env.%s: the chart sets this variable itself; %s" $name .) }}
{{- end }}
{{- end }}
{{- end }}
