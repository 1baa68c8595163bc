{{/* User names of the two identities that the policies tell apart. */}}
{{- define "matverse.operatorUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "matverse.serviceAccount" . }}
{{- end }}

{{- define "matverse.exporter" -}}{{ include "matverse.fullname" . }}-exporter{{- end }}

{{- define "matverse.exporterUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "matverse.exporter" . }}
{{- end }}

{{/*
Head of a policy and its binding: (dict "root" $ "name" "worm"). Policies and bindings are exempt from policies,
so the way out of each, for whoever may delete a binding, is to delete it.
*/}}
{{- define "matverse.policyBinding" }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ include "matverse.fullname" .root }}-{{ .name }}
  labels:
    {{- include "matverse.labels" .root | nindent 4 }}
spec:
  policyName: {{ include "matverse.fullname" .root }}-{{ .name }}
  validationActions: [Deny]
{{- end }}
