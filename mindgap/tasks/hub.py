"""Whether the Hugging Face hub has a data set, asked in one short request."""

from __future__ import annotations

from mindgap.core.errors import UnavailableError, first_line

_PROBE_SECONDS = 3.0


def probe(path: str, ways: str) -> None:
    """Ask the hub for a data set. Without this, `datasets` would try again for 23 s before it gave up.

    Args:
        path: Its name.
        ways: A sentence on what else could be given, for messages.

    Raises:
        UnavailableError: The hub does not know it, or cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        HfApi().dataset_info(path, timeout=_PROBE_SECONDS)
    except OfflineModeIsEnabled:
        return  # an earlier download may serve; loading says at once if there is none
    except HfHubHTTPError as error:
        raise UnavailableError(
            f"task.path={path}: the Hugging Face hub says {first_line(error).rstrip('.')}. {ways}"
        ) from error
    except OSError as error:
        raise UnavailableError(unreachable(path, error, ways)) from error
    except Exception as error:
        if not _is_transport_error(error):
            raise
        raise UnavailableError(unreachable(path, error, ways)) from error


def unreachable(path: str, error: Exception, ways: str) -> str:
    """What is said where `path` is nothing here and the hub does not answer."""
    return (
        f"task.path={path}: there is no such folder here, and the Hugging Face hub cannot be reached "
        f"({first_line(error).rstrip('.')}). {ways}; HF_HUB_OFFLINE=1 uses what was downloaded before"
    )


def _is_transport_error(error: Exception) -> bool:
    """Whether the hub client's HTTP library could not get through. Which library that is depends on its version."""
    return any(base.__name__ == "TransportError" for base in type(error).__mro__)
