from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Payload(_message.Message):
    __slots__ = ("epoch", "first_sequence", "measured_at_ms", "groups", "checkpoints", "clock", "committed_wanted", "thinned", "deflated", "version")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MEASURED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    CLOCK_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_WANTED_FIELD_NUMBER: _ClassVar[int]
    THINNED_FIELD_NUMBER: _ClassVar[int]
    DEFLATED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    first_sequence: int
    measured_at_ms: _containers.RepeatedScalarFieldContainer[int]
    groups: _containers.RepeatedCompositeFieldContainer[Group]
    checkpoints: _containers.RepeatedCompositeFieldContainer[Checkpoint]
    clock: int
    committed_wanted: bool
    thinned: _containers.RepeatedCompositeFieldContainer[Thinned]
    deflated: bytes
    version: int
    def __init__(self, epoch: _Optional[int] = ..., first_sequence: _Optional[int] = ..., measured_at_ms: _Optional[_Iterable[int]] = ..., groups: _Optional[_Iterable[_Union[Group, _Mapping]]] = ..., checkpoints: _Optional[_Iterable[_Union[Checkpoint, _Mapping]]] = ..., clock: _Optional[int] = ..., committed_wanted: _Optional[bool] = ..., thinned: _Optional[_Iterable[_Union[Thinned, _Mapping]]] = ..., deflated: _Optional[bytes] = ..., version: _Optional[int] = ...) -> None: ...

class Group(_message.Message):
    __slots__ = ("channels", "offsets", "values", "marked_cells", "marked_qualities")
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    MARKED_CELLS_FIELD_NUMBER: _ClassVar[int]
    MARKED_QUALITIES_FIELD_NUMBER: _ClassVar[int]
    channels: int
    offsets: _containers.RepeatedScalarFieldContainer[int]
    values: _containers.RepeatedScalarFieldContainer[int]
    marked_cells: _containers.RepeatedScalarFieldContainer[int]
    marked_qualities: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, channels: _Optional[int] = ..., offsets: _Optional[_Iterable[int]] = ..., values: _Optional[_Iterable[int]] = ..., marked_cells: _Optional[_Iterable[int]] = ..., marked_qualities: _Optional[_Iterable[int]] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("sequence", "signature")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    signature: bytes
    def __init__(self, sequence: _Optional[int] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Thinned(_message.Message):
    __slots__ = ("first", "last", "kept", "chain_hash", "kept_digest", "signature")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    CHAIN_HASH_FIELD_NUMBER: _ClassVar[int]
    KEPT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    first: int
    last: int
    kept: _containers.RepeatedScalarFieldContainer[int]
    chain_hash: bytes
    kept_digest: bytes
    signature: bytes
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ..., kept: _Optional[_Iterable[int]] = ..., chain_hash: _Optional[bytes] = ..., kept_digest: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Committed(_message.Message):
    __slots__ = ("epoch", "contiguous", "ranges", "chain_mark", "range_marks")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    CONTIGUOUS_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    CHAIN_MARK_FIELD_NUMBER: _ClassVar[int]
    RANGE_MARKS_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    contiguous: int
    ranges: _containers.RepeatedCompositeFieldContainer[Range]
    chain_mark: bytes
    range_marks: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, epoch: _Optional[int] = ..., contiguous: _Optional[int] = ..., ranges: _Optional[_Iterable[_Union[Range, _Mapping]]] = ..., chain_mark: _Optional[bytes] = ..., range_marks: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Range(_message.Message):
    __slots__ = ("first", "last")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    first: int
    last: int
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ...) -> None: ...

class Status(_message.Message):
    __slots__ = ("online", "epoch", "head_sequence", "spooled_readings", "agent_version", "dropped_readings", "held_back_readings", "refused_readings")
    ONLINE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    HEAD_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SPOOLED_READINGS_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    DROPPED_READINGS_FIELD_NUMBER: _ClassVar[int]
    HELD_BACK_READINGS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_READINGS_FIELD_NUMBER: _ClassVar[int]
    online: bool
    epoch: int
    head_sequence: int
    spooled_readings: int
    agent_version: str
    dropped_readings: int
    held_back_readings: int
    refused_readings: int
    def __init__(self, online: _Optional[bool] = ..., epoch: _Optional[int] = ..., head_sequence: _Optional[int] = ..., spooled_readings: _Optional[int] = ..., agent_version: _Optional[str] = ..., dropped_readings: _Optional[int] = ..., held_back_readings: _Optional[int] = ..., refused_readings: _Optional[int] = ...) -> None: ...

class Signed(_message.Message):
    __slots__ = ("said", "signature")
    SAID_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    said: bytes
    signature: bytes
    def __init__(self, said: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Desired(_message.Message):
    __slots__ = ("operator", "device", "version", "issued_at_ms", "expires_at_ms", "toml")
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_MS_FIELD_NUMBER: _ClassVar[int]
    TOML_FIELD_NUMBER: _ClassVar[int]
    operator: str
    device: str
    version: int
    issued_at_ms: int
    expires_at_ms: int
    toml: str
    def __init__(self, operator: _Optional[str] = ..., device: _Optional[str] = ..., version: _Optional[int] = ..., issued_at_ms: _Optional[int] = ..., expires_at_ms: _Optional[int] = ..., toml: _Optional[str] = ...) -> None: ...

class Command(_message.Message):
    __slots__ = ("operator", "device", "id", "issued_at_ms", "expires_at_ms", "what", "epoch", "first", "last", "seconds")
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_MS_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    operator: str
    device: str
    id: int
    issued_at_ms: int
    expires_at_ms: int
    what: int
    epoch: int
    first: int
    last: int
    seconds: int
    def __init__(self, operator: _Optional[str] = ..., device: _Optional[str] = ..., id: _Optional[int] = ..., issued_at_ms: _Optional[int] = ..., expires_at_ms: _Optional[int] = ..., what: _Optional[int] = ..., epoch: _Optional[int] = ..., first: _Optional[int] = ..., last: _Optional[int] = ..., seconds: _Optional[int] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("version", "id", "became", "text", "result")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    BECAME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    version: int
    id: int
    became: int
    text: str
    result: bytes
    def __init__(self, version: _Optional[int] = ..., id: _Optional[int] = ..., became: _Optional[int] = ..., text: _Optional[str] = ..., result: _Optional[bytes] = ...) -> None: ...
