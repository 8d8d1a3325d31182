from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATUS_UNSPECIFIED: _ClassVar[Status]
    STATUS_CLASSIFIED: _ClassVar[Status]
    STATUS_UNSUPPORTED_LANGUAGE: _ClassVar[Status]
    STATUS_EMPTY: _ClassVar[Status]
STATUS_UNSPECIFIED: Status
STATUS_CLASSIFIED: Status
STATUS_UNSUPPORTED_LANGUAGE: Status
STATUS_EMPTY: Status

class Document(_message.Message):
    __slots__ = ("url", "title", "text", "lang")
    URL_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LANG_FIELD_NUMBER: _ClassVar[int]
    url: str
    title: str
    text: str
    lang: str
    def __init__(self, url: _Optional[str] = ..., title: _Optional[str] = ..., text: _Optional[str] = ..., lang: _Optional[str] = ...) -> None: ...

class ClassProbability(_message.Message):
    __slots__ = ("name", "prob")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROB_FIELD_NUMBER: _ClassVar[int]
    name: str
    prob: float
    def __init__(self, name: _Optional[str] = ..., prob: _Optional[float] = ...) -> None: ...

class ModelStamp(_message.Message):
    __slots__ = ("lang", "version", "digest")
    LANG_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    lang: str
    version: str
    digest: str
    def __init__(self, lang: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...

class Source(_message.Message):
    __slots__ = ("topic", "partition", "offset")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    offset: int
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class Classification(_message.Message):
    __slots__ = ("url", "lang", "status", "labels", "classes", "model", "source")
    URL_FIELD_NUMBER: _ClassVar[int]
    LANG_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    url: str
    lang: str
    status: Status
    labels: _containers.RepeatedScalarFieldContainer[str]
    classes: _containers.RepeatedCompositeFieldContainer[ClassProbability]
    model: ModelStamp
    source: Source
    def __init__(self, url: _Optional[str] = ..., lang: _Optional[str] = ..., status: _Optional[_Union[Status, str]] = ..., labels: _Optional[_Iterable[str]] = ..., classes: _Optional[_Iterable[_Union[ClassProbability, _Mapping]]] = ..., model: _Optional[_Union[ModelStamp, _Mapping]] = ..., source: _Optional[_Union[Source, _Mapping]] = ...) -> None: ...

class ClassifyBatchRequest(_message.Message):
    __slots__ = ("documents",)
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    documents: _containers.RepeatedCompositeFieldContainer[Document]
    def __init__(self, documents: _Optional[_Iterable[_Union[Document, _Mapping]]] = ...) -> None: ...

class ClassifyBatchResponse(_message.Message):
    __slots__ = ("classifications",)
    CLASSIFICATIONS_FIELD_NUMBER: _ClassVar[int]
    classifications: _containers.RepeatedCompositeFieldContainer[Classification]
    def __init__(self, classifications: _Optional[_Iterable[_Union[Classification, _Mapping]]] = ...) -> None: ...
