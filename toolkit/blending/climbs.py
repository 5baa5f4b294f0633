"""Which climb is the quickest that a metric allows."""

from toolkit.blending.climb import Climb
from toolkit.blending.climbs_of_decided import ByClass, ByGrade, ByMask, ByPlace, ByThreshold
from toolkit.blending.climbs_of_values import ByColumn, ByDistance, ByLogarithm, BySquare
from toolkit.competition import Competition
from toolkit.metrics.confusion import ConfusionMetric
from toolkit.metrics.labels import SummedTables, TableMetric
from toolkit.metrics.lists import MAP
from toolkit.metrics.metric import Metric
from toolkit.metrics.numbers import R2, Mae, Rmse
from toolkit.metrics.probabilistic import LogLoss
from toolkit.metrics.ranks import AveragePrecision, RocAuc
from toolkit.task import Classification, Grades, Labels, Numbers, OverlappingMasks, Task

OF_FEW = ByClass, ByPlace, ByLogarithm  # that look at the likeliest classes and the true one alone
OF_ORDER, OF_LOGARITHMS, OF_SQUARES = ByColumn, ByLogarithm, BySquare
# by what is computed: a metric that computes a part of it in its own way is asked for its score
KNOWN: tuple[tuple[type[Climb], type[Metric], tuple[type[Task], ...], tuple[str, ...]], ...] = (
    (ByMask, TableMetric, (OverlappingMasks,), ()),
    (ByThreshold, SummedTables, (Labels,), ("of_tables",)),
    (ByGrade, ConfusionMetric, (Grades,), ("counts",)),
    (ByPlace, MAP, (Classification,), ("counts",)),
    (ByLogarithm, LogLoss, (Classification, Labels), ("counts",)),
    (BySquare, Rmse, (Numbers, Grades), ("counts", "error")),
    (BySquare, R2, (Numbers, Grades), ("counts",)),
    (ByDistance, Mae, (Numbers, Grades), ("counts", "error")),
    (ByColumn, RocAuc, (Classification, Labels), ("weighted", "by_class", "column")),
    (ByColumn, AveragePrecision, (Classification, Labels), ("weighted", "by_class", "column")),
)


def climb_of(competition: Competition) -> type[Climb]:
    """The quickest that the metric allows."""
    task, metric = competition.task, competition.metric
    if isinstance(metric, ConfusionMetric) and metric.without_matrices(task):
        return ByClass
    part = isinstance(metric, RocAuc) and (metric.regions or metric.most_false < 1)  # of the curve
    for climb, kind, tasks, names in KNOWN:
        own = all(getattr(type(metric), name) is getattr(kind, name) for name in names if isinstance(metric, kind))
        if isinstance(metric, kind) and isinstance(task, tasks) and own and not part:
            return climb
    return Climb
