#!/usr/bin/env bash
# Package: nginx, apache2, varnish, caddy (Debian 12)
# Version: 1.22.1-9+deb12u11, 2.4.71-1~deb12u1, 7.1.1-2+deb12u1, 2.6.2-5; HAProxy 2.6.12-1+deb12u4 beside them; curl 7.88.1
# Behaviour: a response with `Cache-Control: no-transform` is compressed all the same, so that a server cannot keep a
#   proxy from holding its events back in a compressor. HAProxy lets it be.
# Standard: RFC 9111, section 5.2.2.6: "The no-transform response directive indicates that an intermediary (regardless of
#   whether it implements a cache) MUST NOT transform the content, as defined in Section 7.7 of [HTTP]."
# Seen:
#   directly: plain
#   nginx: gzip
#   apache: gzip
#   varnish: gzip
#   caddy: gzip
#   haproxy: plain
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
cat >server.py <<'PY'
import http.server

EVENT = b"data: " + b"x" * 2000 + b"\n\n"

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("cache-control", "no-transform")
        self.send_header("content-length", str(len(EVENT)))
        self.end_headers()
        self.wfile.write(EVENT)

    def log_message(self, *words):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
PY
python3 server.py >port &
until [[ -s port ]]; do sleep 0.1; done
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
is_up() { timeout 20 bash -c "until (exec 3<>/dev/tcp/127.0.0.1/$1) 2>/dev/null; do sleep 0.2; done"; }
server=127.0.0.1:$(cat port)
chmod 755 "$folder"
export HOME=$folder
nginx=$(free)
cat >nginx.conf <<CFG
daemon off;
pid $folder/nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path $folder/1;
    proxy_temp_path $folder/2;
    fastcgi_temp_path $folder/3;
    uwsgi_temp_path $folder/4;
    scgi_temp_path $folder/5;
    gzip on;
    gzip_proxied any;
    gzip_types text/event-stream;
    server {
        listen 127.0.0.1:$nginx;
        location / { proxy_pass http://$server; }
    }
}
CFG
nginx -e "$folder/nginx.log" -c "$folder/nginx.conf" 2>/dev/null &
apache=$(free)
modules=/usr/lib/apache2/modules
cat >apache.conf <<CFG
ServerRoot $folder
ServerName localhost
PidFile $folder/apache.pid
ErrorLog $folder/apache.log
DefaultRuntimeDir $folder
User www-data
Group www-data
LoadModule mpm_event_module $modules/mod_mpm_event.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule proxy_module $modules/mod_proxy.so
LoadModule proxy_http_module $modules/mod_proxy_http.so
LoadModule filter_module $modules/mod_filter.so
LoadModule deflate_module $modules/mod_deflate.so
Listen 127.0.0.1:$apache
SetOutputFilter DEFLATE
ProxyPass "/" "http://$server/"
CFG
apache2 -D FOREGROUND -f "$folder/apache.conf" >/dev/null 2>&1 &
varnish=$(free)
cat >default.vcl <<VCL
vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "$(cat port)"; }
sub vcl_backend_response { set beresp.do_gzip = true; }
VCL
varnishd -F -n "$folder/v" -f "$folder/default.vcl" -a "127.0.0.1:$varnish" -s malloc,16m >/dev/null 2>&1 &
caddy=$(free)
cat >Caddyfile <<CADDY
{
	admin off
}
http://localhost:$caddy {
	bind 127.0.0.1
	encode gzip
	reverse_proxy $server
}
CADDY
caddy run --adapter caddyfile --config Caddyfile >/dev/null 2>&1 &
haproxy=$(free)
cat >haproxy.cfg <<CFG
defaults
    mode http
    timeout connect 5s
    timeout client 50s
    timeout server 50s
frontend web
    bind 127.0.0.1:$haproxy
    default_backend one
backend one
    compression algo gzip
    server one $server
CFG
haproxy -db -f haproxy.cfg >/dev/null 2>&1 &
ask() {
  is_up "$2"
  local head
  head=$(timeout 20 curl -s4 -o /dev/null -D - -H "accept-encoding: gzip" "http://localhost:$2/")
  grep -qi "^content-encoding: gzip" <<<"$head" && echo "$1: gzip" || echo "$1: plain"
}
got=$(ask directly "$(cat port)"; ask nginx "$nginx"; ask apache "$apache"; ask varnish "$varnish"; ask caddy "$caddy"; ask haproxy "$haproxy")
echo "$got"
[[ $got == "directly: plain
nginx: gzip
apache: gzip
varnish: gzip
caddy: gzip
haproxy: plain" ]] || { echo "the behaviour has changed" >&2; exit 1; }
