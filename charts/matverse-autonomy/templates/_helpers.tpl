{{- define "matverse.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Names of objects; short enough that "-keygen" and a namespace's Role still fit. */}}
{{- define "matverse.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains .Release.Name (include "matverse.name" .) }}
{{- include "matverse.name" . | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "matverse.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "matverse.selector" -}}
app.kubernetes.io/name: {{ include "matverse.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "matverse.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "matverse.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "matverse.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "matverse.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "matverse.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* Non-empty where the metrics can be reached from outside of the pod. */}}
{{- define "matverse.metricsExposed" -}}
{{- $bind := .Values.metrics.bind }}
{{- if not (or (hasPrefix "127." $bind) (hasPrefix "[::1]:" $bind)) }}yes{{ end }}
{{- end }}

{{- define "matverse.metricsPort" -}}{{ regexFind "[0-9]+$" .Values.metrics.bind }}{{- end }}
{{- define "matverse.healthPort" -}}{{ regexFind "[0-9]+$" .Values.health.bind }}{{- end }}

{{/* The file that `matverse run` reads. */}}
{{- define "matverse.config" -}}
{{- $ledger := dict
      "namespace" .Values.ledger.namespace
      "origin" .Values.ledger.origin
      "keyFile" (printf "/etc/matverse-key/%s" .Values.ledger.keySecretKey)
      "tailBytes" .Values.ledger.tailBytes
      "budgetBytes" .Values.ledger.budgetBytes }}
{{- if .Values.ledger.retiringKeySecret }}{{ $_ := set $ledger "retiringKeyFile" (printf "/etc/matverse-retiring-key/%s" .Values.ledger.keySecretKey) }}{{ end }}
{{- with .Values.ledger.succeeds }}{{ $_ := set $ledger "succeeds" . }}{{ end }}
{{- $config := dict
      "sources" .Values.sources
      "hpa" .Values.hpa
      "policies" .Values.policies.mode
      "actNamespaces" .Values.actNamespaces
      "watchNamespaces" .Values.watchNamespaces
      "concurrency" .Values.concurrency
      "ledger" $ledger
      "metrics" .Values.metrics
      "health" .Values.health }}
{{- if .Values.profiles }}{{ $_ := set $config "profiles" .Values.profiles }}{{ end }}
{{- if .Values.pools }}{{ $_ := set $config "pools" .Values.pools }}{{ end }}
{{- toYaml $config }}
{{- end }}

{{- define "matverse.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "matverse.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* What the operator may do where it only watches: read, answer in status, hold a finalizer, tell by events. */}}
{{- define "matverse.watchRules" -}}
- apiGroups: [matverse.io]
  resources: [matversescalings, omegagates]
  verbs: [get, list, watch, patch]
- apiGroups: [matverse.io]
  resources: [matversescalings/status, omegagates/status]
  verbs: [get, patch, update]
- apiGroups: [apps]
  resources: [deployments, replicasets]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [pods, configmaps]
  verbs: [get, list, watch]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch]
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [get, list, watch]
- apiGroups: [argoproj.io]
  resources: [rollouts]
  verbs: [get, list, watch]
- apiGroups: [flagger.app]
  resources: [canaries]
  verbs: [get, list, watch]
- apiGroups: [autoscaling.k8s.io]
  resources: [verticalpodautoscalers]
  verbs: [get, list, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* What it may do beside that where it acts. */}}
{{- define "matverse.actRules" -}}
- apiGroups: [apps]
  resources: [deployments]
  verbs: [patch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [patch, update]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [patch]
{{- end }}

{{/* Namespaces in which the right to act is granted one by one, as a JSON list; empty where it is granted everywhere. */}}
{{- define "matverse.actNamespaces" -}}
{{- $everywhere := has "*" .Values.actNamespaces }}
{{- $names := list }}
{{- if .Values.watchNamespaces }}
{{- range .Values.watchNamespaces }}
{{- if or $everywhere (has . $.Values.actNamespaces) }}{{ $names = append $names . }}{{ end }}
{{- end }}
{{- else if not $everywhere }}
{{- $names = .Values.actNamespaces }}
{{- end }}
{{- toJson $names }}
{{- end }}
