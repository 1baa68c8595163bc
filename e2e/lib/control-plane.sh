# shellcheck shell=bash
# etcd, API server, controller manager, scheduler: processes of this host.

ETCD_URL=http://127.0.0.1:12379

# A bridge of our own carries the cluster's address: the machine's interfaces
# may change or vanish, and nothing of the cluster is reachable from outside.
make_link() {
  ip link show "$LINK" >/dev/null 2>&1 || ip link add "$LINK" type bridge
  ip addr replace "$NODE_IP/24" dev "$LINK"
  ip link set "$LINK" up
}

start_etcd() {
  start etcd "$BIN/etcd" --name e2e --data-dir "$RUN/etcd" --log-level warn \
    --listen-client-urls "$ETCD_URL" --advertise-client-urls "$ETCD_URL" \
    --listen-peer-urls http://127.0.0.1:12380 --initial-advertise-peer-urls http://127.0.0.1:12380 \
    --initial-cluster e2e=http://127.0.0.1:12380
}

# Who wrote what, for tests that count an identity's requests. The cluster's own
# chatter is left out.
audit_policy() {
  cat >"$RUN/audit.yaml" <<'Y'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, userGroups: ["system:nodes"]}
- {level: None, users: ["system:apiserver", "system:kube-scheduler", "system:kube-proxy", "e2e:observer"]}
- {level: None, users: ["system:kube-controller-manager"], verbs: [get, list, watch]}
- {level: None, nonResourceURLs: ["/readyz*", "/livez*", "/healthz*", "/openapi*", "/version"]}
- {level: Metadata}
Y
}

start_kube-apiserver() {
  audit_policy
  start kube-apiserver "$BIN/kube-apiserver" --etcd-servers="$ETCD_URL" \
    --bind-address="$NODE_IP" --secure-port=6443 --advertise-address="$NODE_IP" \
    --endpoint-reconciler-type=lease --service-cluster-ip-range="$SERVICE_CIDR" \
    --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" --client-ca-file="$PKI/ca.crt" \
    --kubelet-client-certificate="$PKI/apiserver-kubelet-client.crt" --kubelet-client-key="$PKI/apiserver-kubelet-client.key" \
    --kubelet-certificate-authority="$PKI/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
    --service-account-issuer=https://kubernetes.default.svc \
    --service-account-signing-key-file="$PKI/service-account.key" --service-account-key-file="$PKI/service-account.pub" \
    --audit-policy-file="$RUN/audit.yaml" --audit-log-path="$LOG/audit.log" --audit-log-maxsize=200 --audit-log-maxbackup=2 \
    --shutdown-delay-duration=0s
}

start_kube-controller-manager() {
  local config=$PKI/kube-controller-manager.kubeconfig
  start kube-controller-manager "$BIN/kube-controller-manager" --kubeconfig="$config" \
    --authentication-kubeconfig="$config" --authorization-kubeconfig="$config" \
    --service-account-private-key-file="$PKI/service-account.key" --root-ca-file="$PKI/ca.crt" \
    --use-service-account-credentials=true --bind-address=127.0.0.1 --leader-elect=false \
    --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" \
    --allocate-node-cidrs=true --cluster-cidr="$POD_CIDR" --kube-api-qps=200 --kube-api-burst=400
}

start_kube-scheduler() {
  local config=$PKI/kube-scheduler.kubeconfig
  start kube-scheduler "$BIN/kube-scheduler" --kubeconfig="$config" \
    --authentication-kubeconfig="$config" --authorization-kubeconfig="$config" \
    --bind-address=127.0.0.1 --leader-elect=false
}

api_ready() { k get --raw /readyz --request-timeout=2s; }
default_account() { k -n default get serviceaccount default --request-timeout=2s; }

control_plane() {
  make_link
  start_etcd
  start_kube-apiserver
  install -m 600 "$ADMIN" "$KUBECONFIG_OUT"
  until_true 90 "API server ready (see $LOG/kube-apiserver.log)" api_ready
  start_kube-controller-manager
  start_kube-scheduler
}
