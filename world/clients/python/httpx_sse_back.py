"""httpx-sse with a loop around it, which comes back until the server answers 204: python httpx_sse_back.py URL"""

import time

import httpx
from httpx_sse import connect_sse

from tell import URL, tell_end, tell_event


def events(client, url):
    last_id, delay = "", 3.0
    while True:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        try:
            with connect_sse(client, "GET", url, headers=headers) as source:
                if source.response.status_code == 204:
                    return
                source.response.raise_for_status()
                for event in source.iter_sse():
                    last_id = event.id or last_id
                    if event.retry is not None:
                        delay = event.retry / 1000
                    yield event
        except httpx.TransportError:
            pass  # A cut or a server that is away: come back as after a clean end.
        time.sleep(delay)


def run():
    # Longer than two keep-alives of the server: a connection that says nothing for so long is dead.
    with httpx.Client(timeout=httpx.Timeout(5, read=35)) as client:
        for event in events(client, URL):
            tell_event(event.event, event.data, event.id)


tell_end(run)
