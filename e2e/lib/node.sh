# shellcheck shell=bash
# The node: containerd, kubelet, kube-proxy on this host, real pods.

# sysctl KEY VALUE, remembering what it was so that `down` can put it back.
set_sysctl() {
  local file=/proc/sys/${1//.//}
  [[ -e $file ]] || return 0
  mkdir -p "$RUN/sysctl"
  [[ -e $RUN/sysctl/$1 ]] || cat "$file" >"$RUN/sysctl/$1"
  echo "$2" >"$file"
}

kernel_settings() {
  set_sysctl net.ipv4.ip_forward 1
  set_sysctl net.bridge.bridge-nf-call-iptables 1
  # kube-proxy sets this one, for NodePorts on 127.0.0.1, and never resets it.
  set_sysctl net.ipv4.conf.all.route_localnet 1
}

start_containerd() {
  mkdir -p "$RUN/cni"
  cat >"$RUN/cni/10-pods.conflist" <<J
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "$POD_BRIDGE", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$RUN/cni-ipam",
            "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
J
  # restrict_oom_score_adj: without CAP_SYS_RESOURCE no sandbox starts otherwise
  # ("can't get final child's PID from pipe: EOF").
  cat >"$RUN/containerd.toml" <<T
version = 2
root = "$RUN/containerd"
state = "$RUN/containerd-state"
[grpc]
  address = "$CONTAINERD_SOCK"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:e2e"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$RUN/cni"
T
  start containerd containerd --config "$RUN/containerd.toml"
}

start_kubelet() {
  # failCgroupV1: false — 1.34 is the last that runs on cgroup v1 unasked.
  # resolvConf: ""      — pods get the cluster's DNS alone.
  # evictionHard: bytes — a share of a large, well filled disk is gigabytes, below which no pod is started.
  cat >"$RUN/kubelet.yaml" <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $NODE_IP
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/kubelet.crt
tlsPrivateKeyFile: $PKI/kubelet.key
containerRuntimeEndpoint: unix://$CONTAINERD_SOCK
cgroupDriver: cgroupfs
failSwapOn: false
failCgroupV1: false
podLogsDir: $LOG/pods
volumePluginDir: $RUN/volume-plugins
clusterDomain: cluster.local
clusterDNS: [$DNS_IP]
resolvConf: ""
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 100Mi, imagefs.available: 100Mi, nodefs.inodesFree: 1%}
nodeStatusUpdateFrequency: 5s
syncFrequency: 10s
registerNode: true
maxPods: 200
makeIPTablesUtilChains: false
Y
  # Usage of containers is measured each second instead of each ten: what the
  # operator sees is then as fresh as the scrape. --containerd: cAdvisor looks for
  # the default socket otherwise, and its series carry no container.
  start kubelet "$BIN/kubelet" --config="$RUN/kubelet.yaml" --kubeconfig="$PKI/kubelet.kubeconfig" \
    --root-dir="$RUN/kubelet" --hostname-override="$NODE" --node-ip="$NODE_IP" --housekeeping-interval=1s --containerd="$CONTAINERD_SOCK"
}

start_kube-proxy() {
  cat >"$RUN/kube-proxy.yaml" <<Y
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {kubeconfig: $PKI/kube-proxy.kubeconfig}
clusterCIDR: $POD_CIDR
hostnameOverride: $NODE
nodePortAddresses: [127.0.0.0/8, $NODE_IP/32]
conntrack: {maxPerCore: 0}
iptables: {minSyncPeriod: 100ms, syncPeriod: 30s}
bindAddress: $NODE_IP
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
Y
  start kube-proxy "$BIN/kube-proxy" --config="$RUN/kube-proxy.yaml"
}

load_image() { ctr_k8s images import "$1" >/dev/null; }

# Images that this containerd does not have yet, by the cache's key.
load_own_images() {
  [[ $(cat "$RUN/images" 2>/dev/null) != "$OWN" ]] || return 0
  local tar
  for tar in "$OWN"/images/*.tar; do load_image "$tar"; done
  echo "$OWN" >"$RUN/images"
}

# Ready, said by the kubelet that runs now: its predecessor's word stays in the
# API for 40 seconds, and over a `down` for ever.
node_ready() {
  local ready beat
  read -r ready beat < <(k get node "$NODE" --request-timeout=2s -o \
    jsonpath='{range .status.conditions[?(@.type=="Ready")]}{.status} {.lastHeartbeatTime}{end}{"\n"}') || return 1
  [[ $ready == True && $(date -d "$beat" +%s) -ge $(stat -c %Y "$PIDS/kubelet") ]]
}

# containerd answers before it has read what it kept, and a kubelet that asks in between ends: it is started again, as a
# service manager would.
kubelet_ready() {
  start_kubelet
  node_ready
}

node() {
  kernel_settings
  start_containerd
  until_true 30 "containerd (see $LOG/containerd.log)" ctr_k8s version
  load_own_images
  start_kube-proxy
  until_true 60 "node ready (see $LOG/kubelet.log)" kubelet_ready
}
