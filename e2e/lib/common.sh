# shellcheck shell=bash
# Names, messages, and processes that are ours. Sourced, never run.

E2E=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
RUN=${MATVERSE_E2E_RUN:-/var/tmp/matverse-e2e} # short: unix socket paths end at 107 bytes
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/matverse/e2e
CLUSTER=${CLUSTER:-host}

NODE=node1
NODE_IP=${MATVERSE_E2E_NODE_IP:-172.30.77.1}
LINK=mv-e2e0 # the bridge that carries NODE_IP
POD_BRIDGE=mv-pods0
POD_CIDR=10.244.0.0/16
SERVICE_CIDR=10.96.0.0/16
API_SERVICE_IP=10.96.0.1
DNS_IP=10.96.0.10

PKI=$RUN/pki
LOG=$RUN/log
PIDS=$RUN/pid
CONTAINERD_SOCK=$RUN/containerd.sock
API_URL=https://$NODE_IP:6443
PROMETHEUS_URL=http://$NODE_IP:9090
ADMIN=$PKI/admin.kubeconfig # of the host's cluster
KUBECONFIG_OUT=$RUN/kubeconfig

say() { printf '%s\n' "$*" >&2; }
die() { say "e2e: $*"; exit 1; }

# timed WHAT COMMAND…: run it and say how long it took.
timed() {
  local what=$1 began=${EPOCHREALTIME/./} ended
  shift
  "$@"
  ended=${EPOCHREALTIME/./}
  printf '  %-34s %6.1f s\n' "$what" "$(((ended - began) / 100000))e-1" >&2
}

# until_true SECONDS WHAT COMMAND…: try it ten times a second.
until_true() {
  local seconds=$1 what=$2 deadline
  shift 2
  deadline=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || { say "e2e: $what: not within $seconds s"; return 1; }
    sleep 0.1
  done
}

# with_lock: one command at a time changes the cluster. The lock lies beside
# the run folder, which `down --wipe` removes.
with_lock() {
  exec 9>"$RUN.lock"
  flock -n 9 || { say "waiting for another e2e command to end"; flock 9; }
  "$@"
}

# ---- processes -------------------------------------------------------------
# A file for each: pid, start time in ticks since boot, boot id. The three
# together name one process for ever; a pid alone is reused.

boot_id() { cat /proc/sys/kernel/random/boot_id; }

# Field 22 of stat, counted after the name, which may hold spaces. A zombie has
# ended once none of its threads is left: until then it still holds its ports.
start_time() {
  local pid=$1 stat threads
  stat=$(cat "/proc/$pid/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  # shellcheck disable=SC2086
  set -- $stat
  if [[ $1 == Z ]]; then
    threads=("/proc/$pid/task"/*)
    ((${#threads[@]} > 1)) || return 1
  fi
  echo "${20}"
}

# pid_of NAME: its pid when it runs and is the process we started.
pid_of() {
  local pid started boot
  read -r pid started boot 2>/dev/null <"$PIDS/$1" || return 1
  [[ $boot == "$(boot_id)" && $started == "$(start_time "$pid")" ]] || return 1
  echo "$pid"
}

# start NAME COMMAND…: as a session of its own, so that it outlives this shell
# and no terminal signal reaches it. It must not inherit the lock (fd 9).
start() {
  local name=$1 pid
  shift
  pid_of "$name" >/dev/null && return
  mkdir -p "$LOG" "$PIDS"
  setsid "$@" >>"$LOG/$name.log" 2>&1 </dev/null 9>&- &
  pid=$!
  echo "$pid $(start_time "$pid") $(boot_id)" >"$PIDS/$name"
}

# stop NAME…: ask, wait four seconds, insist (the API server would wait a minute
# for its watches to end).
stop() {
  local name pid
  for name; do
    pid=$(pid_of "$name") && kill "$pid" 2>/dev/null || true
  done
  for name; do
    for _ in {1..40}; do
      pid_of "$name" >/dev/null || break
      sleep 0.1
    done
    insist "$name"
    rm -f "$PIDS/$name"
  done
}

# insist NAME: it has ended when this returns.
insist() {
  local pid
  while pid=$(pid_of "$1"); do
    kill -9 "$pid" 2>/dev/null || true
    sleep 0.05
  done
}

kill_hard() {
  pid_of "$1" >/dev/null || die "$1 does not run"
  insist "$1"
}

k() { "$BIN/kubectl" --kubeconfig "$KUBECONFIG_OUT" "$@"; }
ctr_k8s() { ctr --address "$CONTAINERD_SOCK" --namespace k8s.io "$@"; }
