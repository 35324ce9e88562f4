"""launchdarkly-eventsource: python launchdarkly.py URL"""

from ld_eventsource import SSEClient

from tell import URL, tell_end, tell_event


def run():
    for event in SSEClient(URL).events:
        tell_event(event.event, event.data, event.last_event_id)


tell_end(run)
