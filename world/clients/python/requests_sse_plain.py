"""requests-sse: python requests_sse_plain.py URL"""

from requests_sse import EventSource

from tell import URL, tell_end, tell_event


def run():
    with EventSource(URL) as source:
        for event in source:
            tell_event(event.type, event.data, event.last_event_id)


tell_end(run)
