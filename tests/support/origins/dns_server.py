"""A small DNS server over UDP: names with addresses, names that do not exist, names that never get an answer."""

import socket
import struct
import threading
from typing import Dict, List, Optional

TYPE_A = 1
TYPE_AAAA = 28


class DnsServer:
    """Answers A and AAAA on a loopback port of its own.

    `names` maps a name (lower case, no final dot) to its addresses, both families mixed; an empty list is a name without
    an address. Names in `silent` get no answer, those in `broken` SERVFAIL, all others NXDOMAIN.
    """

    def __init__(self) -> None:
        self.names: Dict[str, List[str]] = {}
        self.ttl = 60
        self.silent: set[str] = set()
        self.broken: set[str] = set()
        self.queries: List[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._stopping = False
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        """`host:port`, as the server's config wants it."""
        return f"127.0.0.1:{self.port}"

    def asked(self, name: str) -> int:
        """How many queries came for a name."""
        return self.queries.count(name)

    def stop(self) -> None:
        """Stops answering."""
        self._stopping = True
        self._socket.close()

    def _serve(self) -> None:
        while not self._stopping:
            try:
                packet, peer = self._socket.recvfrom(4096)
                reply = self._answer(packet)
                if reply is not None:
                    self._socket.sendto(reply, peer)
            except OSError:
                return

    def _answer(self, packet: bytes) -> Optional[bytes]:
        (number,) = struct.unpack("!H", packet[:2])
        labels, at = [], 12
        while packet[at]:
            labels.append(packet[at + 1 : at + 1 + packet[at]].decode("ascii", "replace"))
            at += 1 + packet[at]
        question = packet[12 : at + 5]
        (kind,) = struct.unpack("!H", packet[at + 1 : at + 3])
        name = ".".join(labels).lower()
        self.queries.append(name)
        if name in self.silent:
            return None
        code, answers = 0, b""
        count = 0
        if name in self.broken:
            code = 2
        elif name not in self.names:
            code = 3
        else:
            for address in self.names[name]:
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                if kind != (TYPE_AAAA if ":" in address else TYPE_A):
                    continue
                data = socket.inet_pton(family, address)
                answers += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, self.ttl, len(data)) + data
                count += 1
        return struct.pack("!HHHHHH", number, 0x8580 | code, 1, count, 0, 0) + question + answers
