"""launchdarkly-eventsource, told to come back after ends and cuts, but not after a 204: python launchdarkly_back.py URL"""

from ld_eventsource import SSEClient
from ld_eventsource.config import ErrorStrategy
from ld_eventsource.errors import HTTPStatusError

from tell import URL, tell_end, tell_event


def decide(error):
    is_refused = isinstance(error, HTTPStatusError)
    return (ErrorStrategy.FAIL if is_refused else ErrorStrategy.CONTINUE, None)


def run():
    client = SSEClient(URL, error_strategy=ErrorStrategy.from_lambda(decide))
    try:
        for event in client.events:
            tell_event(event.event, event.data, event.last_event_id)
    except HTTPStatusError as error:
        if error.status != 204:
            raise


tell_end(run)
