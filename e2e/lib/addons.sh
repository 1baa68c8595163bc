# shellcheck shell=bash
# What runs on top of a bare cluster: DNS, and the metrics of its objects.

start_kube-state-metrics() {
  start kube-state-metrics "$BIN/kube-state-metrics" --kubeconfig="$OBSERVER" \
    --host="$KSM_HOST" --port=8180 --telemetry-host="$KSM_HOST" --telemetry-port=8181 \
    --resources=deployments,horizontalpodautoscalers,namespaces,nodes,pods,replicasets
}

KSM_HOST=127.0.0.1
OBSERVER=$PKI/observer.kubeconfig

# Asks CoreDNS itself: the Deployment's status may be from before a `down`.
dns_ready() {
  if [[ $CLUSTER == kind ]]; then
    [[ $(k -n kube-system get deployment coredns --request-timeout=2s -o jsonpath='{.status.readyReplicas}') -ge 1 ]]
  else
    k get --raw /api/v1/namespaces/kube-system/services/kube-dns:ready/proxy/ready --request-timeout=2s
  fi
}

addons() {
  k apply -f "$E2E/manifests/observer.yaml" -f "$E2E/manifests/coredns.yaml" >/dev/null
  start_kube-state-metrics
  until_true 60 "default ServiceAccount" default_account
  until_true 60 "cluster DNS" dns_ready
}
