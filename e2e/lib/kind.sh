# shellcheck shell=bash
# The same contract on kind, where a container engine runs: a kubeconfig, the
# images, `load`, NodePorts 30080-30089 on 127.0.0.1. Kept thin.

KIND_NAME=matverse-e2e
KIND_IMAGE=${KIND_IMAGE:-kindest/node:v1.34.0}

kind_exists() { kind get clusters 2>/dev/null | grep -qx "$KIND_NAME"; }

kind_create() {
  local port
  {
    echo "{kind: Cluster, apiVersion: kind.x-k8s.io/v1alpha4, nodes: [{role: control-plane, extraPortMappings: ["
    for port in {30080..30089}; do echo "  {containerPort: $port, hostPort: $port, listenAddress: 127.0.0.1},"; done
    echo "]}]}"
  } >"$RUN/kind.yaml"
  kind create cluster --name "$KIND_NAME" --image "$KIND_IMAGE" --config "$RUN/kind.yaml" --wait 120s >&2 9>&-
}

load_image_kind() { kind load image-archive --name "$KIND_NAME" "$1" >&2; }

# The address of the host as pods of the kind network see it, and the kubelet's.
kind_addresses() {
  NODE_IP=$(docker network inspect kind -f '{{range .IPAM.Config}}{{println .Gateway}}{{end}}' | grep -m1 '\.')
  KUBELET_IP=$(docker inspect "$KIND_NAME-control-plane" -f '{{.NetworkSettings.Networks.kind.IPAddress}}')
  PROMETHEUS_URL=http://$NODE_IP:9090
}

# kind's own admin reads for Prometheus: its certificate lies in the kubeconfig.
kind_identity() {
  local field
  mkdir -p "$PKI"
  OBSERVER=$KUBECONFIG_OUT
  for field in client-certificate:crt client-key:key; do
    (
      umask 077
      k config view --raw -o jsonpath="{.users[0].user.${field%:*}-data}" | base64 -d >"$PKI/observer.${field#*:}"
    )
  done
}

kind_up() {
  local tar
  kind_exists || kind_create
  kind get kubeconfig --name "$KIND_NAME" >"$KUBECONFIG_OUT"
  chmod 600 "$KUBECONFIG_OUT"
  kind_addresses
  kind_identity
  for tar in "$OWN"/images/shop-*.tar; do load_image_kind "$tar"; done
  start_kube-state-metrics
  until_true 60 "default ServiceAccount" default_account
}

kind_down() {
  stop prometheus podsd kube-state-metrics
  ! kind_exists || kind delete cluster --name "$KIND_NAME" >&2
}
