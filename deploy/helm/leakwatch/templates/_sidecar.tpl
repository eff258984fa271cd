{{- /*
For other charts that declare this chart as a dependency:

  initContainers:
    {{- include "leakwatch.sidecar" .Subcharts.leakwatch | nindent 8 }}
  volumes:
    {{- include "leakwatch.sidecar.volumes" .Subcharts.leakwatch | nindent 8 }}

and for the labels of the pod: {{- include "leakwatch.sidecar.labels" .Subcharts.leakwatch | nindent 8 }}
*/}}
{{- define "leakwatch.sidecar" -}}
- name: leakwatch
  image: {{ include "leakwatch.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  {{- if .Values.sidecar.native }}
  restartPolicy: Always
  {{- end }}
  args:
    - run
    - --target=$(SERVICE)={{ .Values.sidecar.target }}
    - --listen=0.0.0.0:9979
    {{- with .Values.sidecar.extraArgs }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  env:
    - name: SERVICE
      {{- if .Values.sidecar.service }}
      value: {{ .Values.sidecar.service | quote }}
      {{- else }}
      valueFrom:
        fieldRef: {fieldPath: "metadata.labels['app.kubernetes.io/name']"}
      {{- end }}
  ports:
    - {name: leakwatch, containerPort: 9979, protocol: TCP}
  # No readiness probe and no startup probe, because leakwatch must not delay the service.
  livenessProbe:
    httpGet: {path: /-/healthy, port: leakwatch}
    periodSeconds: 30
    timeoutSeconds: 5
    failureThreshold: 4
  resources:
    {{- toYaml .Values.sidecar.resources | nindent 4 }}
  securityContext:
    {{- include "leakwatch.containerSecurityContext" . | nindent 4 }}
  volumeMounts:
    - {name: leakwatch-data, mountPath: /data}
{{- end }}

{{- define "leakwatch.sidecar.volumes" -}}
- name: leakwatch-data
  emptyDir: {sizeLimit: 320Mi}
{{- end }}

{{- define "leakwatch.sidecar.labels" -}}
leakwatch.io/sidecar: "true"
{{- end }}
