{{- define "leakwatch.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "leakwatch.fullname" -}}
{{- $name := include "leakwatch.name" . -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}
{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "leakwatch.selectorLabels" -}}
app.kubernetes.io/name: {{ include "leakwatch.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "leakwatch.labels" -}}
{{ include "leakwatch.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: leakwatch
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "leakwatch.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "leakwatch.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "leakwatch.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end }}

{{- define "leakwatch.scheme" -}}
{{- if and .Values.web.configSecret.name .Values.web.configSecret.tls }}https{{ else }}http{{ end -}}
{{- end }}

{{- /* Path of the pages at a host of the Ingress; parameters: root, host. */}}
{{- define "leakwatch.ingressPath" -}}
{{ .host.path | default .root.Values.web.routePrefix | default "/" }}
{{- end }}

{{- /* URL of the pages for links in alerts: web.externalUrl, else the first host of the Ingress. With several shards, the host
differs between the pods, which have the same arguments. */}}
{{- define "leakwatch.externalUrl" -}}
{{- if .Values.web.externalUrl -}}
{{ .Values.web.externalUrl }}
{{- else if and .Values.ingress.enabled (eq (int .Values.shards) 1) -}}
{{- $host := first .Values.ingress.hosts -}}
{{- if not (hasPrefix "*" $host.host) -}}
{{ ternary "https" "http" (not (empty .Values.ingress.tls)) }}://{{ $host.host }}{{ include "leakwatch.ingressPath" (dict "root" . "host" $host) | trimSuffix "/" }}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* Security context of a leakwatch container, as required by the Pod Security Standard "restricted". */}}
{{- define "leakwatch.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
capabilities: {drop: [ALL]}
{{- end }}

{{- define "leakwatch.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- /* A probe; parameters: root, path. With a password or client certificates it only checks that the port is open. */}}
{{- define "leakwatch.probe" -}}
{{- if .root.Values.web.configSecret.name -}}
tcpSocket: {port: web}
{{- else -}}
httpGet: {path: {{ printf "%s%s" .root.Values.web.routePrefix .path }}, port: web}
{{- end -}}
{{- end }}

{{- /* leakwatch.yml: discovery by annotations, scrapeConfigs, and the keys of config. */}}
{{- define "leakwatch.config" -}}
{{- if hasKey .Values.config "scrape_configs" -}}
{{- fail "config.scrape_configs: write jobs in scrapeConfigs; discovery.enabled=false removes the job for annotated pods" -}}
{{- end -}}
{{- if hasKey .Values.config "web" -}}
{{- fail "config.web: use the values web.externalUrl, web.routePrefix and web.allowedHosts of the chart" -}}
{{- end -}}
{{- $jobs := list -}}
{{- if .Values.discovery.enabled -}}
{{- $job := first (.Files.Get "files/leakwatch.yml" | fromYaml).scrape_configs -}}
{{- with .Values.discovery.namespaces -}}
{{- $_ := set (first $job.kubernetes_sd_configs) "namespaces" (dict "names" .) -}}
{{- end -}}
{{- if .Values.discovery.prometheusAnnotations -}}
{{- $rule := dict "target_label" "__tmp_prometheus_io" "replacement" "true" -}}
{{- $_ := set $job "relabel_configs" (prepend $job.relabel_configs $rule) -}}
{{- end -}}
{{- $jobs = append $jobs $job -}}
{{- end -}}
{{- $jobs = concat $jobs .Values.scrapeConfigs -}}
{{- if not $jobs -}}
{{- fail "nothing to watch: discovery.enabled is false and scrapeConfigs is empty" -}}
{{- end -}}
{{ merge (dict "scrape_configs" $jobs) .Values.config | toYaml }}
{{- end }}

{{- /* An endpoint of a monitor; parameters: monitor (its values), port, path, scheme. */}}
{{- define "leakwatch.endpoint" -}}
- port: {{ .port }}
  path: {{ .path }}
  {{- if ne .scheme "http" }}
  scheme: {{ .scheme }}
  {{- end }}
  # leakwatch sets the label `service` to the leaking service. A label from the Operator must not replace it.
  honorLabels: true
  {{- with .monitor.interval }}
  interval: {{ . }}
  {{- end }}
  {{- with .monitor.endpoint }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
