"""A broker that asks who is there and what they may do: SCRAM over TLS, client certificates, ACLs.

Its plain port is for the tests themselves: whoever comes that way is the super user.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import trustme
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from integration_tests.broker import TIMEOUT_S, Kafka
from integration_tests.system import free_port
from worker.kafka.local_broker import LocalBroker, delete_data
from worker.kafka.local_launch import HOST, Node, cluster_id

# Each a word that nothing else in a log would contain.
PASSWORD = "correct-horse-battery"  # noqa: S105 - of a user that lives as long as the test
WRONG_PASSWORD = "staple-guessed-often"  # noqa: S105 - nobody's
_ITERATIONS = 4096  # the least that Kafka takes

_TYPES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
}


class Right(NamedTuple):
    """One ACL: an operation, and a resource by its kind and name."""

    operation: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.operation} on {self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class SecureBroker:
    """The broker while it runs. `sasl` and `mutual` are the addresses of its two encrypted ports."""

    kafka: Kafka
    directory: Path
    authority: trustme.CA
    sasl: str
    mutual: str

    def add_user(self, name: str) -> None:
        """A user with PASSWORD, and no right yet."""
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _ITERATIONS)
        wanted = UserScramCredentialUpsertion(name, info, PASSWORD.encode())
        admin = self.kafka.admin()
        admin.alter_user_scram_credentials([wanted], request_timeout=TIMEOUT_S)[name].result(TIMEOUT_S)

    def grant(self, user: str, rights: Sequence[Right]) -> None:
        """Let a user do these things."""
        for future in self.kafka.admin().create_acls([_binding(user, right) for right in rights]).values():
            future.result(TIMEOUT_S)

    def take_away(self, user: str, right: Right) -> None:
        """Let a user do this no longer."""
        binding = _binding(user, right)
        wanted = AclBindingFilter(
            binding.restype, binding.name, binding.resource_pattern_type, binding.principal, "*",
            binding.operation, binding.permission_type,
        )  # fmt: skip
        for future in self.kafka.admin().delete_acls([wanted]).values():
            assert future.result(TIMEOUT_S), f"{user} has the right {right}"

    def scram_file(self, name: str, user: str, password: str = PASSWORD, authority: trustme.CA | None = None) -> Path:
        """The --kafka-config of a client with a password."""
        return self._write(
            f"{name}.properties",
            "security.protocol=SASL_SSL",
            "sasl.mechanism=SCRAM-SHA-512",
            f"sasl.username={user}",
            f"sasl.password={password}",
            f"ssl.ca.location={self._authority_file(name, authority or self.authority)}",
        )

    def certificate_file(self, name: str, user: str, authority: trustme.CA | None = None) -> Path:
        """The --kafka-config of a client with a certificate for `user`, which `authority` signed."""
        pem = self.directory / f"{name}.pem"
        pem.write_bytes(_key_and_chain((authority or self.authority).issue_cert("client.example", common_name=user)))
        return self._write(
            f"{name}.properties",
            "security.protocol=SSL",
            f"ssl.ca.location={self._authority_file(name, self.authority)}",
            f"ssl.certificate.location={pem}",
            f"ssl.key.location={pem}",
        )

    def no_certificate_file(self, name: str) -> Path:
        """The --kafka-config of a client that has forgotten its certificate."""
        return self._write(
            f"{name}.properties",
            "security.protocol=SSL",
            f"ssl.ca.location={self._authority_file(name, self.authority)}",
        )

    def _authority_file(self, name: str, authority: trustme.CA) -> Path:
        path = self.directory / f"{name}.ca.pem"
        authority.cert_pem.write_to_path(str(path))
        return path

    def _write(self, name: str, *lines: str) -> Path:
        path = self.directory / name
        path.write_text("\n".join(lines) + "\n", "utf-8")
        return path


@contextmanager
def secure_broker(directory: Path) -> Iterator[SecureBroker]:
    """Start one in `directory`; it and its data are gone at the end of the block."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(directory / "truststore.pem"))
    (directory / "keystore.pem").write_bytes(_key_and_chain(authority.issue_cert(HOST)))
    ports = {name: free_port() for name in ("PLAINTEXT", "SASL", "MUTUAL", "CONTROLLER")}
    node = Node(1, [ports["CONTROLLER"]], cluster_id(), _settings(directory, ports))
    broker = LocalBroker(say=print, node=node)
    try:
        running = broker.start(directory / "kafka", port=ports["PLAINTEXT"], follow_parent=True)
        addresses = (f"{HOST}:{ports[name]}" for name in ("SASL", "MUTUAL"))
        yield SecureBroker(Kafka(running.bootstrap_servers), directory, authority, *addresses)
    finally:
        broker.kill()
        delete_data(directory / "kafka")


def _settings(directory: Path, ports: Mapping[str, int]) -> dict[str, str]:
    listeners = [f"{name}://{HOST}:{port}" for name, port in ports.items()]
    return {
        "listeners": ",".join(listeners),
        "advertised.listeners": ",".join(listeners[:-1]),
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL:SASL_SSL,MUTUAL:SSL,CONTROLLER:PLAINTEXT",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.sasl.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(directory / "keystore.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(directory / "truststore.pem"),
        "ssl.client.auth": "required",
        "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/",
    }


def _key_and_chain(issued: trustme.LeafCert) -> bytes:
    """One PEM file, with the key in the only form that Kafka reads."""
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem + b"".join(blob.bytes() for blob in issued.cert_chain_pems)


def _binding(user: str, right: Right) -> AclBinding:
    operation = AclOperation[right.operation]
    return AclBinding(
        _TYPES[right.kind], right.name, ResourcePatternType.LITERAL, f"User:{user}", "*", operation,
        AclPermissionType.ALLOW,
    )  # fmt: skip
