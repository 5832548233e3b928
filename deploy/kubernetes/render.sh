#!/usr/bin/env bash
# render.sh [VALUES...]: prints the chart's objects as plain manifests, for `kubectl apply --filename`
# without Helm; vitalsd.yaml beside it is what it prints with the default values. Values are Helm's
# options, as --values=my-values.yaml. Needs Helm (HELM says which).
set -euo pipefail
cd -P "$(dirname "$0")"
cat <<'END'
# Rendered from the chart by render.sh; for other values, render it anew.
apiVersion: v1
kind: Namespace
metadata:
  name: vitalsd
END
"${HELM:-helm}" template vitalsd chart --namespace=vitalsd "$@"
