#!/usr/bin/env bash
# Package: redis-server (Debian 12)
# Version: 7.0.15
# Behaviour: with `appendonly yes` and `appendfsync everysec`, a write that was answered is gone when the process is killed
#   (kill -9), on a machine that goes on running. While a sync of the file is under way in its thread, the server does not
#   write to the file but keeps what it confirms in its own memory, for up to two seconds; what it lost here was more than one write. With `always` nothing is lost.
# Standard: redis.conf on the default policy, `everysec`: the server "can lose just one second of writes in a dramatic event
#   like a server power outage, or a single write if something wrong with the Redis process itself happens".
# Seen:
#   everysec: confirmed writes lost by a kill
#   always: none lost in 10 kills
set -euo pipefail
folder=$(mktemp -d)
trap 'kill -9 $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
cat >kills.py <<'PY'
"""Kills a Redis server while one client writes large values and another counts; says whether a confirmed count is gone."""
import os, socket, subprocess, sys, threading, time

def connect(path):
    while True:
        client = socket.socket(socket.AF_UNIX)
        try:
            client.connect(path)
            client.sendall(b"PING\r\n")
            if client.recv(100).startswith(b"+PONG"):
                return client
        except OSError:
            pass
        client.close()
        time.sleep(0.02)

def start(policy, folder):
    path = os.path.join(folder, "socket")
    words = ["redis-server", "--port", "0", "--unixsocket", path, "--dir", folder, "--save", "", "--appendonly", "yes",
             "--appendfsync", policy, "--auto-aof-rewrite-percentage", "0"]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), path

def load(path):
    value = b"x" * 4_000_000
    try:
        client = connect(path)
        while True:
            client.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\nv\r\n$%d\r\n%s\r\n" % (len(value), value))
            client.recv(100)
    except OSError:
        pass

def round_of(policy, folder, after):
    for name in os.listdir(folder):
        subprocess.run(["rm", "-rf", os.path.join(folder, name)])
    server, path = start(policy, folder)
    counter = connect(path)
    threading.Thread(target=load, args=(path,), daemon=True).start()
    confirmed, end = 0, time.monotonic() + after
    while time.monotonic() < end:
        counter.sendall(b"INCR n\r\n")
        answer = counter.recv(100)
        confirmed = int(answer[1:])
    server.kill()
    server.wait()
    server, path = start(policy, folder)
    counter = connect(path)
    counter.sendall(b"INCRBY n 0\r\n")
    kept = int(counter.recv(100)[1:])
    server.kill()
    server.wait()
    return confirmed - kept

policy, rounds, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
for round in range(rounds):
    lost = round_of(policy, folder, 1.05 + 0.03 * round)
    print(policy, round, "lost", lost, file=sys.stderr)
    if lost > 1:
        print(f"{policy}: confirmed writes lost by a kill")
        break
else:
    print(f"{policy}: none lost in {rounds} kills")
PY
mkdir data
got="$(timeout 120 python3 kills.py everysec 30 "$folder/data" 2>>log)
$(timeout 60 python3 kills.py always 10 "$folder/data" 2>>log)"
echo "$got"
[[ $got == "everysec: confirmed writes lost by a kill
always: none lost in 10 kills" ]] || { echo "the behaviour has changed" >&2; cat log >&2; exit 1; }
