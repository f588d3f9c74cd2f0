"""Asks whether a server is there, with a bound on the time that the answer may take."""

from __future__ import annotations

import ssl
import threading
import urllib.error
import urllib.request


def unreachable(url: str, seconds: float) -> str | None:
    """Why nothing answers at `url` within `seconds`, or None if something does, whatever it says.

    Goes through the proxy that the environment names, as the real client does. A look-up of the host's name cannot
    be interrupted, so the question is asked in a thread that is left behind when time is up.
    """
    answers: list[str | None] = []

    def ask() -> None:
        try:
            opener = urllib.request.build_opener()  # a new one: the shared one keeps the first proxy that it saw
            opener.open(urllib.request.Request(url, method="HEAD"), timeout=seconds).close()
        except urllib.error.HTTPError as error:  # refused, but by a server
            error.close()
            answers.append(None)
        except urllib.error.URLError as error:
            trusted = not isinstance(error.reason, ssl.SSLError)  # the client may know the certificate; let it decide
            answers.append(f"{url} cannot be reached: {error.reason}" if trusted else None)
        except (OSError, ValueError) as error:
            answers.append(f"{url} cannot be reached: {error}")
        else:
            answers.append(None)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answers[0] if answers else f"{url} does not answer within {seconds:g} s"
