#!/usr/bin/env bash
# Demonstrates vitalsd on this machine. Installs missing packages and builds vitalsd. Then starts
# PostgreSQL, Redis, vitalsd and Prometheus with the documented rules in a scratch directory, on free
# ports of the loopback interface and as an unprivileged user, and creates a backup and a certificate.
# Prints the addresses and the results of the probes. Stops everything on Ctrl-C.
#
#   deploy/quickstart.sh          runs until Ctrl-C
#   deploy/quickstart.sh --once   prints and stops; exits with 0 only if every probe has succeeded
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

case "${1:-}" in
  "") once=false ;;
  --once) once=true ;;
  *) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# ---- build -----------------------------------------------------------------------------------------

runtime_packages=(curl openssl postgresql-15 prometheus redis-server util-linux)
if [ "$(id -u)" = 0 ]; then
  say "Installing missing packages"
  # Prevent the PostgreSQL package from creating a cluster, which is not needed.
  mkdir -p /etc/postgresql-common
  [ -e /etc/postgresql-common/createcluster.conf ] ||
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
  deploy/install-build-dependencies.sh "${runtime_packages[@]}"
fi
say "Building"
if command -v ccache >/dev/null; then . deploy/compiler-cache.sh; fi
cmake --preset release -DVITALSD_TESTS=OFF >/dev/null
cmake --build --preset release --target vitalsd
vitalsd=$root/build/release/vitalsd

# ---- the scratch directory and background processes -------------------------------------------------

scratch=$(mktemp -d "${TMPDIR:-/tmp}/vitalsd-quickstart.XXXXXX")
chmod 755 "$scratch"
if [ "$(id -u)" = 0 ]; then
  as=(setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME="$scratch")
  chown nobody:nogroup "$scratch"
else
  as=(env HOME="$scratch")
fi
pids=()
clean_up() {
  trap - EXIT
  [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
  [ ${#pids[@]} -eq 0 ] || wait "${pids[@]}" 2>/dev/null || true
  rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# start NAME COMMAND...: starts the command in the background as the unprivileged user. Writes its output
# to NAME.log.
start() {
  local name=$1
  shift
  "${as[@]}" "$@" >"$scratch/$name.log" 2>&1 &
  pids+=($!)
}

# await NAME COMMAND...: waits up to a minute until the command succeeds.
await() {
  local what=$1 end=$((SECONDS + 60))
  shift
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $end ]; then
      echo "$what did not start within 60 s. The end of its log:" >&2
      tail -n 20 "$scratch/$what.log" >&2 || true
      exit 1
    fi
    sleep 0.05
  done
}

free_port() {
  perl -MIO::Socket::INET -e \
    'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport'
}
secret() { head -c 18 /dev/urandom | base64 | tr '+/' '-_'; }

postgres_port=$(free_port)
redis_port=$(free_port)
vitalsd_port=$(free_port)
prometheus_port=$(free_port)
postgres_bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)

# ---- the targets -----------------------------------------------------------------------------------

say "Starting PostgreSQL, Redis and Prometheus"
umask 077
mkdir "$scratch/secrets" "$scratch/tls" "$scratch/backups" "$scratch/state"
secret >"$scratch/secrets/postgres"
secret >"$scratch/secrets/redis"

openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj "/CN=quickstart CA" \
  -keyout "$scratch/tls/ca.key" -out "$scratch/tls/ca.crt" 2>/dev/null
openssl req -newkey rsa:2048 -nodes -subj /CN=localhost \
  -keyout "$scratch/tls/server.key" -out "$scratch/tls/server.csr" 2>/dev/null
openssl x509 -req -in "$scratch/tls/server.csr" -CA "$scratch/tls/ca.crt" -CAkey "$scratch/tls/ca.key" \
  -CAcreateserial -days 90 -out "$scratch/tls/server.crt" \
  -extfile <(echo "subjectAltName=DNS:localhost,IP:127.0.0.1") 2>/dev/null

cat >"$scratch/redis.conf" <<END
bind 127.0.0.1
port $redis_port
save ""
dir $scratch
maxmemory 64mb
requirepass $(cat "$scratch/secrets/redis")
END
[ "$(id -u)" = 0 ] && chown -R nobody:nogroup "$scratch"
start redis redis-server "$scratch/redis.conf"

"${as[@]}" "$postgres_bin/initdb" -D "$scratch/postgres" -U postgres --auth-local=trust \
  --auth-host=scram-sha-256 -N >"$scratch/initdb.log"
start postgres "$postgres_bin/postgres" -D "$scratch/postgres" -c port="$postgres_port" \
  -c listen_addresses=127.0.0.1 -c unix_socket_directories="$scratch" -c ssl=on \
  -c ssl_cert_file="$scratch/tls/server.crt" -c ssl_key_file="$scratch/tls/server.key" -c fsync=off
psql=("${as[@]}" psql -X -q -h "$scratch" -p "$postgres_port" -U postgres)
await postgres "${psql[@]}" -c "SELECT 1"
"${psql[@]}" -c "CREATE ROLE monitor LOGIN PASSWORD '$(cat "$scratch/secrets/postgres")' IN ROLE pg_monitor" \
  -c "CREATE DATABASE vcci_production"
# A backup as a cron job creates it, two minutes old.
"${as[@]}" pg_dump -h "$scratch" -p "$postgres_port" -U postgres vcci_production |
  gzip >"$scratch/backups/vcci_production.sql.gz"
touch -d "2 minutes ago" "$scratch/backups/vcci_production.sql.gz"

mkdir "$scratch/prometheus"
cp deploy/prometheus/documented.yaml deploy/prometheus/vitalsd.yaml "$scratch/prometheus/"
sed -e '/^# Alertmanager/,/^$/d' -e "s/localhost:9747/127.0.0.1:$vitalsd_port/" \
  -e 's/\(scrape\|evaluation\)_interval: .*/\1_interval: 1s/' \
  deploy/prometheus/prometheus.yaml >"$scratch/prometheus/prometheus.yaml"
[ "$(id -u)" = 0 ] && chown -R nobody:nogroup "$scratch"
start prometheus prometheus --config.file="$scratch/prometheus/prometheus.yaml" \
  --storage.tsdb.path="$scratch/prometheus/data" --web.listen-address="127.0.0.1:$prometheus_port"
await prometheus curl -fs "http://127.0.0.1:$prometheus_port/-/ready"

# ---- vitalsd ---------------------------------------------------------------------------------------

cat >"$scratch/vitalsd.yaml" <<END
web: {listen: "127.0.0.1:$vitalsd_port"}
state: {directory: $scratch/state}
defaults: {interval: 5s, timeout: 2s}
probes:
  - name: main-db
    kind: postgres
    url: postgresql://monitor@localhost:$postgres_port/vcci_production
    tls: {ca: $scratch/tls/ca.crt}
    password: {file: $scratch/secrets/postgres}
  - {name: db-tls, kind: certificate, endpoint: "localhost:$postgres_port", starttls: postgres, tls: {ca: $scratch/tls/ca.crt}}
  - {name: files, kind: certificate, files: [$scratch/tls/*.crt]}
  - {name: cache, kind: redis, url: "redis://127.0.0.1:$redis_port", password: {file: $scratch/secrets/redis}}
  - {name: prometheus, kind: http, url: "http://127.0.0.1:$prometheus_port/-/ready", expect: {body: Ready}}
  - {name: cache-port, kind: tcp, endpoint: "127.0.0.1:$redis_port"}
  - {name: dumps, kind: backup, directory: $scratch/backups, pattern: "*.sql.gz", verify: gzip}
  - {name: disks, kind: filesystem, mounts: [/]}
END
[ "$(id -u)" = 0 ] && chown nobody:nogroup "$scratch/vitalsd.yaml"
start vitalsd "$vitalsd" --config "$scratch/vitalsd.yaml"
await vitalsd curl -fs "http://127.0.0.1:$vitalsd_port/-/ready"

query() {
  curl -fs "http://127.0.0.1:$prometheus_port/api/v1/query" --data-urlencode "query=$1"
}
scraped() { query 'up{job="vitalsd"} == 1 and on () up{job="postgres"} == 1' | grep -q '"value"'; }
await prometheus scraped

say "Results of vitalsd check"

"${as[@]}" "$vitalsd" check --config "$scratch/vitalsd.yaml" || true

say "Alerts in Prometheus"
firing=$(query 'ALERTS{alertstate="firing"}' | grep -o '"alertname":"[^"]*"' | sort | uniq -c || true)
echo "documented alerts firing: ${firing:-none}"
failed=$(curl -fs "http://127.0.0.1:$vitalsd_port/metrics" | grep -c '^probe_success{.*} 0$' || true)

say "Addresses"
cat <<END
status page   http://127.0.0.1:$vitalsd_port/
metrics       http://127.0.0.1:$vitalsd_port/metrics
Prometheus    http://127.0.0.1:$prometheus_port/alerts
configuration $scratch/vitalsd.yaml
try           kill -STOP ${pids[0]}    (Redis hangs)   kill -CONT ${pids[0]}
END

if $once; then
  [ "$failed" = 0 ]
  exit
fi
say "Press Ctrl-C to stop everything"
wait
