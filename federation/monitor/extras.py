"""What works only where an extra is installed."""

from importlib import import_module
from typing import TYPE_CHECKING

from federation.settings import ConfigError, TracingSettings

if TYPE_CHECKING:
    from federation.monitor.tracing import Tracing


def open_tracing(settings: TracingSettings, service_name: str) -> "Tracing | None":
    """Begin to trace if a collector is set. Raises ConfigError if the extra is not installed."""
    if settings.endpoint is None:
        return None
    try:
        module = import_module("federation.monitor.tracing")
    except ImportError as error:
        raise ConfigError("tracing.endpoint: tracing is an extra; install medunion[tracing]") from error
    tracing: Tracing = module.start_tracing(settings.endpoint, settings, service_name)
    return tracing
