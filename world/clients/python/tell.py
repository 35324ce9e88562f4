"""What all drivers here share: a line of JSON for each event that the client handed over, and one for its end."""

import json
import sys

URL = sys.argv[1]


def tell(**line):
    print(json.dumps(line), flush=True)


def tell_event(event, data, id=None):
    tell(id=id, event=event or "message", data=data)


def tell_end(run):
    """Runs the client and tells how it ended."""
    try:
        run()
        tell(end="over")
    except Exception as error:  # The kind is what is to be told, whatever it is.
        tell(end=type(error).__name__, message=str(error))
