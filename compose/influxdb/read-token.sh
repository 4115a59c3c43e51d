#!/bin/sh
# Run by InfluxDB's image once, when it has been set up: a token that may read the bucket and nothing else, for Grafana.
# InfluxDB chooses its tokens itself, so it is left where Grafana mounts it. What else lies there is for InfluxDB alone.
set -eu
umask 022
influx auth create --org "$DOCKER_INFLUXDB_INIT_ORG" --read-bucket "$DOCKER_INFLUXDB_INIT_BUCKET_ID" \
    --description grafana --hide-headers | cut -f 3 | tr -d '\n' > /etc/influxdb2/read.token
test -s /etc/influxdb2/read.token
chmod 600 "${INFLUX_CONFIGS_PATH:-/etc/influxdb2/influx-configs}"
