"""`clf models keygen|sign|push`: from a model that was trained here to one that others may load and believe."""

from pathlib import Path
from typing import Final

import click

from models.opening import is_url
from models.store import DEFAULT_STORE, STORE_VARIABLE, Store
from worker.commands.model_arguments import LanguageType, RefusedError, clear_errors
from worker.commands.progress import Copies

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)

directory_option: Final = click.option(
    "--models",
    "store",
    type=click.Path(file_okay=False),
    default=str(DEFAULT_STORE),
    envvar=STORE_VARIABLE,
    show_envvar=True,
    show_default=True,
    callback=lambda _context, _option, models: _local_store(models),
    help="Directory of the model store; no URL.",
)


@click.command()
@click.argument("name")
def keygen(name: str) -> None:
    """Make a key pair for signing models: NAME.pem, to be kept secret, and NAME.pub.pem.

    The public key goes to those who load models, with --trusted-keys. A file with several of them, one below the
    other, trusts each: add the next key before models are signed with it, and take the old one out afterwards.
    """
    from models import signing  # noqa: PLC0415 - cryptography is imported only for keys

    private, public = Path(f"{name}.pem"), Path(f"{name}.pub.pem")
    with clear_errors():
        signing.generate_keys(private, public)
    click.echo(f"Wrote {private}, which nobody else may read, and {public}.")


@click.command()
@click.argument("lang", type=LanguageType())
@click.argument("version")
@click.option("--key", required=True, type=_FILE, help="Private key: Ed25519, PKCS#8 in PEM (clf models keygen).")
@directory_option
def sign(lang: str, version: str, key: Path, store: Store) -> None:
    """Sign a model of the local store, after it was verified.

    Writes manifest.sig beside manifest.json: the 64 bytes of the Ed25519 signature over that file as it is. It has the
    hashes of all the others, so that the signature covers the whole model. One that is there is replaced.
    """
    from models import signing  # noqa: PLC0415 - as above

    with clear_errors():
        store.verify(lang, version)
        signing.sign_bundle(store.path(lang, version), key)
    click.echo(f"Version {version} of {lang} is signed.")


@click.command()
@click.argument("lang", type=LanguageType())
@click.argument("version")
@click.argument("url")
@directory_option
def push(lang: str, version: str, url: str, store: Store) -> None:
    """Copy a model of the local store to the store at URL, such as s3://bucket/models.

    It is verified first, and every file is read back. The manifest comes last: without it nobody sees the version.
    It is not the active one before `clf models activate --models URL LANG VERSION`.
    """
    from models import push as pushing  # noqa: PLC0415 - fsspec is imported only for a URL

    if not is_url(url):
        raise click.BadParameter(f"{url} is no URL. A directory is a store without any copying: cp -r.")
    with clear_errors():
        copied = pushing.push(store, lang, version, url, Copies())
    click.echo(f"Version {version} of {lang} {'was copied' if copied else 'is there already'}: {url}")


def _local_store(models: str) -> Store:
    if is_url(models):
        raise RefusedError(f"{models} is no directory, and this command works on a local store: name it with --models.")
    return Store(Path(models))
