"""httpx-sse, which reads one connection: python httpx_sse_one.py URL"""

import httpx
from httpx_sse import connect_sse

from tell import URL, tell_end, tell_event


def run():
    with httpx.Client(timeout=httpx.Timeout(5, read=None)) as client:
        with connect_sse(client, "GET", URL) as source:
            for event in source.iter_sse():
                tell_event(event.event, event.data, event.id)


tell_end(run)
