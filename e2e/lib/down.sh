# shellcheck shell=bash
# Takes the cluster away and leaves the machine as it was. Works on whatever a
# crash left behind: every step finds what is there by our own names and paths.
# The order matters: a container's task before its shim, a shim before its
# mounts, mounts before the network namespaces that they pin.

COMPONENTS=(etcd kube-apiserver kube-controller-manager kube-scheduler containerd kubelet kube-proxy kube-state-metrics)

end_containers() {
  [[ -S $CONTAINERD_SOCK ]] && pid_of containerd >/dev/null || return 0
  local id ids
  ids=$(ctr_k8s tasks ls -q 2>/dev/null) || return 0
  for id in $ids; do ctr_k8s tasks kill -s SIGKILL "$id" 2>/dev/null || true; done
  for id in $ids; do ctr_k8s tasks rm -f "$id" >/dev/null 2>&1 || true; done
  for id in $(ctr_k8s containers ls -q 2>/dev/null); do ctr_k8s containers rm "$id" 2>/dev/null || true; done
}

# A shim outlives its containerd. Ours carries our socket's path as an argument.
end_shims() {
  local dir args
  for dir in /proc/[0-9]*; do
    args=$(tr '\0' ' ' <"$dir/cmdline" 2>/dev/null) || continue
    [[ $args == *containerd-shim-runc-v2*"-address $CONTAINERD_SOCK "* ]] || continue
    end_children "${dir#/proc/}"
    kill -9 "${dir#/proc/}" 2>/dev/null || true
  done
}

# The container processes under a shim that nobody can ask any more.
end_children() {
  local child
  for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
    end_children "$child"
    kill -9 "$child" 2>/dev/null || true
  done
}

end_mounts() {
  local point
  while read -r point; do umount -l "$point" 2>/dev/null || true; done < <(
    awk -v root="$RUN/" 'index($5, root) == 1 {print $5}' /proc/self/mountinfo | sort -r
  )
}

end_network() {
  local name file
  # The namespaces of our pods: those that the address manager's files name.
  for name in $(find "$RUN/netns" /var/run/netns -maxdepth 1 -name 'cni-*' -printf '%f\n' 2>/dev/null); do
    if ip netns exec "$name" ip -4 -o addr 2>/dev/null | grep -q 'inet 10\.244\.0\.' ||
      ! ip netns exec "$name" true 2>/dev/null; then
      umount -l "/var/run/netns/$name" 2>/dev/null || true
      rm -f "/var/run/netns/$name"
    fi
  done
  ip link del "$POD_BRIDGE" 2>/dev/null || true
  ip link del "$LINK" 2>/dev/null || true
  rm -rf "$RUN/cni-ipam"
  for file in /var/lib/cni/results/pods-*; do [[ ! -e $file ]] || rm -f "$file"; done
}

# Chains of kube-proxy (KUBE-) and of the CNI plugins (CNI-), and the rules of
# the built-in chains that jump to them.
end_iptables() {
  command -v iptables >/dev/null || return 0
  local command table
  for command in iptables ip6tables; do
    for table in filter nat mangle; do
      "$command-save" -t "$table" 2>/dev/null | awk '
        BEGIN {print "*'"$table"'"}
        /^:(KUBE|CNI)-/ {sub(/^:/, "", $1); chains[$1]; print ":" $1 " - [0:0]"}
        /^-A (PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) .*-j (KUBE|CNI)-/ {sub(/^-A/, "-D"); print}
        END {for (c in chains) print "-X " c; print "COMMIT"}' |
        "$command-restore" --noflush 2>/dev/null || true
    done
  done
}

end_cgroups() {
  local dir
  for dir in /sys/fs/cgroup/kubepods /sys/fs/cgroup/*/kubepods; do
    [[ -d $dir ]] && find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
}

end_files() {
  find /var/log/containers -xtype l -delete 2>/dev/null || true
  find /var/log/containers -lname "$LOG/*" -delete 2>/dev/null || true
  rm -rf "$RUN/containerd-state" "$RUN/kubelet" "$CONTAINERD_SOCK" "$CONTAINERD_SOCK.ttrpc" "$RUN/gateway"
}

restore_sysctls() {
  local file
  for file in "$RUN"/sysctl/*; do
    [[ -e $file ]] || continue
    cat "$file" >"/proc/sys/$(basename "$file" | tr . /)" 2>/dev/null || true
    rm -f "$file"
  done
}

down() {
  stop envoy contour prometheus podsd kube-state-metrics kubelet kube-proxy
  end_containers
  stop containerd kube-scheduler kube-controller-manager kube-apiserver etcd
  end_shims
  end_mounts
  end_network
  end_iptables
  end_cgroups
  end_files
  restore_sysctls
  rm -f "$RUN/up" "$KUBECONFIG_OUT"
}

wipe() {
  end_mounts # a folder that still holds a mount must not be removed through it
  ! grep -q " $RUN/" /proc/self/mountinfo || die "something is still mounted below $RUN"
  rm -rf "${RUN:?}"
}
