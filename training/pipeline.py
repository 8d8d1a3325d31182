"""The model in scikit-learn's own form, for people who want to look at it or go on with it in Python."""

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import Pipeline

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
        vocabulary={term: column for column, term in enumerate(terms)},
    )
    vectorizer.idf_ = np.asarray(vocabulary.weights)
    pipeline = Pipeline([("tfidf", vectorizer), ("svm", linear.estimator)])
    pipeline.class_names = tuple(classes)
    return pipeline
