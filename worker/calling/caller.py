"""The trace that a call is a part of: where the program that calls uses OpenTelemetry, its present span."""

import sys
from typing import Any

from worker.calling.server import Metadata


def caller_context() -> Metadata:
    """W3C Trace Context as metadata; nothing, at the price of a look into a dictionary, in a program without traces."""
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return ()
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return ()
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    state = context.trace_state.to_header()
    return (("traceparent", parent), *((("tracestate", state),) if state else ()))
