"""Keras metrics of whole epochs, exact: each is a function of ``cortado.classifiers.performance``.

Importing them loads Keras on TensorFlow. Accuracy is Keras's own ``SparseCategoricalAccuracy``.
"""

from cortado.classifiers.metrics.auc import AUC
from cortado.classifiers.metrics.max_significance import MaxSignificance
from cortado.classifiers.metrics.of_all_events import MetricOfAllEvents
from cortado.classifiers.metrics.rejection_at_efficiency import RejectionAtEfficiency

__all__ = ["AUC", "MaxSignificance", "MetricOfAllEvents", "RejectionAtEfficiency"]
