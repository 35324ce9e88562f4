"""sseclient: python sseclient_plain.py URL"""

import importlib.util
import sysconfig
from pathlib import Path

from tell import URL, tell_end, tell_event

# sseclient-py has a package of the same name, which hides this module; users have only one of the two.
path = Path(sysconfig.get_paths()["purelib"]) / "sseclient.py"
spec = importlib.util.spec_from_file_location("sseclient_module", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)


def run():
    for event in module.SSEClient(URL):
        tell_event(event.event, event.data, event.id)


tell_end(run)
