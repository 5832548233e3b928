#!/usr/bin/env bash
# render.sh [OPTION...]: prints the chart's objects as plain manifests for `kubectl apply --filename`.
# vitalsd.yaml in this directory is the output for the default values. OPTION is an option of Helm, for
# example --values=my-values.yaml. Needs Helm; HELM is the path of the binary.
set -euo pipefail
cd -P "$(dirname "$0")"
cat <<'END'
# Generated from the chart by render.sh. Run it again for other values.
apiVersion: v1
kind: Namespace
metadata:
  name: vitalsd
END
"${HELM:-helm}" template vitalsd chart --namespace=vitalsd "$@"
