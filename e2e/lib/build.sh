# shellcheck shell=bash
# What the cluster is made of: Debian packages, Go programs, images.

GO_MODULES_KEY=$(cat "$E2E/go.mod" "$E2E/go.sum" "$E2E/lib/build.sh" | sha256sum | cut -c1-12)
OWN_KEY=$(cd "$E2E" && find go.mod go.sum cmd lib/build.sh -type f | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-12)
TOOLS=$CACHE/tools-$GO_MODULES_KEY/bin # Kubernetes and its like: minutes
OWN=$CACHE/own-$OWN_KEY                # what lies in cmd/: seconds
BIN=$TOOLS

# The version is stamped by the linker; without it clients see v0.0.0.
KUBERNETES_VERSION=v1.34.4
VERSION_FLAGS="-s -w \
 -X k8s.io/component-base/version.gitVersion=$KUBERNETES_VERSION \
 -X k8s.io/component-base/version.gitMajor=1 \
 -X k8s.io/component-base/version.gitMinor=34 \
 -X k8s.io/component-base/version.gitTreeState=clean"

SHOP_IMAGES=(v1:none v2:none v3-bad:slow-errors slow:slow errors:errors crash:crash burn:burn)

# PROGRAM:PACKAGE, for each kind of cluster.
tools() {
  echo kubectl:k8s.io/kubernetes/cmd/kubectl
  echo helm:helm.sh/helm/v3/cmd/helm
  echo kube-state-metrics:k8s.io/kube-state-metrics/v2
  [[ $CLUSTER == host ]] || return 0
  local name
  for name in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy; do
    echo "$name:k8s.io/kubernetes/cmd/$name"
  done
  echo etcd:go.etcd.io/etcd/server/v3
}

# PROGRAM:PACKAGE of the Debian programs that `up` calls.
debian_programs() {
  echo openssl:openssl
  echo prometheus:prometheus
  echo ip:iproute2
  [[ $CLUSTER == host ]] || return 0
  printf '%s\n' containerd:containerd runc:runc /usr/lib/cni/bridge:containernetworking-plugins \
    iptables:iptables conntrack:conntrack sysctl:procps mount:mount
}

install_packages() {
  local missing=() pair
  while read -r pair; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
  done < <(debian_programs)
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || die "missing: ${missing[*]} (and there is no apt-get to install them)"
  say "installing ${missing[*]}"
  # RUNLEVEL=1: a package's init script is not run, so that Debian's own
  # prometheus and containerd do not come up beside ours.
  {
    apt-get update -q
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "${missing[@]}"
  } >>"$LOG/apt.log" 2>&1 9>&- || die "apt-get failed, see $LOG/apt.log"
  if [[ -d /run/systemd/system ]]; then # systemd does not look at RUNLEVEL
    local unit
    for unit in prometheus containerd; do
      [[ " ${missing[*]} " != *" $unit "* ]] || systemctl disable --now "$unit" >>"$LOG/apt.log" 2>&1 || true
    done
  fi
}

build_tools() {
  local pair packages=() name missing=0
  while read -r pair; do
    [[ -x $TOOLS/${pair%%:*} ]] && continue
    missing=1
    packages+=("${pair#*:}")
  done < <(tools)
  ((missing)) || return 0
  command -v go >/dev/null || die "Go is missing: it builds the cluster's programs"
  say "building ${#packages[@]} programs, once: about 7 minutes on 2 cores, log in $LOG/build.log"
  mkdir -p "$TOOLS.part"
  go_build -ldflags "$VERSION_FLAGS" -o "$TOOLS.part/" "${packages[@]}" || die "build failed, see $LOG/build.log"
  # Go names a program after its package's folder.
  [[ ! -e $TOOLS.part/server ]] || mv "$TOOLS.part/server" "$TOOLS.part/etcd"
  mkdir -p "$TOOLS"
  for name in "$TOOLS.part"/*; do mv "$name" "$TOOLS/"; done
  rmdir "$TOOLS.part"
}

go_build() { (cd "$E2E" && CGO_ENABLED=0 go build -trimpath "$@") >>"$LOG/build.log" 2>&1 9>&-; }

# Our own programs and their images. The folder gets its name last, so that a
# build that was cut short is done again.
build_own() {
  [[ ! -d $OWN ]] || return 0
  local part=$OWN.part pair tag
  rm -rf "$part"
  mkdir -p "$part/bin" "$part/images"
  say "building the workload, its load and its images"
  go_build -ldflags "-s -w" -o "$part/bin/" ./cmd/pause ./cmd/coredns ./cmd/podsd ./cmd/load ./cmd/mkimage ||
    die "build failed, see $LOG/build.log"
  image() { # TAR REF PROGRAM
    "$part/bin/mkimage" -o "$part/images/$1.tar" -ref "$2" -entrypoint "/$(basename "$3")" "$3:/$(basename "$3")"
  }
  image pause localhost/pause:e2e "$part/bin/pause"
  image coredns localhost/coredns:e2e "$part/bin/coredns"
  for pair in "${SHOP_IMAGES[@]}"; do
    tag=${pair%%:*}
    go_build -ldflags "-s -w -X main.version=$tag -X main.fault=${pair#*:}" -o "$part/shop" ./cmd/shop ||
      die "build failed, see $LOG/build.log"
    image "shop-$tag" "localhost/shop:$tag" "$part/shop"
    rm "$part/shop"
  done
  mv "$part" "$OWN"
}

build() {
  mkdir -p "$LOG" "$CACHE"
  exec 8>"$CACHE/lock" # clusters with other run folders share the cache
  flock 8
  install_packages
  build_tools
  build_own
  exec 8>&-
}
