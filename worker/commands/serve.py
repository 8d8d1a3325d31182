"""`clf serve`."""

import click

from worker.config import (
    Consul,
    Grpc,
    KeepWarm,
    Logging,
    Registration,
    Reload,
    RequestLog,
    Scoring,
    ServeConfig,
    ServeHttp,
    SlowHost,
    Tls,
)
from worker.options import options
from worker.serve_app import run_server
from worker.supervisor import run_servers


@click.command()
@options(Scoring, Reload, SlowHost, Grpc, Tls, KeepWarm, RequestLog, Registration, Consul, ServeHttp, Logging)
@click.pass_context
def serve(  # noqa: PLR0913 - one per group of options; ServeConfig takes them all
    ctx: click.Context,
    *,
    scoring: Scoring,
    reload: Reload,
    slow_host: SlowHost,
    grpc: Grpc,
    tls: Tls,
    keep_warm: KeepWarm,
    request_log: RequestLog,
    registration: Registration,
    consul: Consul,
    serve_http: ServeHttp,
    logging: Logging,
) -> None:
    """Answer callers that cannot wait for a topic, over gRPC, until SIGTERM or Ctrl-C.

    The results are those that a worker with the same models publishes. A call that cannot be answered in time is
    refused at once, so that its caller can try another server.

    \b
    clf serve --models model-store &
    echo '{"url": "u", "text": "A late goal.", "lang": "en"}' | clf classify --grpc 127.0.0.1:50051

    \b
    Exit codes: 0 stopped as asked   2 wrong usage   3 cannot start, see the message
                4 fatal, or calls were cut off on stop: start it again
    """  # noqa: D301 - \b is click's mark for a paragraph it must not wrap
    config = ServeConfig(
        scoring, reload, slow_host, grpc, tls, keep_warm, request_log, registration, consul, serve_http, logging
    )
    ctx.exit(run_server(config) if grpc.processes == 1 else run_servers(config))
