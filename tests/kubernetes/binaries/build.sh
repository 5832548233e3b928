#!/usr/bin/env bash
# Builds the Kubernetes programs that the tests need from Go modules, in a cache outside the tree that all
# checkouts share. Existing parts are not built again. Prints the directory of each part.
#
#   build.sh [PART...]         builds these parts, or all parts
#   build.sh --where PART...   prints the directories of these parts without building them
#
# The parts:
#   kubernetes     etcd, API server, controller manager, scheduler, kubelet and kubectl; if
#                  KUBEBUILDER_ASSETS is set, that directory
#   cert-manager   the custom resource definitions of cert-manager
#   prometheus-operator   the custom resource definitions of prometheus-operator
#   helm           Helm 3
#   prometheus     Prometheus with service discovery in Kubernetes, which Debian's package lacks
#   load           tests/kubernetes/load
#
# Needs Go 1.26. The first time takes ten minutes on two cores and 4 GB of Go's own build cache.
set -euo pipefail
cd "$(dirname "$0")"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vitalsd
parts=(kubernetes cert-manager prometheus-operator helm prometheus load)
export CGO_ENABLED=0 GOWORK=off LC_ALL=C

# version MODULE FILE: prints the version of the module that a go.mod requires.
version() { sed -En "s|^(require)?[[:space:]]*$1 v([^ ]+).*|\2|p" "$2"; }
kubernetes=$(version k8s.io/kubernetes kubernetes/go.mod)
etcd=$(version go.etcd.io/etcd/server/v3 etcd/go.mod)
cert_manager=$(version github.com/cert-manager/cert-manager cert-manager/go.mod)
prometheus_operator=$(version github.com/prometheus-operator/prometheus-operator \
  prometheus-operator/go.mod)
helm=$(version helm.sh/helm/v3 helm/go.mod)
prometheus=$(version github.com/prometheus/prometheus prometheus/go.mod)

# Clients read the version at /version. Without it they treat the server as an older version.
minor=${kubernetes#*.}
linked="-s -w"
for variable in "gitVersion=v$kubernetes" gitMajor=1 "gitMinor=${minor%%.*}"; do
  linked+=" -X k8s.io/component-base/version.$variable"
done

# place PART: prints the directory of the part. A change of the part's sources changes the directory.
place() {
  local name made_from
  case "$1" in
    kubernetes)
      if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
        echo "$KUBEBUILDER_ASSETS"
        return
      fi
      name=kubernetes-$kubernetes-etcd-$etcd
      made_from=(etcd/go.mod etcd/go.sum kubernetes/go.mod kubernetes/go.sum)
      ;;
    cert-manager)
      name=cert-manager-$cert_manager
      made_from=(cert-manager/go.mod cert-manager/go.sum)
      ;;
    prometheus-operator)
      name=prometheus-operator-$prometheus_operator
      made_from=(prometheus-operator/go.mod prometheus-operator/go.sum)
      ;;
    helm)
      name=helm-$helm
      made_from=(helm/go.mod helm/go.sum)
      ;;
    prometheus)
      name=prometheus-$prometheus
      made_from=(prometheus/go.mod prometheus/go.sum)
      ;;
    load)
      name=kubernetes-load
      made_from=(../load/go.mod ../load/go.sum ../load/*.go)
      ;;
    *)
      echo "build.sh: unknown part: $1 (must be one of ${parts[*]})" >&2
      exit 2
      ;;
  esac
  echo "$cache/$name-$(cat "${made_from[@]}" - <<<"$linked" | sha256sum | cut -c1-12)"
}

# definitions MODULE FOLDER PART DIRECTORY: copies the custom resource definitions of a module.
definitions() {
  # Name the module, because "go mod download" alone skips a module that no package imports.
  (cd "$3" && go mod download "$1")
  cp "$(cd "$3" && go list -m -f '{{.Dir}}' "$1")/$2"/*.yaml "$4"
  chmod -R u+w "$4"
}

# make PART DIRECTORY
make() {
  case "$1" in
    kubernetes)
      # Two modules, because Kubernetes and etcd's server need different versions of common modules.
      (cd etcd && go build -trimpath -ldflags "-s -w" -o "$2/etcd" go.etcd.io/etcd/server/v3)
      (cd kubernetes && go build -trimpath -ldflags "$linked" -o "$2/" tool)
      ;;
    cert-manager) definitions github.com/cert-manager/cert-manager deploy/crds "$@" ;;
    prometheus-operator)
      definitions github.com/prometheus-operator/prometheus-operator \
        example/prometheus-operator-crd "$@"
      ;;
    helm)
      # The default Kubernetes version for charts. Otherwise it is 1.20.
      local chartutil=helm.sh/helm/v3/pkg/chartutil
      (cd helm && go build -trimpath -o "$2/" -ldflags \
        "-s -w -X $chartutil.k8sVersionMajor=1 -X $chartutil.k8sVersionMinor=${minor%%.*}" tool)
      ;;
    prometheus)
      (cd prometheus && go build -trimpath -ldflags "-s -w" -o "$2/" \
        -tags remove_all_sd,enable_kubernetes_sd tool)
      ;;
    load)
      (cd ../load && go build -trimpath -ldflags "-s -w" -o "$2/load" .)
      ;;
  esac
}

if [ "${1:-}" = --where ]; then
  shift
  for part in "$@"; do place "$part"; done
  exit
fi
for part in "${@:-${parts[@]}}"; do
  directory=$(place "$part")
  if [ ! -d "$directory" ]; then
    command -v go >/dev/null || { echo "build.sh: go not found: install Go 1.26 or newer" >&2; exit 3; }
    mkdir -p "$cache"
    # Another checkout may build the same part.
    exec 9>"$cache/.build-$part.lock"
    flock 9
    if [ ! -d "$directory" ]; then
      building=$(mktemp -d "$cache/.building-$part.XXXXXX")
      trap 'rm -rf "$building"' EXIT
      make "$part" "$building" >&2
      chmod 755 "$building"
      mv -T "$building" "$directory"
    fi
    exec 9>&-
  fi
  echo "$directory"
done
