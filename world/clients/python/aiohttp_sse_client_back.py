"""aiohttp-sse-client with a loop around it, as a cut ends it: python aiohttp_sse_client_back.py URL"""

import asyncio

import aiohttp
from aiohttp_sse_client.client import EventSource

from tell import URL, tell_end, tell_event


async def read():
    last_id = None
    while True:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        # Without a time-out of one's own, aiohttp ends every stream after five minutes.
        timeout = aiohttp.ClientTimeout(total=None, sock_read=35)
        try:
            async with EventSource(URL, headers=headers, timeout=timeout) as source:
                async for event in source:
                    last_id = event.last_event_id or last_id
                    tell_event(event.type, event.data, event.last_event_id)
        except ConnectionAbortedError:
            return  # The answer was no stream: 204, the end.
        except (aiohttp.ClientError, asyncio.TimeoutError):
            pass
        await asyncio.sleep(3)


tell_end(lambda: asyncio.run(read()))
