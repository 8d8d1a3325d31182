"""Requests to answers: what is answered, what is remarked on, and what is refused without a word of the document."""

import traceback
from collections.abc import Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from models.store import Store
from schemas.classification import Classification, ModelStamp, Status, decode_classification, decode_classifications
from schemas.document import Document, encode_documents
from schemas.headers import PROTOBUF
from worker.classify import Classifier, ConstantClassifier, DocumentClassifier, Sources
from worker.serve.answers import Answers, CannotAnswerError, Fault
from worker.serving_models import load_models
from worker.tests.tools import small_store

FOOTBALL = Document("https://a.example/1", "Football", "a goal", "en")
MONEY = Document("https://a.example/2", "", "money in the bank", "en-GB")
KLINGON = Document("https://a.example/3", "", "goal", "tlh")
NOTHING = Document("https://a.example/4", "", "words it never saw", "eng")
MARK = "hunter2"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """One small English model."""
    return Classifier(load_models(Store(small_store(tmp_path_factory.mktemp("store")))))


@pytest.fixture
def answers(classifier: Classifier) -> Answers:
    """Answers of that model, with small limits."""
    return Answers(lambda: classifier, max_message_bytes=1000, max_batch=3)


class Failing:
    """A classifier with a bug, whose error quotes the document."""

    languages = ("en",)

    def classify(self, documents: Sequence[Document], sources: Sources) -> list[Classification]:
        """Fail."""
        del sources
        raise ValueError(f"cannot score {documents[0].text!r}")


class Wrong:
    """A classifier with another bug: what it gives cannot be sent."""

    languages = ("en",)

    def classify(self, documents: Sequence[Document], sources: Sources) -> list[Classification]:
        """Give a probability that is none, under a name that is the document's text."""
        stamp = ModelStamp("en", "v1", "d")
        return [
            Classification(d.url, "en", Status.CLASSIFIED, (), ((d.text, float("nan")),), stamp, source)
            for d, source in zip(documents, sources, strict=True)
        ]


def refused(answers: Answers, method: str, request: bytes) -> CannotAnswerError:
    """The error that a request gives."""
    with pytest.raises(CannotAnswerError) as caught:
        getattr(answers, method)(request)
    return caught.value


# --- answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", [FOOTBALL, MONEY, KLINGON, NOTHING])
def test_the_answer_is_the_classifiers(answers: Answers, classifier: Classifier, document: Document) -> None:
    """One document comes back as what the classifier says of it, without a source."""
    answered = answers.classify(document.to_protobuf())
    [expected] = classifier.classify([document], [None])
    assert answered.reply == expected.to_protobuf()
    assert (list(answered.documents), list(answered.results)) == ([document], [expected])
    assert decode_classification(answered.reply, PROTOBUF).source is None


def test_a_batch_is_answered_as_its_documents_alone(answers: Answers) -> None:
    """Each document of a batch gets the answer it would get alone, in order, whatever its neighbours are."""
    documents = [KLINGON, FOOTBALL, NOTHING]
    answered = answers.classify_batch(encode_documents(documents))
    alone = [answers.classify(document.to_protobuf()).results[0] for document in documents]
    assert decode_classifications(answered.reply) == alone
    assert (list(answered.documents), list(answered.results)) == (documents, alone)


def test_an_empty_batch_has_an_empty_answer(answers: Answers) -> None:
    """Asking for nothing is no mistake."""
    assert answers.classify_batch(b"") == (b"", "", [], [])


def test_a_call_is_answered_by_one_set_of_models(classifier: Classifier) -> None:
    """It asks for the classifier once, so that models that come meanwhile answer the next call, not half of it."""
    [model] = classifier._models.values()
    given = [Classifier({}), classifier, Classifier({"de": model})]
    answers = Answers(lambda: given.pop(0), 1000, 3)
    assert answers.classify(FOOTBALL.to_protobuf()).remark == (
        "no model for the language en; there are models for none"
    )
    results = answers.classify_batch(encode_documents([FOOTBALL, KLINGON, MONEY])).results
    assert [result.status for result in results] == [
        Status.CLASSIFIED,
        Status.UNSUPPORTED_LANGUAGE,
        Status.CLASSIFIED,
    ]
    assert answers.classify(FOOTBALL.to_protobuf()).remark == "no model for the language en; there are models for de"


# --- remarks -------------------------------------------------------------------------------------------------


def test_a_missing_model_is_remarked_on(classifier: Classifier) -> None:
    """The caller is told which language it was, as we understood it, and which there are, in order."""
    [model] = classifier._models.values()
    several = Classifier(dict.fromkeys(["sv", "de", "en"], model))
    answers = Answers(lambda: several, 1000, 3)
    assert answers.classify(KLINGON.to_protobuf()).remark == (
        "no model for the language tlh; there are models for de, en, sv"
    )
    nameless = Document("u", lang="<script>")
    assert answers.classify(nameless.to_protobuf()).remark.startswith("no model for the language und; ")


def test_without_any_model() -> None:
    """The remark does not end in the air."""
    remark = Answers(lambda: Classifier({}), 1000, 3).classify(KLINGON.to_protobuf()).remark
    assert remark == "no model for the language tlh; there are models for none"


def test_an_empty_document_is_remarked_on(answers: Answers) -> None:
    """An answer without classes says why there are none."""
    assert answers.classify(NOTHING.to_protobuf()).remark == "the model for en knows no term of the document"


def test_an_ordinary_answer_has_no_remark(answers: Answers) -> None:
    """Nor has a batch, of which each result says for itself what it lacks."""
    assert answers.classify(FOOTBALL.to_protobuf()).remark == ""
    assert answers.classify_batch(encode_documents([KLINGON])).remark == ""


# --- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_bytes", "why"),
    [
        (b"", 'url_missing: the field "url" is empty'),
        (Document("  ", "t", "t", "en").to_protobuf(), 'url_missing: the field "url" is empty'),
        (FOOTBALL.to_json(), "not_protobuf: the value is no clf.v1.Document: it is truncated, or of another format"),
        (b"\x0a\x01u\x1a\x02\xff\xfe", "not_protobuf: the value is no clf.v1.Document: a string is not UTF-8"),
        (b"\xff" * 1001, "too_large: the value has 1001 bytes, the limit is 1000"),
    ],
)
def test_what_is_no_document_is_refused(answers: Answers, request_bytes: bytes, why: str) -> None:
    """The caller gets a reason from the closed set, and a sentence to act on."""
    error = refused(answers, "classify", request_bytes)
    assert (error.fault, str(error)) == (Fault.REQUEST, why)


@pytest.mark.parametrize(
    ("request_bytes", "why"),
    [
        (
            encode_documents([FOOTBALL, MONEY, Document(" ", MARK, MARK)]),
            'url_missing: document 2: the field "url" is empty',
        ),
        (encode_documents([FOOTBALL] * 4), "too_large: the batch has 4 documents, the limit is 3"),
        (encode_documents([Document("u" * 999)]), "too_large: the value has 1005 bytes, the limit is 1000"),
        (b"junk", "not_protobuf: the value is no clf.v1.ClassifyBatchRequest: it is truncated, or of another format"),
    ],
)
def test_what_is_no_batch_is_refused(answers: Answers, request_bytes: bytes, why: str) -> None:
    """The same for batches; a document that spoils one is named by its place."""
    error = refused(answers, "classify_batch", request_bytes)
    assert (error.fault, str(error)) == (Fault.REQUEST, why)


def test_a_message_of_just_the_limit_passes() -> None:
    """The limit is the largest size that is taken."""
    request = FOOTBALL.to_protobuf()
    assert Answers(ConstantClassifier, len(request), 1).classify(request).reply
    assert refused(Answers(ConstantClassifier, len(request) - 1, 1), "classify", request).fault is Fault.REQUEST


# --- bugs of ours --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["classify", "classify_batch"])
@pytest.mark.parametrize(("bug", "name"), [(Failing(), "ValueError"), (Wrong(), "ClassificationError")])
def test_a_bug_tells_nothing_of_the_document(bug: DocumentClassifier, name: str, method: str) -> None:
    """Caller and log get the kind of the error and, the log, the lines it came from; never what it quotes."""
    document = Document("u", MARK, f"{MARK} text", "en")
    request = document.to_protobuf() if method == "classify" else encode_documents([document])
    with capture_logs() as logged:
        error = refused(Answers(lambda: bug, 1000, 3), method, request)
    assert error.fault is Fault.SCORING
    assert str(error) == f"the scorer raised {name}; the server's log has more"
    [entry] = logged
    assert (entry["event"], entry["error"], entry["documents"]) == ("scoring_failed", name, 1)
    assert all(Path(place.partition(":")[0]).exists() for place in entry["where"])
    told = f"{entry}{''.join(traceback.format_exception(error))}"
    assert MARK not in told
    assert (error.__context__, error.__cause__) == (None, None)
