#!/bin/sh
# nginx and the watch that keeps its upstream: nginx.sh <agent's address> <service>
set -eu
agent=$1 service=$2
examples=/usr/share/doc/lictor/examples/nginx
upstream=/etc/nginx/upstreams/$service.conf
[ -s "$upstream" ] || echo "upstream $service { server 127.0.0.1:9 down; }" > "$upstream"
cp "$examples/nginx-upstream.conf" /etc/nginx/nginx.conf
ln -sf /dev/stdout /var/log/nginx/access.log
nginx
trap 'nginx -s quit; exit 0' TERM INT
while :; do
    consul watch -http-addr="$agent" -type=service -service="$service" -passingonly=true -shell=false \
        /usr/lib/lictor/nginx-upstream --file="$upstream" "$service" &
    wait $! || sleep 1
done
