{{- define "cni.global" -}}
{{- $defaults := dict "hub" "docker.io/lateen" "tag" .Chart.AppVersion "imagePullPolicy" "" "imagePullSecrets" (list) "controlPlane" "istiod" "controlPlaneNamespace" .Release.Namespace "clusterName" "Kubernetes" "revision" "default" "logLevel" "info" "logFormat" "plain" "platform" "" "networkPolicy" false "podMonitor" false -}}
{{- mergeOverwrite $defaults (.Values.global | default dict) | toYaml }}
{{- end }}

{{- define "cni.image" -}}
{{- $global := include "cni.global" . | fromYaml -}}
{{- $name := printf "%s/%s" (.Values.hub | default $global.hub) .Values.image -}}
{{- if .Values.digest }}{{ $name }}@{{ .Values.digest }}{{ else }}{{ $name }}:{{ .Values.tag | default $global.tag }}{{ end }}
{{- end }}

{{/* What the names of the mesh's own pods begin with. */}}
{{- define "cni.exempt" -}}
{{- $global := include "cni.global" . | fromYaml -}}
{{- $own := list (printf "%s-node-" .Values.name) (printf "%s-" $global.controlPlane) -}}
{{- concat $own (list "istio-cni-node-" "lateen-node-" "ztunnel-" "istiod-" "lateen-controlplane-") | uniq | join "," -}}
{{- end }}

{{- define "cni.selector" -}}
k8s-app: {{ .Values.name }}-node
{{- end }}

{{- define "cni.labels" -}}
{{- $global := include "cni.global" . | fromYaml -}}
app: istio-cni
istio.io/rev: {{ $global.revision | quote }}
operator.istio.io/component: Cni
app.kubernetes.io/name: istio-cni
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/part-of: lateen
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Paths of the host on each platform, and whether its runtime takes the plugin as one of a chain. */}}
{{- define "cni.paths" -}}
{{- $global := include "cni.global" . | fromYaml -}}
{{- $platform := $global.platform -}}
{{- if and (not $platform) (contains "-gke" .Capabilities.KubeVersion.GitVersion) }}{{ $platform = "gke" }}{{ end -}}
{{- $usual := dict "bin" "/opt/cni/bin" "conf" "/etc/cni/net.d" "netns" "/var/run/netns" "file" "" "chained" true -}}
{{- $of := dict
  "gke" (dict "bin" "/home/kubernetes/bin")
  "k3s" (dict "bin" "/var/lib/rancher/k3s/data/cni" "conf" "/var/lib/rancher/k3s/agent/etc/cni/net.d")
  "k3d" (dict "bin" "/bin" "conf" "/var/lib/rancher/k3s/agent/etc/cni/net.d")
  "microk8s" (dict "bin" "/var/snap/microk8s/current/opt/cni/bin" "conf" "/var/snap/microk8s/current/args/cni-network")
  "minikube" (dict "netns" "/var/run/docker/netns")
  "openshift" (dict "bin" "/var/lib/cni/bin" "conf" "/etc/cni/multus/net.d" "file" "istio-cni.conf" "chained" false)
-}}
{{- $paths := mergeOverwrite $usual (get $of ($platform | default "none") | default dict) -}}
bin: {{ .Values.cniBinDir | default $paths.bin }}
conf: {{ .Values.cniConfDir | default $paths.conf }}
netns: {{ .Values.cniNetnsDir | default $paths.netns }}
chained: {{ if kindIs "bool" .Values.chained }}{{ .Values.chained }}{{ else }}{{ $paths.chained }}{{ end }}
file: {{ .Values.cniConfFileName | default $paths.file | quote }}
platform: {{ $platform | quote }}
{{- end }}

{{- /* Variables that the chart sets, and what to set instead. A name that stood twice would count once, and nobody sees which. */}}
{{- define "cni.ownEnv" -}}
HOST_ROOT: it cannot be changed
INSTALL_PLUGIN: it cannot be changed
ALLOW_SWITCH_TO_HOST_NS: it cannot be changed
MEMBERSHIP: it cannot be changed
CHAINED_CNI_PLUGIN: set chained instead
CNI_CONF_NAME: set cniConfFileName instead
ISTIO_OWNED_CNI_CONFIG: set ownConfig.enabled instead
ISTIO_OWNED_CNI_CONFIG_FILENAME: set ownConfig.fileName instead
AMBIENT_DNS_CAPTURE: set dnsCapture instead
ADD_DEADLINE_SECONDS: set addDeadlineSeconds instead
UNENROLL_DRAIN_SECONDS: set unenrollDrainSeconds instead
DAEMONSET_NAME: set name instead
XDS_ADDRESS: set global.controlPlane instead
XDS_ROOT_CA: it cannot be changed
AUTH_TOKEN: it cannot be changed
CLUSTER_ID: set global.clusterName instead
NODE_NAME: it cannot be changed
POD_NAME: it cannot be changed
POD_NAMESPACE: it cannot be changed
{{- end }}

{{- define "cni.checkEnv" -}}
{{- $own := include "cni.ownEnv" . | fromYaml -}}
{{- range $name, $_ := .Values.env }}
{{- with get $own $name }}
{{- fail (printf "env.%s: the chart sets this variable itself; %s" $name .) }}
{{- end }}
{{- end }}
{{- end }}
