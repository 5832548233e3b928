#!/usr/bin/env bash
# Installs the missing Debian packages that the tests need: the sanitizers and the real servers.
# Debian 12, as root. The packages do not start services, because the tests start the servers themselves.
set -euo pipefail

packages=(
  buildah busybox-static containerd containernetworking-plugins debootstrap fish iproute2
  libclang-rt-19-dev lintian memcached nginx-light openssl pgbouncer postgresql-15 prometheus
  prometheus-alertmanager prometheus-blackbox-exporter prometheus-node-exporter
  prometheus-postgres-exporter prometheus-pushgateway prometheus-redis-exporter python3
  python3-cryptography python3-dnspython python3-pika python3-pip python3-prometheus-client python3-psycopg2
  python3-pytest python3-pytest-timeout python3-pytest-xdist python3-swift python3-yaml
  rabbitmq-server redis-server runc swift-account swift-container swift-object swift-proxy systemd
  valgrind zsh
)
"$(dirname "$0")/../deploy/install-packages.sh" "${packages[@]}" "$@"
