"""A keep-alive origin as a process of its own, made to be killed: /fast, /slow (a moment), /drip (in pieces), /never.
/arrivals says when requests of /fast came, in seconds of the monotonic clock, as a JSON list.

Usage: storm_origin.py PORT. Prints nothing; it listens once a connection is accepted.
"""

import asyncio
import json
import random
import sys
import time

BODY = b"x" * 1024
ARRIVALS = []
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers the requests of one connection."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1]
            if path.startswith(b"/fast"):
                ARRIVALS.append(time.monotonic())
                writer.write(HEAD % len(BODY) + BODY)
            elif path.startswith(b"/slow"):
                await asyncio.sleep(random.random() * 0.05)
                writer.write(HEAD % len(BODY) + BODY)
            elif path.startswith(b"/drip"):
                writer.write(HEAD % (len(BODY) * 20))
                for _ in range(20):
                    writer.write(BODY)
                    await writer.drain()
                    await asyncio.sleep(0.003)
            elif path.startswith(b"/arrivals"):
                body = json.dumps(ARRIVALS).encode()
                writer.write(HEAD % len(body) + body)
            elif path.startswith(b"/never"):
                await asyncio.sleep(3600)
            else:
                writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    """Serves until killed."""
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=1024, reuse_address=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
