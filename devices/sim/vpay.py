"""A payment provider that is not there, on real HTTP with plain JSON.

with VirtualProvider() as provider:
    provider.script("lost-answer")          # for the next pay; "ok" when nothing is scripted
    HttpProvider(provider.url).pay(...)
    provider.captured, provider.reversed    # attempt ids, each at most once
"""

import json

from devices.sim.book import BEHAVIOURS
from devices.sim.vhttp import HttpBook

__all__ = ["BEHAVIOURS", "VirtualProvider"]


class VirtualProvider(HttpBook):
    """A book behind plain JSON, for `devices.payhttp`."""

    def reply(
        self,
        method: str,  # noqa: ARG002 - one shape for all
        path: str,
        headers: dict[str, str],  # noqa: ARG002
        body: bytes,
    ) -> tuple[int, dict[str, str], bytes] | None:
        """The answer as JSON."""
        answer = self.carry_out(path.strip("/"), json.loads(body))
        if answer is None:
            return None
        return 200, {}, b"garbage" if "garbage" in answer else json.dumps(answer).encode()
