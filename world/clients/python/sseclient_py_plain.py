"""sseclient-py over requests, which reads one connection: python sseclient_py_plain.py URL"""

import requests
from sseclient import SSEClient

from tell import URL, tell_end, tell_event


def run():
    response = requests.get(URL, stream=True, headers={"Accept": "text/event-stream"})
    for event in SSEClient(response).events():
        tell_event(event.event, event.data, event.id)


tell_end(run)
