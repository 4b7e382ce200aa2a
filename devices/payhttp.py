"""A provider behind plain JSON over HTTP: what `devices.sim.vpay` speaks.

POST {base}/pay, /query, /reverse with a JSON object; the answer is a `PayAnswer` as JSON. Anything
but a whole, well-formed answer with status 200 counts as no answer at all.
"""

import http.client
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from devices.payment import PayAnswer, PayRequest, ProviderLost

TIMEOUT_S: Final = 5.0
ANSWER_MAX: Final = 65_536


class HttpProvider:
    """A `devices.payment.Provider`; one connection per message."""

    def __init__(self, base_url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"not an address of a provider: {base_url}")
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._path = parts.path.rstrip("/")
        self._timeout_s = timeout_s

    def pay(self, request: PayRequest) -> PayAnswer:
        """Try to collect."""
        return self._post("/pay", msgspec.to_builtins(request))

    def query(self, request: PayRequest) -> PayAnswer:
        """How does it stand?"""
        return self._post("/query", {"attempt_id": request.attempt_id})

    def reverse(self, request: PayRequest) -> PayAnswer:
        """Undo it."""
        return self._post("/reverse", {"attempt_id": request.attempt_id})

    def _post(self, path: str, body: Any) -> PayAnswer:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=self._timeout_s)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", self._path + path, msgspec.json.encode(body), headers)
            answer = connection.getresponse()
            data = answer.read(ANSWER_MAX)
            if answer.status != 200:
                raise ProviderLost(f"status {answer.status}")
            return msgspec.json.decode(data, type=PayAnswer)
        except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
            raise ProviderLost(str(error)) from error
        finally:
            connection.close()
