"""`clf worker`."""

import click

from worker.app import run_worker
from worker.config import (
    Batching,
    Cluster,
    Failures,
    Forecast,
    Group,
    Guarantee,
    Http,
    Logging,
    Reload,
    Scoring,
    SlowHost,
    Topics,
    WorkerConfig,
)
from worker.document_options import FieldMapping, ResultFraming, SchemaRegistry
from worker.options import options


@click.command()
@options(
    Cluster,
    Topics,
    Group,
    Batching,
    FieldMapping,
    SchemaRegistry,
    Guarantee,
    Failures,
    Scoring,
    Reload,
    Forecast,
    SlowHost,
    Http,
    Logging,
)
@click.pass_context
def worker(  # noqa: PLR0913 - one per group of options; WorkerConfig takes them all
    ctx: click.Context,
    *,
    cluster: Cluster,
    topics: Topics,
    group: Group,
    batching: Batching,
    field_mapping: FieldMapping,
    schema_registry: SchemaRegistry,
    guarantee: Guarantee,
    failures: Failures,
    scoring: Scoring,
    reload: Reload,
    forecast: Forecast,
    slow_host: SlowHost,
    http: Http,
    logging: Logging,
) -> None:
    """Classify documents as they arrive, until SIGTERM or Ctrl-C.

    Reads the documents topic as one member of a consumer group, and publishes one result or one dead letter per
    document. Start more workers with the same --group for more throughput, up to one per partition.

    \b
    Exit codes: 0 stopped as asked   2 wrong usage   3 cannot start, see the message
                4 fatal: start it again, it goes on where it was
    """  # noqa: D301 - \b is click's mark for a paragraph it must not wrap
    if schema_registry.result_framing is not ResultFraming.NONE and not schema_registry.schema_registry:
        raise click.UsageError("--result-framing needs a --schema-registry to have the schema from.")
    config = WorkerConfig(
        cluster,
        topics,
        group,
        batching,
        field_mapping,
        schema_registry,
        guarantee,
        failures,
        scoring,
        reload,
        forecast,
        slow_host,
        http,
        logging,
    )
    ctx.exit(run_worker(config))
