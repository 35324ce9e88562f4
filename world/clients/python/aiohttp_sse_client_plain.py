"""aiohttp-sse-client: python aiohttp_sse_client_plain.py URL"""

import asyncio

from aiohttp_sse_client.client import EventSource

from tell import URL, tell_end, tell_event


async def read():
    async with EventSource(URL) as source:
        async for event in source:
            tell_event(event.type, event.data, event.last_event_id)


tell_end(lambda: asyncio.run(read()))
