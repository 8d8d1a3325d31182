"""The same job with Quix Streams: `python quix_app.py SERVERS DOCUMENTS RESULTS GROUP GUARANTEE PIPELINE`.

It runs in an environment of its own. Left at its default is everything but what `clf worker` sets too: a group that
notices a dead member after ten seconds, and a transactional id that stays the same with a time limit of ten seconds.
"""

import sys

import joblib
from quixstreams import Application

servers, documents, results, group, guarantee, model = sys.argv[1:]
pipeline = joblib.load(model)


def classify(document: dict[str, str]) -> dict[str, object]:
    """Names of the classes whose machines say yes."""
    votes = pipeline.predict([f"{document['title']}\n{document['text']}"])[0]
    return {"url": document["url"], "labels": [c for c, vote in zip(pipeline.class_names, votes, strict=True) if vote]}


app = Application(
    broker_address=servers,
    consumer_group=group,
    auto_offset_reset="earliest",
    processing_guarantee=guarantee,
    consumer_extra_config={"session.timeout.ms": 10_000},
    producer_extra_config={"transactional.id": f"{group}-0", "transaction.timeout.ms": 10_000}
    if guarantee == "exactly-once"
    else {},
)
stream = app.dataframe(app.topic(documents, value_deserializer="json"))
stream.apply(classify).to_topic(app.topic(results, value_serializer="json"))
app.run()
