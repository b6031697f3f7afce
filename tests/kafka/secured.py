"""Apache Kafka behind TLS and a login, as a production cluster is. This file runs it."""

from pathlib import Path

from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.certificates import Authority
from tests.kafka.broker import ApacheKafka, free_ports
from tests.tls_store import PASSWORD

USER = "worker"
MECHANISMS = ("SCRAM-SHA-512", "PLAIN")
_LISTENER = "listener.name.sasl_ssl"
_MODULES = "org.apache.kafka.common.security"


class SecuredKafka(ApacheKafka):
    """
    A broker whose `client_settings` lead over TLS and ask for a login.

    The address `bootstrap` stays open, for the tests' own tools.
    """

    def __init__(self, jars: Path, folder: Path) -> None:
        self.authority = Authority(folder)
        certificate = self.authority.sign("broker")
        keystore = folder / "keystore.pem"
        keystore.write_text(certificate.key.read_text() + certificate.file.read_text())
        (self.secured_port,) = free_ports(1)
        data = folder / "broker"
        data.mkdir()
        super().__init__(
            jars,
            data,
            changed={
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL",
                "sasl.enabled.mechanisms": ",".join(MECHANISMS),
                f"{_LISTENER}.scram-sha-512.sasl.jaas.config": f"{_MODULES}.scram.ScramLoginModule required;",
                f"{_LISTENER}.plain.sasl.jaas.config": (
                    f'{_MODULES}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
                ),
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": str(keystore),
            },
            listener=f"SASL_SSL://127.0.0.1:{self.secured_port}",
            users=[f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"],
        )

    @property
    def client_settings(self) -> dict[str, str]:
        """Give the Kafka settings a client needs to get in."""
        return self.settings_with()

    def settings_with(
        self,
        *,
        mechanism: str = MECHANISMS[0],
        password: str = PASSWORD,
        trusts: Authority | None = None,
    ) -> dict[str, str]:
        """Give the settings of a client with another login, or one that trusts another authority."""
        return {
            "bootstrap.servers": f"127.0.0.1:{self.secured_port}",
            "security.protocol": "sasl_ssl",
            "ssl.ca.location": str((trusts or self.authority).file),
            "sasl.mechanism": mechanism,
            "sasl.username": USER,
            "sasl.password": password,
        }

    def set_password(self, password: str) -> None:
        """Change the password of SCRAM; connections that are open stay so."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        change = UserScramCredentialUpsertion(USER, info, password.encode())
        for future in admin.alter_user_scram_credentials([change]).values():
            future.result(timeout=10)
