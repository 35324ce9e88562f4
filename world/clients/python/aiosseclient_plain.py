"""aiosseclient, which reads one connection: python aiosseclient_plain.py URL"""

import asyncio

from aiosseclient import aiosseclient

from tell import URL, tell_end, tell_event


async def read():
    async for event in aiosseclient(URL):
        tell_event(event.event, event.data, event.id)


tell_end(lambda: asyncio.run(read()))
