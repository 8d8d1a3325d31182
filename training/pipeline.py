"""The model in scikit-learn's own form, for people who want to look at it or go on with it in Python."""

from collections.abc import Sequence

import numpy as np
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import LabelBinarizer

from training.features import Vocabulary
from training.linear import Linear
from training.parameters import Parameters


def build_pipeline(
    terms: Sequence[str], vocabulary: Vocabulary, linear: Linear, classes: Sequence[str], parameters: Parameters
) -> Pipeline:
    """TfidfVectorizer and OneVsRestClassifier(LinearSVC), as if they had been fitted together.

    `decision_function(texts)` gives what the bundle's scorer gives, before calibration. `predict` gives
    a 0/1 matrix with a column per class, in the order of the attribute `class_names`.
    """
    features = parameters.features
    vectorizer = TfidfVectorizer(
        ngram_range=(1, features.ngrams),
        min_df=features.min_df,
        sublinear_tf=features.sublinear_tf,
        token_pattern=features.vectorizer.token_pattern,
        vocabulary={term: column for column, term in enumerate(terms)},
    )
    vectorizer.idf_ = np.asarray(vocabulary.weights)
    pipeline = Pipeline([("tfidf", vectorizer), ("svm", _one_vs_rest(linear, len(classes)))])
    pipeline.class_names = tuple(classes)
    return pipeline


def _one_vs_rest(linear: Linear, classes: int) -> OneVsRestClassifier:
    """The machines in the form that OneVsRestClassifier.fit leaves behind for a 0/1 matrix of labels."""
    together = OneVsRestClassifier(clone(linear.machines[0]))
    together.estimators_ = list(linear.machines)
    together.label_binarizer_ = LabelBinarizer(sparse_output=True).fit(np.eye(classes, dtype=np.int8))
    together.classes_ = together.label_binarizer_.classes_
    together.n_features_in_ = linear.weights.shape[0]
    return together
