"""`clf`: the one program. Commands are imported only when they are called, so `clf --help` answers at once."""

from importlib import import_module

import click

# Command name -> "module:attribute" and the line that `clf --help` shows, in the order it shows them.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("worker.commands.demo:demo", "See it work: a broker, models, a worker and results, in half a minute."),
    "train": ("training.cli:train", "Train a model on labelled documents and put it into the store."),
    "evaluate": ("training.cli:evaluate", "Measure a model on labelled documents it has not seen."),
    "models": ("worker.commands.models:models", "List, inspect, verify and activate models."),
    "worker": ("worker.commands.worker:worker", "Classify documents as they arrive, until told to stop."),
    "serve": ("worker.commands.serve:serve", "Answer callers that cannot wait, over gRPC, within 100 ms."),
    "register": ("worker.commands.register:register", "Register a running server with Consul."),
    "deregister": ("worker.commands.register:deregister", "Take a server out of Consul."),
    "classify": ("worker.commands.classify:classify", "Classify JSON lines without Kafka."),
    "send": ("worker.commands.send:send", "Send documents into the documents topic."),
    "tail": ("worker.commands.tail:tail", "Follow the results."),
    "topics": ("worker.commands.topics:topics", "Create and check the topics."),
    "dead-letters": (
        "worker.commands.dead_letters:dead_letters",
        "List, show and replay what could not be classified.",
    ),
    "verify": ("worker.commands.verify:verify", "Prove that every document has exactly one outcome, the right one."),
    "bench": ("worker.commands.bench:bench", "Measure, as ratios against references in the same run."),
    "kafka": ("worker.commands.kafka:kafka", "Run a small local Apache Kafka broker."),
}


class LazyGroup(click.Group):
    """A group that imports a command's module only when that command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command; None when there is none of that name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - a wrong table entry is a bug, found by the first test
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table: nothing is imported for it."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "CLF"})
@click.version_option(package_name="clf-worker", prog_name="clf")
def main() -> None:
    """Classify crawled web documents as they stream through Kafka, exactly once."""
