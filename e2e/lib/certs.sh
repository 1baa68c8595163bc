# shellcheck shell=bash
# The cluster's own certificate authority, one identity a component, and their
# kubeconfigs. Made once for a run folder; 30 days.

new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

# identity NAME SUBJECT [SAN]: a key and a certificate for both ends of TLS.
identity() {
  local name=$1 subject=$2 san=${3:-}
  new_key "$name.key"
  openssl req -new -key "$name.key" -subj "$subject" -out "$name.csr"
  openssl x509 -req -in "$name.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out "$name.crt" -extfile <(
    echo "keyUsage=digitalSignature,keyEncipherment"
    echo "extendedKeyUsage=clientAuth,serverAuth"
    [[ -z $san ]] || echo "subjectAltName=$san"
  ) 2>/dev/null
  rm "$name.csr"
}

kubeconfig() { # NAME: with everything embedded, so that the file may be copied
  cat >"$1.kubeconfig" <<Y
apiVersion: v1
kind: Config
clusters:
- name: matverse-e2e
  cluster: {server: "$API_URL", certificate-authority-data: $(base64 -w0 ca.crt)}
users:
- name: $1
  user: {client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 "$1.key")}
contexts:
- name: matverse-e2e
  context: {cluster: matverse-e2e, user: $1}
current-context: matverse-e2e
Y
}

# certs: all of them or none; made anew when the address is another one.
certs() {
  [[ $(cat "$PKI/complete" 2>/dev/null) != "$NODE_IP" ]] || return 0
  rm -rf "$PKI"
  mkdir -p "$PKI"
  chmod 700 "$PKI"
  (
    cd "$PKI"
    umask 077
    new_key ca.key
    openssl req -x509 -new -key ca.key -subj /CN=matverse-e2e-ca -days 30 -out ca.crt \
      -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature
    identity apiserver /CN=kube-apiserver "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$API_SERVICE_IP,IP:$NODE_IP"
    identity apiserver-kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
    identity admin /O=system:masters/CN=admin
    identity kube-controller-manager /CN=system:kube-controller-manager
    identity kube-scheduler /CN=system:kube-scheduler
    identity kubelet "/O=system:nodes/CN=system:node:$NODE" "DNS:$NODE,IP:$NODE_IP,IP:127.0.0.1"
    identity kube-proxy /CN=system:kube-proxy
    identity observer /CN=e2e:observer
    local name
    for name in admin kube-controller-manager kube-scheduler kubelet kube-proxy observer; do kubeconfig "$name"; done
    openssl genrsa -out service-account.key 2048 2>/dev/null
    openssl rsa -in service-account.key -pubout -out service-account.pub 2>/dev/null
    echo "$NODE_IP" >complete
  )
}
