//! The manifests that scenarios apply.

/// A small Deployment of the shop image with its Service; `port` 0 = no `NodePort`.
pub fn shop(name: &str, image: &str, replicas: u32, port: u16) -> String {
    let node_port = if port == 0 { String::new() } else { format!(", nodePort: {port}") };
    let kind = if port == 0 { "ClusterIP" } else { "NodePort" };
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  progressDeadlineSeconds: 60
  selector: {{matchLabels: {{app: {name}}}}}
  strategy: {{rollingUpdate: {{maxSurge: 1, maxUnavailable: 0}}}}
  template:
    metadata:
      labels: {{app: {name}}}
      annotations: {{prometheus.io/scrape: "true", prometheus.io/port: "8080"}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
      - name: shop
        image: localhost/shop:{image}
        imagePullPolicy: IfNotPresent
        env: [{{name: STARTUP_SECONDS, value: "2"}}, {{name: DRAIN_SECONDS, value: "1"}}, {{name: CPU_MS, value: "1"}}]
        ports: [{{containerPort: 8080}}]
        readinessProbe: {{httpGet: {{path: /readyz, port: 8080}}, periodSeconds: 1}}
        resources: {{requests: {{cpu: 50m, memory: 32Mi}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{type: {kind}, selector: {{app: {name}}}, ports: [{{port: 80, targetPort: 8080{node_port}}}]}}
"#
    )
}

/// A scaling resource of `target` with further lines of spec.
pub fn mvs(name: &str, target: &str, more: &str) -> String {
    format!(
        "apiVersion: matverse.io/v1alpha1\nkind: MatVerseScaling\nmetadata: {{name: {name}}}\nspec:\n  \
         targetRef: {{name: {target}}}\n  profile: demo\n  intervalSeconds: 2\n  enforcement: Act\n{more}\n"
    )
}
