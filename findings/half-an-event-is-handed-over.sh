#!/usr/bin/env bash
# Package: sseclient-py (PyPI)
# Version: 1.8.0
# Behaviour: what has arrived of an event when the stream ends is handed over as if it were whole, cut wherever the
#   stream was.
# Standard: WHATWG HTML, section 9.2.6: "If the file ends in the middle of an event, before the final empty line, the
#   incomplete event is not dispatched."
# Seen:
#   'price 12'
#   'price 1'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet sseclient-py==1.8.0
cat >probe.py <<'EOF'
from sseclient import SSEClient

# Any iterable of bytes is a source: here a stream that ends within its second event.
for event in SSEClient([b"data: price 12\n\n", b"data: price 1"]).events():
    print(repr(event.data))
EOF
got=$(timeout 60 venv/bin/python probe.py)
echo "$got"
[[ $got == "'price 12'
'price 1'" ]] || { echo "the behaviour has changed" >&2; exit 1; }
