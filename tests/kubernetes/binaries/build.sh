#!/usr/bin/env bash
# Builds what the tests need of Kubernetes from Go modules, into a cache outside the tree that all
# checkouts share; what is there is not built again. Prints where each part is.
#
#   build.sh [PART...]         builds these parts, all if none is named
#   build.sh --where PART...   builds nothing and says where they are, or would be
#
# The parts:
#   kubernetes     etcd, API server, controller manager, scheduler, kubelet and kubectl; it is the
#                  directory KUBEBUILDER_ASSETS where that is set
#   cert-manager   the custom resource definitions that it ships
#   prometheus-operator   likewise
#   helm           Helm 3
#   prometheus     one with service discovery in Kubernetes, which Debian's is built without
#   load           tests/kubernetes/load
#
# Needs Go 1.26. The first time takes ten minutes on two cores and 4 GB of Go's own build cache.
set -euo pipefail
cd "$(dirname "$0")"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vitalsd
parts=(kubernetes cert-manager prometheus-operator helm prometheus load)
export CGO_ENABLED=0 GOWORK=off LC_ALL=C

# version MODULE FILE: which one a go.mod asks for.
version() { sed -En "s|^(require)?[[:space:]]*$1 v([^ ]+).*|\2|p" "$2"; }
kubernetes=$(version k8s.io/kubernetes kubernetes/go.mod)
etcd=$(version go.etcd.io/etcd/server/v3 etcd/go.mod)
cert_manager=$(version github.com/cert-manager/cert-manager cert-manager/go.mod)
prometheus_operator=$(version github.com/prometheus-operator/prometheus-operator \
  prometheus-operator/go.mod)
helm=$(version helm.sh/helm/v3 helm/go.mod)
prometheus=$(version github.com/prometheus/prometheus prometheus/go.mod)

# The version is what clients see at /version: without it, they take the server for an older one.
minor=${kubernetes#*.}
linked="-s -w"
for variable in "gitVersion=v$kubernetes" gitMajor=1 "gitMinor=${minor%%.*}"; do
  linked+=" -X k8s.io/component-base/version.$variable"
done

# place PART: its directory, another one after any change of what it is made from.
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
      echo "build.sh: no such part: $1 (there are ${parts[*]})" >&2
      exit 2
      ;;
  esac
  echo "$cache/$name-$(cat "${made_from[@]}" - <<<"$linked" | sha256sum | cut -c1-12)"
}

# definitions MODULE FOLDER PART DIRECTORY: the custom resource definitions that a module ships.
definitions() {
  # Named, as nothing imports it: "go mod download" alone would leave it out.
  (cd "$3" && go mod download "$1")
  cp "$(cd "$3" && go list -m -f '{{.Dir}}' "$1")/$2"/*.yaml "$4"
  chmod -R u+w "$4"
}

# make PART DIRECTORY
make() {
  case "$1" in
    kubernetes)
      # Two modules: Kubernetes and etcd's server want other versions of what both use.
      (cd etcd && go build -trimpath -ldflags "-s -w" -o "$2/etcd" go.etcd.io/etcd/server/v3)
      (cd kubernetes && go build -trimpath -ldflags "$linked" -o "$2/" tool)
      ;;
    cert-manager) definitions github.com/cert-manager/cert-manager deploy/crds "$@" ;;
    prometheus-operator)
      definitions github.com/prometheus-operator/prometheus-operator \
        example/prometheus-operator-crd "$@"
      ;;
    helm)
      # Which Kubernetes it takes charts to be for, where it is not told: else 1.20.
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
    command -v go >/dev/null || { echo "build.sh: needs Go 1.26 or newer" >&2; exit 3; }
    mkdir -p "$cache"
    # Another checkout may be building the same.
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
