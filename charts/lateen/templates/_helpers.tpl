{{- define "lateen.labels" -}}
app.kubernetes.io/name: lateen-unenroll
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/part-of: lateen
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

{{- define "lateen.unenrollHook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{- define "lateen.testLabels" -}}
app.kubernetes.io/name: lateen-test
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/part-of: lateen
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

{{- define "lateen.testHook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{- /* Hooks run the control plane's program: from where it comes, and on nodes on which it may run. */}}
{{- define "lateen.hookPod" -}}
securityContext:
  runAsNonRoot: true
  seccompProfile:
    type: RuntimeDefault
nodeSelector:
  {{- mergeOverwrite (dict "kubernetes.io/os" "linux") (.Values.controlplane.nodeSelector | default dict) | toYaml | nindent 2 }}
{{- end }}

{{- define "lateen.hookContainer" -}}
{{- $of := .Values.controlplane -}}
{{- $name := printf "%s/%s" ($of.hub | default .Values.global.hub) ($of.image | default "controlplane") -}}
{{- $version := $of.digest | empty | ternary (printf ":%s" ($of.tag | default .Values.global.tag)) (printf "@%s" $of.digest) -}}
image: {{ printf "%s%s" $name $version | quote }}
{{- with $of.imagePullPolicy | default .Values.global.imagePullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  {{- /* OpenShift gives each namespace users of its own, and refuses pods that name another. */}}
  {{- if ne .Values.global.platform "openshift" }}
  runAsUser: 1337
  runAsGroup: 1337
  {{- end }}
  capabilities:
    drop:
    - ALL
{{- end }}

{{- /* Takes the root context and the name of an account. */}}
{{- define "lateen.testPod" -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: false
terminationGracePeriodSeconds: 1
{{- with .root.Values.controlplane.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{ include "lateen.hookPod" .root }}
{{- end }}

{{- define "lateen.testContainer" -}}
{{ include "lateen.hookContainer" . }}
resources:
  requests:
    cpu: 10m
    memory: 16Mi
{{- end }}
