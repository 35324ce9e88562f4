"""sseclient-py with a loop around it, which comes back until the server answers 204: python sseclient_py_back.py URL"""

import time

import requests
from sseclient import SSEClient

from tell import URL, tell_end, tell_event


def events(url):
    last_id, delay = "", 3.0
    while True:
        headers = {"Accept": "text/event-stream"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        try:
            response = requests.get(url, stream=True, headers=headers, timeout=(5, 35))
            if response.status_code == 204:
                return
            response.raise_for_status()
            for event in SSEClient(response).events():
                last_id = event.id or last_id
                if event.retry is not None:
                    delay = int(event.retry) / 1000
                yield event
        except requests.ConnectionError:
            pass
        except requests.exceptions.ChunkedEncodingError:
            pass
        time.sleep(delay)


def run():
    for event in events(URL):
        # A connection that is cut hands over what it has of an event; only whole ones have our ids.
        tell_event(event.event, event.data, event.id)


tell_end(run)
