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

{{- define "lateen.testPod" -}}
serviceAccountName: {{ . }}
automountServiceAccountToken: false
terminationGracePeriodSeconds: 1
securityContext:
  runAsNonRoot: true
  seccompProfile:
    type: RuntimeDefault
nodeSelector:
  kubernetes.io/os: linux
{{- end }}

{{- define "lateen.testContainer" -}}
image: {{ printf "%s/controlplane:%s" .Values.global.hub .Values.global.tag | quote }}
{{- with .Values.global.imagePullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
resources:
  requests:
    cpu: 10m
    memory: 16Mi
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  runAsUser: 1337
  runAsGroup: 1337
  capabilities:
    drop:
    - ALL
{{- end }}
