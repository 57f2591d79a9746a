#!/bin/sh
# Controls this host's nginx: start, stop, reload (after a test), configtest.
root='@ROOT@'
nginx="$root/www/server/nginx/sbin/nginx"
set -- "${1:-}"

run() {
    "$nginx" -e "$root/www/server/nginx/logs/error.log" -p "$root/www/server/nginx/" \
        -c "$root/www/server/nginx/conf/nginx.conf" "$@"
}

case "$1" in
    start) run ;;
    stop) run -s quit ;;
    reload) run -t && run -s reload ;;
    configtest) run -t ;;
    *) echo "usage: $0 start|stop|reload|configtest"; exit 2 ;;
esac
