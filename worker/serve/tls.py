"""The certificate of the gRPC port, from files that may be renewed while the server runs."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc
import structlog

from worker.config import Tls

log = structlog.get_logger(__name__)

_Stamp = tuple[tuple[int, int, int], ...]


class TlsError(Exception):
    """The files make no usable certificate. The text says what is wrong."""


def credentials(config: Tls) -> grpc.ServerCredentials | None:
    """What the port is opened with; None means plain text.

    Raises:
        TlsError: a file is missing, unreadable or no PEM, the key is another certificate's, or options contradict.
    """
    if config.tls_cert is None or config.tls_key is None:
        if config != Tls():
            raise TlsError("TLS needs both --tls-cert and --tls-key; --tls-client-ca alone does nothing.")
        return None
    files = _Files(config.tls_cert, config.tls_key, config.tls_client_ca)
    return grpc.dynamic_ssl_server_credentials(
        files.read(),
        files.read_if_changed,  # type: ignore[arg-type]  # grpcio takes None for no change, its stubs do not know
        require_client_authentication=config.tls_client_ca is not None,
    )


@dataclass(slots=True)
class _Files:
    cert: Path
    key: Path
    client_ca: Path | None
    seen: _Stamp = ()

    def read(self) -> grpc.ServerCertificateConfiguration:
        """Read and check.

        Raises:
            TlsError: they cannot be used.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            stamp = self._stamp()  # before the files are read: what changes meanwhile is read again
            context.load_cert_chain(self.cert, self.key, password=_no_password)
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
            pair = (self.key.read_bytes(), self.cert.read_bytes())
            roots = self.client_ca.read_bytes() if self.client_ca else None
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            names = ", ".join(str(path) for path in self._paths())
            raise TlsError(f"{names} cannot be used for TLS: {error}.") from error
        self.seen = stamp
        return grpc.ssl_server_certificate_configuration([pair], roots)

    def read_if_changed(self) -> grpc.ServerCertificateConfiguration | None:
        """What changed; None when nothing did, or when what is there now, half-written perhaps, is of no use.

        gRPC calls this for every new connection.
        """
        try:
            if self._stamp() == self.seen:
                return None
            renewed = self.read()
        except (TlsError, OSError) as error:
            log.warning("certificate_not_renewed", reason=str(error), advice="The one in use stays.")
            return None
        log.info("certificate_renewed", file=str(self.cert))
        return renewed

    def _paths(self) -> tuple[Path, ...]:
        return (self.cert, self.key, *([self.client_ca] if self.client_ca else []))

    def _stamp(self) -> _Stamp:
        found = (path.stat() for path in self._paths())
        return tuple((status.st_mtime_ns, status.st_size, status.st_ino) for status in found)


def _no_password() -> str:
    raise ValueError("the private key is encrypted; give it without a passphrase, readable by this user only")
