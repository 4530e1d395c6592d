"""Settings: read once, at start, from the environment; frozen; printed with secrets hidden.

A variable is `HELIOGRAPH_<NAME>` for what all services share and `HELIOGRAPH_<SERVICE>_<NAME>` for
what is one service's own. A shared one can be set for one service: `HELIOGRAPH_INGEST_NATS_USER`
wins over `HELIOGRAPH_NATS_USER`. A secret can be read from a file, named by the variable with
`_FILE` at its end. An empty variable counts as not set. Unknown variables of a service are refused,
since a misspelt one would otherwise silently leave a default in place.
"""

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self, get_args

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from typing_extensions import override

from libs.runtime.redact import hide_secrets

PREFIX: Final = "HELIOGRAPH_"
"""What every variable begins with."""

SECRET_FILE_BYTES_MAX: Final = 65_536
"""The largest secret file that is read, in bytes."""

_ENVIRONMENT: ContextVar[Mapping[str, str] | None] = ContextVar("environment", default=None)
_ID: Final = r"^[A-Za-z0-9_-]{1,64}$"
_KUBERNETES_LINK: Final = re.compile(
    r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)"
)
_KUBERNETES_LINK_VALUE: Final = re.compile(r"(tcp|udp|sctp)://.*")


class SettingsError(Exception):
    """Settings that cannot be used. Its text has one line per wrong variable, and no secret."""

    def __init__(self, problems: list[str]) -> None:
        """Keep the problems.

        Args:
            problems: One sentence each, beginning with the variable's name.
        """
        super().__init__("\n".join(problems))
        self.problems = problems


def _book_name(name: str) -> str:
    if name == "register":
        raise ValueError("register is the name of the book of members")
    return name


BookName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,59}$"), AfterValidator(_book_name)]
"""Name of a book: an id, short enough for `book-<name>` to be one, and not `register`."""


class SharedSettings(BaseSettings):
    """What all processes of one installation share: `HELIOGRAPH_<NAME>`."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True
    )

    service: ClassVar[str] = ""
    """The service's name as in subjects and logs; empty for the shared settings alone."""

    deployment: str = Field(
        pattern=_ID,
        description="Id of this installation, 1 to 64 of A-Z a-z 0-9 _ -; signed messages name it.",
    )
    nats_url: str = Field(
        "nats://127.0.0.1:4222",
        pattern=r"^(nats|tls|ws|wss)://[^\s@]+$",
        description="Where NATS is: scheme, host, port; several with commas; no user in it.",
    )
    nats_user: str | None = Field(None, description="The service's user name at NATS.")
    nats_password: SecretStr | None = Field(None, description="The service's password at NATS.")
    book: BookName = Field(
        "pilot",
        description="The book (community), 1 to 59 of A-Z a-z 0-9 _ -; not `register`.",
    )
    books: tuple[BookName, ...] = Field(
        (), description="All books of the installation; only BOOK unless set."
    )
    played_time: bool = Field(
        default=False, description="True when a player moves time on instead of the wall clock."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The lowest level that is logged."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto",
        description="Log lines as JSON, for people, or (auto) for people on a terminal only.",
    )
    otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^\s@]+$",
        description="Base URL of an OTLP/HTTP collector, no user in it; none: telemetry is off.",
    )
    health_host: str = Field("127.0.0.1", description="Address on which health is served.")
    health_port: int = Field(
        0, ge=0, le=65535, description="Port on which health is served; 0 lets the system choose."
    )
    start_timeout_s: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="Seconds to wait at start for outside systems, then exit 4.",
    )
    stop_timeout_s: float = Field(
        10.0, gt=0, le=600, description="Seconds a service has to close after it was asked to stop."
    )

    def __init__(self, **values: Any) -> None:
        """Take values from the caller, then the environment, then the defaults.

        Args:
            values: Fields by name; they win over the environment.

        Raises:
            SettingsError: A variable is missing, unknown or breaks a rule; all of them are told.
        """
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(self._explain(error)) from None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], **values: Any) -> Self:
        """Take values from a given mapping in place of the process's environment.

        Args:
            environment: Variables by name, such as `{"HELIOGRAPH_DEPLOYMENT": "demo"}`.
            values: Fields by name; they win over the mapping.

        Raises:
            SettingsError: A variable is missing, unknown or breaks a rule.
        """
        token = _ENVIRONMENT.set(environment)
        try:
            return cls(**values)
        finally:
            _ENVIRONMENT.reset(token)

    @property
    def all_books(self) -> tuple[str, ...]:
        """All books of the installation, at least one."""
        return self.books or (self.book,)

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the caller's values, then our own reading of the environment; no other source."""
        return init_settings, _Variables(cls, _environment())

    @classmethod
    def prefixes(cls, field_name: str) -> tuple[str, ...]:
        """Return the prefixes under which a field is looked for, the winning one first."""
        own = f"{PREFIX}{cls.service.upper().replace('-', '_')}_" if cls.service else PREFIX
        return (
            (own, PREFIX) if cls.service and field_name in SharedSettings.model_fields else (own,)
        )

    @classmethod
    def variables(cls) -> dict[str, str]:
        """Return every variable that is read, with its description.

        Returns:
            Names in the order of the fields; of a shared field both names, the winning one first;
            of a secret also the names that end in `_FILE`.
        """
        found: dict[str, str] = {}
        for name, info in cls.model_fields.items():
            for prefix in cls.prefixes(name):
                variable = prefix + name.upper()
                found[variable] = info.description or ""
                if _is_secret(info):
                    found[f"{variable}_FILE"] = f"A file that holds it. {info.description or ''}"
        return found

    def describe(self) -> dict[str, Any]:
        """Return all values for people and logs: field name to JSON value, secrets hidden."""
        described: dict[str, Any] = hide_secrets(self.model_dump(mode="json"))
        return described

    @override
    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return self.describe().items()

    @classmethod
    def _explain(cls, error: ValidationError) -> list[str]:
        problems = []
        for detail in error.errors(include_url=False, include_input=False):
            name = str(detail["loc"][0]) if detail["loc"] else ""
            rule = (
                "it is not set and has no default" if detail["type"] == "missing" else detail["msg"]
            )
            if detail["type"] == "extra_forbidden":
                rule = f"there is no such field{_nearest(name, cls.model_fields)}"
            variable = _variable_of(cls, name) if name else f"{PREFIX}*"
            info = cls.model_fields.get(name)
            problems.append(f"{variable}: {rule}. {info.description or '' if info else ''}".strip())
        return problems


def _environment() -> Mapping[str, str]:
    given = _ENVIRONMENT.get()
    return os.environ if given is None else given


def _variable_of(settings_cls: type[SharedSettings], field_name: str) -> str:
    """Return the variable that a field was read from; if none is set, the most general one."""
    names = [prefix + field_name.upper() for prefix in settings_cls.prefixes(field_name)]
    return next((name for name in names if _environment().get(name)), names[-1])


class ServiceSettings(SharedSettings):
    """What one service reads: subclass it and add its own fields, each with a description.

    The class names the service: `IngestSettings` reads `HELIOGRAPH_INGEST_<NAME>`. For another
    name write `class X(ServiceSettings, service="ingest")`.
    """

    @override
    def __init_subclass__(cls, *, service: str | None = None, **kwargs: Any) -> None:
        """Name the service after its class, unless it is told."""
        super().__init_subclass__(**kwargs)
        words = re.findall(r"[A-Z][a-z0-9]*", cls.__name__.removesuffix("Settings"))
        cls.service = service or "-".join(words).lower()


class _Variables(PydanticBaseSettingsSource):
    """Reads the fields of one settings class from a mapping of variables."""

    def __init__(self, settings_cls: type[SharedSettings], environment: Mapping[str, str]) -> None:
        super().__init__(settings_cls)
        self._class = settings_cls
        self._environment = {
            name: value
            for name, value in environment.items()
            if name.startswith(PREFIX) and value and not _is_kubernetes_link(name, value)
        }

    @override
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the value (None when not set), its variable, and whether it is JSON."""
        for prefix in self._class.prefixes(field_name):
            variable = prefix + field_name.upper()
            value = self._environment.get(variable)
            if _is_secret(field) and (path := self._environment.get(f"{variable}_FILE")):
                if value is not None:
                    raise SettingsError([f"{variable}: set it or {variable}_FILE, not both."])
                return _read_secret(f"{variable}_FILE", path), variable, False
            if value is not None:
                return value, variable, self.field_is_complex(field)
        return None, field_name, False

    @override
    def __call__(self) -> dict[str, Any]:
        """Return the values that are set, by field name."""
        problems = _unknown_variables(self._class, self._environment)
        values: dict[str, Any] = {}
        for name, field in self._class.model_fields.items():
            try:
                value, variable, is_complex = self.get_field_value(field, name)
                if value is not None:
                    values[name] = (
                        self._decoded(field, name, variable, value) if is_complex else value
                    )
            except SettingsError as error:
                problems += error.problems
        if problems:
            raise SettingsError(problems)
        return values

    def _decoded(self, field: FieldInfo, name: str, variable: str, value: str) -> Any:
        """Return JSON as it is, and `a,b` as the list of both."""
        if not value.lstrip().startswith(("[", "{", '"')):
            return [part.strip() for part in value.split(",")]
        try:
            return self.decode_complex_value(name, field, value)
        except ValueError:
            raise SettingsError(
                [f"{variable}: it is neither JSON nor a list with commas."]
            ) from None


def near_misses(settings_cls: type[SharedSettings], environment: Mapping[str, str]) -> list[str]:
    """Name shared-looking variables that nobody reads but that resemble one that is read.

    They cannot be refused, since they may belong to another service of the same environment.

    Args:
        settings_cls: The class of the service's settings.
        environment: Variables by name.

    Returns:
        One sentence each, beginning with the variable's name.
    """
    known = {name: "" for name in settings_cls.variables() if name in SharedSettings.variables()}
    return [
        f"{name}: nothing reads it{hint}."
        for name in environment
        if name.startswith(PREFIX) and name not in known and (hint := _nearest(name, known, 0.93))
    ]


def _unknown_variables(
    settings_cls: type[SharedSettings], environment: Mapping[str, str]
) -> list[str]:
    if not settings_cls.service:
        return []
    own, known = settings_cls.prefixes("")[0], settings_cls.variables()
    return [
        f"{name}: {settings_cls.service} has no such setting{_nearest(name, known)}."
        for name in environment
        if name.startswith(own) and name not in known
    ]


def _nearest(name: str, known: Mapping[str, object], cutoff: float = 0.6) -> str:
    found = difflib.get_close_matches(name, known, n=1, cutoff=cutoff)
    return f"; the nearest is {found[0]}" if found else ""


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in (field.annotation, *get_args(field.annotation))


def _is_kubernetes_link(name: str, value: str) -> bool:
    """Tell whether Kubernetes made the variable for a Service called like one of ours."""
    if _KUBERNETES_LINK.fullmatch(name):
        return True
    return name.endswith("_PORT") and _KUBERNETES_LINK_VALUE.fullmatch(value) is not None


def _read_secret(variable: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(SECRET_FILE_BYTES_MAX + 1)
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else "cannot be read"
        raise SettingsError([f"{variable}: the file {path} {reason}."]) from None
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret or len(content) > SECRET_FILE_BYTES_MAX:
        raise SettingsError(
            [f"{variable}: the file {path} is empty or over {SECRET_FILE_BYTES_MAX} bytes."]
        )
    return secret
